//! `amphipod top`.

mod cluster;
mod live;
mod node;
mod party;
mod screen;
mod slots;
mod snapshot;
mod state;
mod window;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use clap::builder::RangedI64ValueParser;
use model::Filter;

use crate::client::{self, Client};
use crate::failure::Usage;
use crate::filters::Filters;
use crate::output;
use cluster::Cluster;
use node::Node;
use party::Group;
use snapshot::{Snapshot, Sort};
use state::State;

/// Seconds that the rates look back: of an agent's records, and of a hub's sums over ten seconds.
const AGENTS_INTERVAL: u64 = 10;
const HUBS_INTERVAL: u64 = 60;

#[derive(clap::Args)]
#[command(after_help = "\
Keys: b c f d r n sort, g group, / search, space pause, ? help, q quit.

Without a terminal on standard output, one snapshot is printed as with --once.

With --hub, of the whole cluster: rates are of what agents told for the last minute, up to 20 seconds ago, and the only filter is \
--namespace. `amphipod observe --hub` has all filters, and names the errors.")]
pub struct Args {
    /// Print one snapshot, and end; of an agent, after --interval
    #[arg(long)]
    once: bool,
    /// How to print the snapshot; implies --once
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Seconds that the rates look back; flows are told every 5 s, less is jumpy [default: 10; with --hub: 60]
    #[arg(long, value_name = "SECONDS", value_parser = RangedI64ValueParser::<u64>::new().range(1..=300), allow_negative_numbers = true)]
    interval: Option<u64>,
    /// Put ends together by; a hub knows no pods
    #[arg(long, value_name = "GROUP", default_value = "workload")]
    group: Group,
    /// Busiest first by
    #[arg(long, value_name = "COLUMN", default_value = "bytes")]
    sort: Sort,
    #[command(flatten)]
    client: client::Args,
    #[command(flatten)]
    filters: Filters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Where snapshots come from.
trait Feed {
    /// Takes in what comes next. Safe to cancel.
    async fn next(&mut self) -> anyhow::Result<()>;
    /// What is known now.
    fn snapshot(&mut self, state: &State) -> Snapshot;
}

pub fn run(args: Args) -> anyhow::Result<()> {
    Filter::parse(args.filters.pairs()).map_err(|error| Usage(error.to_string()))?;
    let client = Client::new(&args.client)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?;
    runtime.block_on(top(args, client))
}

async fn top(args: Args, client: Client) -> anyhow::Result<()> {
    let live = !args.once && args.output.is_none() && std::io::stdout().is_terminal();
    let state = State {
        sort: args.sort,
        group: args.group,
        of_hub: client.is_of_hub(),
        ..State::default()
    };
    let span = |usual| Duration::from_secs(args.interval.unwrap_or(usual));
    let snapshot = if client.is_of_hub() {
        let mut cluster =
            Cluster::new(client, &args.filters, args.group, span(HUBS_INTERVAL)).await?;
        if live {
            return live::run(cluster, state).await;
        }
        cluster.snapshot(&state)
    } else {
        let span = span(AGENTS_INTERVAL);
        let mut node = Node::new(&client, &args.filters, span).await?;
        if live {
            return live::run(node, state).await;
        }
        node.watch(span).await?;
        node.all(&state)
    };
    match args.output {
        Some(Format::Json) => output::print_json(&snapshot),
        _ => output::print(&snapshot.text()),
    }
}
