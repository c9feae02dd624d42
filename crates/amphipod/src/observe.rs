//! `amphipod observe`.

mod compact;
mod dict;
mod errors;
mod phrase;
mod table;

use anyhow::Context;
use clap::builder::RangedI64ValueParser;
use jiff::tz::TimeZone;
use model::Filter;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::{self, Client, Item, Records};
use crate::failure::Usage;
use crate::filters::Filters;
use crate::output::{Color, Output};
use crate::paint::{self, printable};
pub use errors::explain;

/// As many as Hubble shows.
const LAST: u64 = 20;
/// More than any agent can be told to keep.
const MAX_LAST: i64 = u32::MAX as i64;
/// As many as a hub shows of what is kept.
const HUBS_LAST: u64 = 10_000;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  amphipod observe -f                                      everything, live
  amphipod observe -f --verdict failed,dropped             what goes wrong
  amphipod observe -f --pod shop/cart --port 6379          what cart says to its cache
  amphipod observe -f --kind dns                           who looks up what, and what comes of it
  amphipod observe --since 5m --not --namespace kube-system -o json
  amphipod observe --hub https://hub.example.com:7171 --token-file token -f --verdict failed    of all nodes

With -f, Ctrl-C ends it with exit code 0.")]
pub struct Args {
    /// Keep showing records as they come
    #[arg(short, long)]
    follow: bool,
    /// Begin with so many of the latest records [default: 20; with -f: 0; with --since: all]
    #[arg(long, value_name = "N", value_parser = RangedI64ValueParser::<u64>::new().range(0..=MAX_LAST), allow_negative_numbers = true)]
    last: Option<u64>,
    /// How to print a record: a line, JSON as it was sent, a block of names and values, columns
    #[arg(short, long, value_name = "FORMAT", default_value = "compact")]
    output: Format,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
    #[command(flatten)]
    client: client::Args,
    #[command(flatten)]
    filters: Filters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Compact,
    Json,
    Dict,
    Table,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let filter = Filter::parse(args.filters.pairs()).map_err(|error| Usage(error.to_string()))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?;
    runtime.block_on(async {
        if !args.follow {
            return observe(&args, &filter).await;
        }
        // Somebody who follows has seen enough; what was printed is out whenever this waits.
        let stop = Stop::new()?;
        tokio::select! {
            ended = observe(&args, &filter) => ended,
            () = stop.asked() => Ok(()),
        }
    })
}

/// Ctrl-C, or the signal to end.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("SIGTERM")?,
        })
    }

    async fn asked(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn observe(args: &Args, filter: &Filter) -> anyhow::Result<()> {
    let client = Client::new(&args.client)?;
    let all = client.is_of_hub().then_some(HUBS_LAST);
    let last = last(args);
    let number = last.or(all).map(|last| last.to_string());
    let follow = args.follow.then_some(("follow", "1"));
    let query =
        args.filters.pairs().chain(follow).chain(number.as_deref().map(|last| ("last", last)));
    let mut records = client.records(query).await?;
    let mut printer = Printer::new(args.output, args.color.shown());
    print(&mut records, &mut printer).await?;
    // A stream that has an end (`until`) may end; any other ends with who sends it.
    if args.follow && filter.until().is_none() {
        return Err(records.ended());
    }
    if last.is_none() && all.is_some_and(|all| printer.lines >= all) {
        tracing::warn!(
            "{} shows the newest {HUBS_LAST} records at most: ask for a shorter time, or with more filters",
            client.peer()
        );
    }
    Ok(())
}

/// `None`: everything since the given time.
fn last(args: &Args) -> Option<u64> {
    let bounded = |key| args.filters.contains(key);
    match args.last {
        Some(last) => Some(last),
        None if bounded("since") || (bounded("until") && !args.follow) => None,
        None if args.follow => Some(0),
        None => Some(LAST),
    }
}

/// Prints until the stream ends; nothing stays in the buffer while waiting for the next record.
async fn print(records: &mut Records, printer: &mut Printer) -> anyhow::Result<()> {
    let mut output = Output::new();
    let ended = loop {
        let line = match records.buffered() {
            Some(line) => line,
            None => {
                output.flush()?;
                match records.next().await {
                    Ok(Some(line)) => line,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            }
        };
        output.write(printer.show(&line)?)?;
    };
    output.flush()?;
    ended
}

/// Turns a line of the stream into what is printed for it.
struct Printer {
    format: Format,
    clock: phrase::Clock,
    table: table::Table,
    paint: paint::Paint,
    /// Lines that were shown.
    lines: u64,
}

impl Printer {
    fn new(format: Format, colour: bool) -> Self {
        let clock = phrase::Clock::new(TimeZone::system(), jiff::Timestamp::now());
        let paint = paint::Paint::new(colour);
        Self { format, clock, table: table::Table::default(), paint, lines: 0 }
    }

    fn show(&mut self, line: &str) -> anyhow::Result<&str> {
        self.paint.clear();
        self.lines += 1;
        if self.format == Format::Json {
            self.paint.plain(&printable(line));
            self.paint.line_feed();
            return Ok(self.paint.text());
        }
        match (Item::parse(line)?, self.format) {
            (Item::Lost(lost), _) => {
                self.paint.put(paint::Tone::Bad, &format!("... {}", phrase::lost(&lost)));
                self.paint.line_feed();
            }
            (Item::Record(line), Format::Table) => {
                self.table.print(&line, &self.clock, &mut self.paint)
            }
            (Item::Record(line), Format::Dict) => dict::print(&line, &mut self.paint),
            (Item::Record(line), _) => compact::print(&line, &self.clock, &mut self.paint),
        }
        Ok(self.paint.text())
    }
}

#[cfg(test)]
mod tests;
