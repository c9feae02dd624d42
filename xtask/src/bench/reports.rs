//! What it costs a hub to be told: 1,100 agents that report, with a database of seven days behind it; and how soon it
//! is back when it was killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use model::Timestamp;

use super::agents::Agents;
use super::cluster::Cluster;
use super::fleet::Order;
use super::history;
use super::hub::Hub;
use super::lab::Lab;
use super::report::Findings;
use super::reporters::Told;
use super::row::{Goal, Row, Unit};
use super::statistics::Summary;

const NAME: &str = "reports";
/// Each offers 200 rows a second: together a tenth more than the goal, which could not be reached with just as many.
const AGENTS: usize = 1100;
/// So long they report before it is measured, and meanwhile.
const BEFORE: Duration = Duration::from_secs(20);
const MEASURED_S: u64 = 40;
/// Two intervals.
const TOLD: Duration = Duration::from_secs(20);
/// Until the first batch is stored.
const ACKNOWLEDGED_S: f64 = 60.0;
const MEGABYTE: f64 = (1 << 20) as f64;

pub fn run(lab: &Lab) -> Result<Findings> {
    lab.say("reports: seven days of history");
    let folder = lab.site.file("reports");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let path = folder.join("history.db");
    history::fill(&path, Timestamp::now().0 / 1_000_000_000)?;
    let disk = std::fs::metadata(&path)?.len() as f64;
    let cluster = Cluster::start(lab, 10, 100, 0)?;
    let config = format!("[history]\npath = \"{}\"\n", path.display());
    let (hub, _) = start(lab, &cluster, None, &config)?;
    let address = hub.agents;
    lab.say(&format!("reports: {AGENTS} agents"));
    let mut agents = Agents::start(lab)?;
    agents.reported(&Order::Report { hub: address, agents: AGENTS })?;
    lab.interrupt.pass(BEFORE)?;
    agents.reported(&Order::Reported { seconds: 0.0 })?;

    let rows = || Ok::<_, anyhow::Error>(hub.metrics()?.sum("amphipod_hub_rows_total", &[]));
    let (began, cpu, before) = (Instant::now(), hub.cpu()?, rows()?);
    lab.interrupt.pass(Duration::from_secs(MEASURED_S))?;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), hub.cpu()? - cpu);
    let taken = (rows()? - before) / seconds;
    let Told { streams, rows_sent, rows_stored, .. } =
        agents.reported(&Order::Reported { seconds: 0.0 })?;
    if streams < AGENTS as u64 || rows_stored == 0 {
        bail!("{streams} of {AGENTS} agents report, {rows_stored} of {rows_sent} rows are stored");
    }
    // What is read is kept, up to the bound: all there is to keep.
    hub.get("/api/v1/graph?since=-7d")?;
    hub.get("/api/v1/graph?since=-1d")?;
    let memory = hub.peak_memory()? / MEGABYTE;

    lab.say("reports: killed");
    // While rows wait to be stored: else it would be measured when agents tell of the next interval.
    let waiting = lab.interrupt.poll(TOLD, || {
        let told = agents.reported(&Order::Reported { seconds: 0.0 })?;
        Ok((told.rows_stored < told.rows_sent).then_some(()))
    })?;
    waiting.with_context(|| format!("no agent told anything for {} s", TOLD.as_secs()))?;
    // As kill -9 does.
    drop(hub);
    agents.reported(&Order::Reported { seconds: 0.0 })?;
    let killed = Timestamp::now();
    let (hub, ready_s) = start(lab, &cluster, Some(address), &config)?;
    let told = agents.reported(&Order::Reported { seconds: ACKNOWLEDGED_S })?;
    let first_s = Timestamp(told.first_ns).since(killed).as_secs_f64();
    let again = hub.peak_memory()? / MEGABYTE;
    drop(agents);
    hub.stop()?;
    cluster.stop()?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;

    let row = |name: &str, unit, value| Row::new(NAME, name, unit, Summary::one(value));
    let findings = [
        row("database of 7 days, 5,000 edges", Unit::Megabytes, disk / MEGABYTE),
        row("rows a second of 1,100 agents", Unit::PerSecond, taken).goal(Goal::AtLeast(200_000.0)),
        row("hub meanwhile, of a core", Unit::Percent, 100.0 * cpu / seconds),
        row(
            "the same for 200,000 rows a second",
            Unit::Percent,
            100.0 * cpu / seconds / taken * 2e5,
        )
        .goal(Goal::AtMost(100.0)),
        row("hub at most, after graphs of a day and of 7", Unit::Megabytes, memory)
            .goal(Goal::AtMost(250.0)),
        row("killed and started: ready, ms", Unit::Count, ready_s * 1e3).goal(Goal::AtMost(5000.0)),
        row("and the first batch acknowledged, ms", Unit::Count, first_s * 1e3)
            .goal(Goal::AtMost(5000.0)),
        row("that hub then", Unit::Megabytes, again),
    ];
    Ok(Findings { rows: findings.into(), ..Findings::default() })
}

/// And the seconds until it was ready.
fn start<'a>(
    lab: &'a Lab,
    cluster: &Cluster<'_>,
    agents: Option<std::net::SocketAddr>,
    config: &str,
) -> Result<(Hub<'a>, f64)> {
    let began = Instant::now();
    let hub = Hub::start_with(lab, cluster, agents, false, config)?;
    Ok((hub, began.elapsed().as_secs_f64()))
}
