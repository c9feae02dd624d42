//! `amphipod version`.

use serde_json::json;

use crate::output;

#[derive(clap::Args)]
pub struct Args {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let architecture = std::env::consts::ARCH;
    let system = std::env::consts::OS;
    match args.output {
        Format::Text => output::print(&format!("amphipod {version} {system}/{architecture}\n")),
        Format::Json => {
            output::print_json(&json!({ "version": version, "os": system, "arch": architecture }))
        }
    }
}
