//! `amphipod status`.

mod cluster;
mod report;
mod table;

use std::time::Duration;

use anyhow::{Context, bail};
use model::status::ProgramState;

use crate::client::{self, Client};
use crate::failure::Usage;
use crate::output::{self, Color};
use cluster::Cluster;

/// Milliseconds.
const MEASURE: u64 = 500;

#[derive(clap::Args)]
#[command(after_help = "\
Exit code 1 if there is no agent, or if one of its programs failed. With --hub: if there is no hub, it is not ready, history \
cannot be stored, no agent is connected, or a program failed on a node.")]
pub struct Args {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Measure the programs' run time for so many milliseconds, 0 to 10000; only an agent can [default: 500]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=10_000))]
    measure: Option<u64>,
    #[command(flatten)]
    client: client::Args,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let client = Client::new(&args.client)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?;
    if client.is_of_hub() {
        if args.measure.is_some() {
            let what = "--measure: only an agent can; leave it out, or ask an agent without --hub";
            return Err(Usage(what.to_owned()).into());
        }
        return runtime.block_on(of_cluster(&args, &client));
    }
    runtime.block_on(of_agent(&args, &client))
}

async fn of_agent(args: &Args, client: &Client) -> anyhow::Result<()> {
    let measure = Duration::from_millis(args.measure.unwrap_or(MEASURE));
    let status = client.status(measure).await?;
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

async fn of_cluster(args: &Args, client: &Client) -> anyhow::Result<()> {
    let cluster = Cluster::ask(client).await?;
    match args.output {
        Format::Text => output::print(&cluster.text(client.peer(), args.color.shown()))?,
        Format::Json => output::print_json(&cluster.json)?,
    }
    let troubles = cluster.troubles();
    if !troubles.is_empty() {
        bail!("{}: {}", client.peer(), troubles.join("; "));
    }
    Ok(())
}
