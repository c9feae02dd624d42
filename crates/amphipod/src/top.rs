//! `amphipod top`.

mod live;
mod party;
mod screen;
mod slots;
mod snapshot;
mod state;
mod window;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::builder::RangedI64ValueParser;
use model::{Filter, Timestamp};

use crate::client::{self, Client, Item, Records};
use crate::failure::Usage;
use crate::filters::Filters;
use crate::output;
use party::Group;
use snapshot::{Snapshot, Sort};
use state::State;
use window::Window;

/// Older records, from which the window learns which addresses are this node's.
const HISTORY: &str = "2000";

#[derive(clap::Args)]
#[command(after_help = "\
Keys: b c f d r n sort, g group, / search, space pause, ? help, q quit.

Without a terminal on standard output, one snapshot is printed as with --once.")]
pub struct Args {
    /// Watch for --interval, print one snapshot, and end
    #[arg(long)]
    once: bool,
    /// How to print the snapshot; implies --once
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Seconds that the rates look back; flows are told every 5 s, less is jumpy
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = RangedI64ValueParser::<u64>::new().range(1..=300), allow_negative_numbers = true)]
    interval: u64,
    /// Put ends together by
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

pub fn run(args: Args) -> anyhow::Result<()> {
    Filter::parse(args.filters.pairs()).map_err(|error| Usage(error.to_string()))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?;
    runtime.block_on(top(args))
}

async fn top(args: Args) -> anyhow::Result<()> {
    let query = args.filters.pairs().chain([("follow", "1"), ("last", HISTORY)]);
    let records = Client::new(args.client).records(query).await?;
    let span = Duration::from_secs(args.interval);
    let intake = Intake::new(span);
    if !args.once && args.output.is_none() && std::io::stdout().is_terminal() {
        let state = State { sort: args.sort, group: args.group, ..State::default() };
        return live::run(records, intake, state).await;
    }
    let intake = watch(records, intake, span).await?;
    let snapshot = Snapshot::new(&intake.window, Instant::now(), args.group, args.sort, "");
    match args.output {
        Some(Format::Json) => output::print_json(&snapshot),
        _ => output::print(&snapshot.text()),
    }
}

/// Takes in records for as long as `span`.
async fn watch(mut records: Records, mut intake: Intake, span: Duration) -> anyhow::Result<Intake> {
    let collect = async {
        while let Some(line) = records.next().await? {
            intake.take(&line)?;
        }
        bail!("the agent ended the stream: it is stopping; start again when it runs")
    };
    match tokio::time::timeout(span, collect).await {
        Ok(ended) => ended,
        Err(_) => Ok(intake),
    }
}

/// What becomes of the lines of the stream.
struct Intake {
    window: Window,
    /// Records before this are history.
    start: String,
}

impl Intake {
    fn new(span: Duration) -> Self {
        Self { window: Window::new(span, Instant::now()), start: Timestamp::now().to_string() }
    }

    fn take(&mut self, line: &str) -> anyhow::Result<()> {
        match Item::parse(line)? {
            // Times have a fixed width, so that text compares like time.
            Item::Record(line) if line.time < self.start => self.window.learn(&line),
            Item::Record(line) => self.window.add(&line, Instant::now()),
            Item::Lost(lost) => self.window.lose(lost),
        }
        Ok(())
    }
}
