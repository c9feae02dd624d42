//! `amphipod status`.

mod report;

use std::time::Duration;

use anyhow::{Context, bail};
use model::status::ProgramState;

use crate::client::{self, Client};
use crate::output::{self, Color};

#[derive(clap::Args)]
#[command(after_help = "Exit code 1 if there is no agent, or if one of its programs failed.")]
pub struct Args {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Measure the programs' run time for so many milliseconds, 0 to 10000
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(..=10_000))]
    measure: u64,
    #[command(flatten)]
    client: client::Args,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?;
    let status =
        runtime.block_on(Client::new(args.client).status(Duration::from_millis(args.measure)))?;
    match args.output {
        Format::Text => output::print(&report::text(&status, args.color.shown()))?,
        Format::Json => output::print_json(&status)?,
    }
    let failed: Vec<_> = status
        .programs
        .iter()
        .filter(|program| program.state == ProgramState::Failed)
        .map(|program| format!("{}/{}", program.probe, program.program))
        .collect();
    if !failed.is_empty() {
        bail!(
            "failed programs: {}; the reasons are in the status and in the agent's log",
            failed.join(", ")
        );
    }
    Ok(())
}
