//! `amphipod observe`.

mod compact;
mod dict;
mod errors;
mod phrase;
mod table;

use anyhow::{Context, bail};
use clap::builder::RangedI64ValueParser;
use jiff::tz::TimeZone;
use model::Filter;

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

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  amphipod observe -f                                      everything, live
  amphipod observe -f --verdict failed,dropped             what goes wrong
  amphipod observe -f --pod shop/cart --port 6379          what cart says to its cache
  amphipod observe -f --kind dns                           who looks up what, and what comes of it
  amphipod observe --since 5m --not --namespace kube-system -o json")]
pub struct Args {
    /// Keep showing records as they come
    #[arg(short, long)]
    follow: bool,
    /// Begin with so many of the latest records [default: 20; with -f: 0; with --since: all]
    #[arg(long, value_name = "N", value_parser = RangedI64ValueParser::<u64>::new().range(0..=MAX_LAST), allow_negative_numbers = true)]
    last: Option<u64>,
    /// How to print a record: a line, JSON as the agent sends it, a block of names and values, columns
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
    runtime.block_on(observe(args, &filter))
}

async fn observe(args: Args, filter: &Filter) -> anyhow::Result<()> {
    let last = last(&args).map(|last| last.to_string());
    let follow = args.follow.then_some(("follow", "1"));
    let query =
        args.filters.pairs().chain(follow).chain(last.as_deref().map(|last| ("last", last)));
    let mut records = Client::new(args.client).records(query).await?;
    let mut printer = Printer::new(args.output, args.color.shown());
    print(&mut records, &mut printer).await?;
    // A stream that has an end (`until`) may end; any other ends with its agent.
    if args.follow && filter.until().is_none() {
        bail!("the agent ended the stream: it is stopping; start again when it runs");
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
}

impl Printer {
    fn new(format: Format, colour: bool) -> Self {
        let clock = phrase::Clock::new(TimeZone::system(), jiff::Timestamp::now());
        Self { format, clock, table: table::Table::default(), paint: paint::Paint::new(colour) }
    }

    fn show(&mut self, line: &str) -> anyhow::Result<&str> {
        self.paint.clear();
        if self.format == Format::Json {
            self.paint.plain(&printable(line));
            self.paint.line_feed();
            return Ok(self.paint.text());
        }
        match (Item::parse(line)?, self.format) {
            (Item::Lost(lost), _) => {
                self.paint
                    .put(paint::Tone::Bad, &format!("... {lost} records lost: reader too slow"));
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
