//! The log, on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::failure::Usage;

const VARIABLE: &str = "AMPHIPOD_LOG";

#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// What to log: error, warn, info, debug, trace, off; or per module: info,agent=debug [env: AMPHIPOD_LOG]
    #[arg(long = "log", value_name = "LEVEL", global = true, help_heading = "Log")]
    level: Option<String>,
    /// How to log
    #[arg(
        long = "log-format",
        value_name = "FORMAT",
        default_value = "text",
        global = true,
        help_heading = "Log"
    )]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Starts logging; `default` is the level where neither the flag nor the environment names one.
pub fn init(args: &Args, default: &str) -> Result<(), Usage> {
    let (name, level) = match (&args.level, std::env::var(VARIABLE)) {
        (Some(level), _) => ("--log", level.clone()),
        (None, Ok(level)) if !level.is_empty() => (VARIABLE, level),
        _ => ("--log", default.to_owned()),
    };
    let wrong = || {
        Usage(format!("{name} {level:?}: not a level; give error, warn, info, debug, trace or off"))
    };
    if level.trim().is_empty() {
        return Err(wrong());
    }
    // A lone word that is no level would silently be taken for a module.
    if !level.contains(['=', ',', '['])
        && level.parse::<tracing::level_filters::LevelFilter>().is_err()
    {
        return Err(wrong());
    }
    let filter = EnvFilter::try_new(&level).map_err(|_| wrong())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second initialisation can only come from a test; the first one stays.
    let _ = match args.format {
        Format::Text => builder.with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
