//! What the same history costs in ClickHouse's engine, on this host and behind the tests' HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hub::config::Config;
use hub::ingest::Ingest;
use hub::query::Query;
use hub::store::{Catalogue, ClickHouse, Level, Store};

use super::edges::EDGES;
use super::history::{ASKED, ask_once, nodes};
use super::lab::Lab;
use super::report::Findings;
use super::row::{Row, Unit};
use super::statistics::Summary;

const NAME: &str = "history";
const MINUTES: u64 = 10;
/// An engine that is slow gets fewer of these, and is asked less often.
const STORING: Duration = Duration::from_secs(120);
const ASKING: Duration = Duration::from_secs(60);

/// # Errors
/// The engine fails. That there is none is said.
pub fn measure(lab: &Lab, folder: &std::path::Path, findings: &mut Findings) -> Result<()> {
    if !sim::ClickHouse::is_there() {
        lab.say("history in ClickHouse: NOT RUN, CHDB_PYTHON names no Python with chdb");
        return Ok(());
    }
    let server = sim::ClickHouse::start(folder, 0).context("start ClickHouse's engine")?;
    let config = Config::parse(&format!("[clickhouse]\nurl = \"{}\"", server.url()))?.history;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let catalogue = Arc::new(Catalogue::new(config.max_edges));
    let clickhouse = config.clickhouse.clone().context("no server")?;
    let handle = runtime.handle().clone();
    let store = Arc::new(ClickHouse::new(clickhouse, config.keep_s, catalogue.clone(), handle)?);
    // An hour that is to come: nothing is late, or too old to be kept.
    let start_s = Level::Hour.ceil(model::Timestamp::now().0 / 1_000_000_000);
    let ingest = Ingest::new(store.clone(), catalogue, &config, start_s)?;
    let (mut nodes, mut rows, mut minutes) = (nodes(), 0, 0);
    let began = Instant::now();
    while minutes < MINUTES && began.elapsed() < STORING {
        for interval in minutes * 6..minutes * 6 + 6 {
            lab.interrupt.check()?;
            let start_s = start_s + interval * 10;
            for node in &mut nodes {
                let batch = node.batch(interval, start_s);
                rows += u64::from(batch.rows);
                let batch = node.understood.batch(&ingest.catalogue, &node.name, batch)?;
                ingest.take(&node.name, 1, batch, start_s + 10);
            }
            ingest.flush(start_s + 13)?;
        }
        minutes += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    ingest.flush(start_s + minutes * 60 + 16)?;
    let row = |name: &str, unit, value| Row::new(NAME, name, unit, Summary::one(value));
    findings.rows.push(
        row("rows into ClickHouse (chdb), with rollups", Unit::PerSecond, rows as f64 / seconds)
            .peers("200,000 (DeepFlow)"),
    );
    let facts = store.facts();
    let minute = Level::Minute as usize;
    let each = facts.bytes[minute] as f64 / (minutes * u64::from(EDGES)) as f64;
    findings.rows.push(
        row("bytes in ClickHouse per edge and minute, of both ends", Unit::Count, each)
            .peers("140"),
    );
    let query = Query::new(ingest, config.sums_bytes());
    let (began, mut asked) = (Instant::now(), Vec::new());
    while asked.len() <= ASKED && (asked.len() < 2 || began.elapsed() < ASKING) {
        lab.interrupt.check()?;
        asked.push(ask_once(&query, start_s..start_s + minutes * 60)?);
    }
    let name = format!("graph of {minutes} minutes from ClickHouse, asked first");
    findings.rows.push(row(&name, Unit::Microseconds, asked.remove(0)));
    let again = Summary::of(asked);
    findings.rows.push(Row::new(
        NAME,
        "the same again, from ClickHouse",
        Unit::Microseconds,
        again,
    ));
    Ok(())
}
