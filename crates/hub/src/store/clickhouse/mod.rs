//! History in a ClickHouse server, which all replicas of the hub share, and which adds up itself.
//!
//! There is no transaction over several tables, and an insert without an answer may have been done. So every row is a
//! fact that names itself: a row of ten seconds by its edge and by the batch in which its node told it (node, life,
//! sequence). Whoever stores it again (a retry, the next life, another replica) stores the same, and the engine keeps one
//! of them. A coarser row is made by the engine of all finer ones, and the one that is made of most counts.

mod binary;
mod edges;
mod schema;
mod server;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use daemon::tls;
use model::Timestamp;
use model::row::Values;
use tokio::runtime::Handle;

use super::{
    Batch, Block, Catalogue, Commit, Edition, Error, FOLD_AFTER_S, Facts, Level, Loss, PerLevel,
    Position, Restored, Store, Want, blocks,
};
use crate::config;
use binary::Short;
use edges::Edges;
use server::Server;

/// Bytes of one insert, before the next begins.
const INSERT_BYTES: usize = 16 << 20;
/// How far ahead the clock of another replica may be: it may have made what is not over here.
const AHEAD_S: u64 = 5;
/// Edges that are asked for at once: a query has 256 KB at most.
const ASKED_EDGES: usize = 5000;

type Result<T> = std::result::Result<T, Error>;

pub struct ClickHouse {
    server: Server,
    edges: Edges,
    keep_s: PerLevel<u64>,
    /// As of the last flush: who asks for it must not wait.
    facts: Mutex<Facts>,
}

impl ClickHouse {
    /// Nothing is asked of the server yet: it may be away.
    ///
    /// # Errors
    /// The file of authorities cannot be used.
    pub fn new(
        config: config::ClickHouse,
        keep_s: PerLevel<u64>,
        catalogue: Arc<Catalogue>,
        runtime: Handle,
    ) -> std::result::Result<Self, tls::Error> {
        let server = Server::new(config, runtime)?;
        Ok(Self { server, edges: Edges::new(catalogue), keep_s, facts: Mutex::default() })
    }

    /// What follows the file of authorities.
    pub fn tls(&self) -> Option<&tls::Client> {
        self.server.tls()
    }

    fn failed(&self, reason: String) -> Error {
        Error::ClickHouse { url: self.server.url().to_owned(), reason }
    }

    fn ask(&self, query: String) -> Result<Bytes> {
        self.server.ask(query).map_err(|reason| self.failed(reason))
    }

    /// All rows of an answer.
    fn rows<T>(
        &self,
        query: String,
        mut read: impl FnMut(&mut &[u8]) -> std::result::Result<T, Short>,
    ) -> Result<Vec<T>> {
        let answer = self.ask(query)?;
        let (mut bytes, mut rows) = (&answer[..], Vec::new());
        while !bytes.is_empty() {
            let row = read(&mut bytes);
            rows.push(row.map_err(|Short| self.failed("an answer of another form".into()))?);
        }
        Ok(rows)
    }

    fn insert(&self, query: &str, rows: Vec<u8>) -> Result<()> {
        match rows.is_empty() {
            true => Ok(()),
            false => self.server.insert(query, rows).map_err(|reason| self.failed(reason)),
        }
    }

    /// The names first: every row that is there has one.
    fn insert_rows(&self, batches: &[Batch]) -> Result<()> {
        let day = now_s() / 86_400;
        let numbers = batches.iter().flat_map(|it| it.rows.iter().map(|(edge, _)| *edge));
        let (ids, untold) = self.edges.ids(numbers, day as u32);
        let mut out = Vec::new();
        for (_, id, key) in &untold {
            edges::put(&mut out, *id, key);
            binary::put_u32(&mut out, now_s() as u32);
        }
        let names = format!("INSERT INTO edge ({}, seen) FORMAT RowBinary", schema::EDGE);
        self.insert(&names, out)?;
        self.edges.told(untold.into_iter().map(|(number, ..)| number), day as u32);
        let (query, mut out) = (schema::insert_rows(), Vec::new());
        for batch in batches {
            for (edge, values) in &batch.rows {
                let Some(id) = ids.get(edge) else { continue };
                binary::put_u32(&mut out, batch.time_s as u32);
                binary::put_u64(&mut out, *id);
                binary::put_text(&mut out, &batch.node);
                binary::put_u64(&mut out, batch.life);
                binary::put_u64(&mut out, batch.sequence);
                binary::put_values(&mut out, values);
            }
            if out.len() > INSERT_BYTES {
                self.insert(&query, std::mem::take(&mut out))?;
            }
        }
        self.insert(&query, out)
    }

    fn insert_losses(&self, commit: &Commit) -> Result<()> {
        let mut out = Vec::new();
        let mut put = |loss: &Loss, life, sequence| {
            binary::put_text(&mut out, &loss.node);
            binary::put_u64(&mut out, life);
            binary::put_u64(&mut out, sequence);
            binary::put_text(&mut out, &loss.reason);
            binary::put_u64(&mut out, loss.rows);
            binary::put_u32(&mut out, loss.since_s.min(u32::MAX.into()) as u32);
            binary::put_u32(&mut out, loss.until_s.min(u32::MAX.into()) as u32);
        };
        commit.losses.iter().for_each(|loss| put(loss, 0, 0));
        for batch in &commit.batches {
            batch.losses.iter().for_each(|loss| put(loss, batch.life, batch.sequence));
        }
        let query =
            "INSERT INTO loss (node, life, sequence, reason, rows, since, until) FORMAT RowBinary";
        self.insert(query, out)
    }

    fn insert_positions(&self, positions: &[Position]) -> Result<()> {
        let mut out = Vec::new();
        for it in positions {
            binary::put_text(&mut out, &it.node);
            binary::put_u64(&mut out, it.life);
            binary::put_u64(&mut out, it.sequence);
            binary::put_u32(&mut out, now_s() as u32);
        }
        self.insert("INSERT INTO position (node, life, sequence, seen) FORMAT RowBinary", out)
    }

    fn read(
        &self,
        level: Level,
        times_s: &Range<u64>,
        step_s: Option<u64>,
        want: &Want<'_>,
        give: &mut dyn FnMut(Arc<Block>),
    ) -> Result<Option<u64>> {
        if times_s.is_empty() {
            return Ok(None);
        }
        let query = schema::read(level, times_s, step_s, want.measures, want.select);
        let mut last = None;
        let mut rows = self.rows(query, |bytes| {
            let (step, id) = (binary::u32(bytes)?, binary::u64(bytes)?);
            last = last.max(Some(binary::u32(bytes)?));
            Ok((step, id, binary::values(bytes, want.measures)?))
        })?;
        let numbers = self.numbers(&rows)?;
        let number = |id: &u64| numbers.get(id).copied().unwrap_or(u32::MAX);
        rows.sort_unstable_by_key(|(step, id, _)| (*step, number(id)));
        for step in rows.chunk_by(|a, b| a.0 == b.0) {
            // Several that have no room are one here.
            let edges = step.chunk_by(|a, b| number(&a.1) == number(&b.1)).map(|same| {
                let mut sum = same[0].2.clone();
                same[1..].iter().for_each(|(.., values)| sum.merge(values));
                (number(&same[0].1), sum)
            });
            let found = blocks(level, step[0].0.into(), edges.filter(|(edge, _)| *edge < u32::MAX));
            found.into_iter().map(Arc::new).for_each(&mut *give);
        }
        Ok(last.map(|last| u64::from(last) + level.seconds()))
    }

    /// Of all edges of `rows`; what is not known here is asked for.
    fn numbers(&self, rows: &[(u32, u64, Values)]) -> Result<hashbrown::HashMap<u64, u32>> {
        let (mut numbers, unknown) = self.edges.numbers(rows.iter().map(|(_, id, _)| *id));
        for ids in unknown.chunks(ASKED_EDGES) {
            let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
            let query = format!(
                "SELECT {} FROM edge FINAL WHERE id IN ({}) FORMAT RowBinary",
                schema::EDGE,
                ids.join(",")
            );
            let found = self.rows(query, edges::read)?;
            numbers.extend(self.edges.learn(found, (now_s() / 86_400) as u32));
        }
        let nameless = unknown.iter().filter(|id| !numbers.contains_key(*id)).count();
        if nameless > 0 {
            tracing::error!(
                edges = nameless,
                "history has rows of edges without a name (table edge); they are left out"
            );
        }
        Ok(numbers)
    }

    fn look(&self) -> Result<()> {
        let mut facts = Facts::default();
        let now_s = now_s();
        for level in Level::ALL {
            let query = format!(
                "SELECT toUInt32(min(time)), count() FROM {} FORMAT RowBinary",
                schema::table(level)
            );
            let found = self.rows(query, |it| Ok((binary::u32(it)?, binary::u64(it)?)))?;
            if let Some((oldest_s, rows)) = found.first().filter(|(_, rows)| *rows > 0) {
                let kept_s = now_s.saturating_sub(self.keep_s[level as usize]);
                facts.oldest_s[level as usize] =
                    Some(u64::from(*oldest_s).max(level.floor(kept_s)));
                facts.rows[level as usize] = *rows;
            }
        }
        let parts = "SELECT table, count(), sum(bytes_on_disk) FROM system.parts \
             WHERE active AND database = currentDatabase() GROUP BY table FORMAT RowBinary";
        let parts = self.rows(parts.to_owned(), |it| {
            Ok((binary::text(it)?.into_owned(), binary::u64(it)?, binary::u64(it)?))
        });
        // Nobody has to let the hub see that.
        for (table, parts, bytes) in parts.unwrap_or_default() {
            facts.disk_bytes += bytes;
            if let Some(level) = Level::ALL.into_iter().find(|it| schema::table(*it) == table) {
                facts.blocks[level as usize] = parts;
                facts.bytes[level as usize] = bytes;
            }
        }
        *self.held() = facts;
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for ClickHouse {
    fn restore(&self) -> Result<Restored> {
        for statement in schema::create(self.keep_s) {
            self.ask(statement)?;
        }
        let query = "SELECT node, tupleElement(last, 1), tupleElement(last, 2) FROM \
             (SELECT node, max((life, sequence)) AS last FROM position GROUP BY node) FORMAT RowBinary";
        let positions = self.rows(query.to_owned(), |it| {
            let node = binary::text(it)?.into();
            Ok(Position { node, life: binary::u64(it)?, sequence: binary::u64(it)? })
        })?;
        let mut folded = Vec::new();
        for level in [Level::Minute, Level::Hour] {
            let Some(finer) = level.finer() else { continue };
            let query = format!(
                "SELECT toUInt32(ifNull((SELECT max(time) FROM {}), toDateTime(0))), toUInt32(min(time)), count() FROM {} FORMAT RowBinary",
                schema::table(level),
                schema::table(finer)
            );
            let found =
                self.rows(query, |it| Ok((binary::u32(it)?, binary::u32(it)?, binary::u64(it)?)))?;
            if let Some((last, first, _)) = found.first().filter(|(.., rows)| *rows > 0) {
                // The last one may lack what came after it was made.
                folded.push((level, level.floor(u64::from(*first)).max(u64::from(*last))));
            }
        }
        self.look()?;
        Ok(Restored { edges: Vec::new(), positions, folded })
    }

    /// In an order in which nothing is lost or counted twice if it breaks off: positions, which are acknowledged, come last.
    fn commit(&self, commit: &Commit) -> Result<()> {
        self.insert_rows(&commit.batches)?;
        for (level, time_s) in late(&commit.batches, now_s()) {
            self.fold(level, time_s)?;
        }
        self.insert_losses(commit)?;
        self.insert_positions(&commit.positions)
    }

    fn each(
        &self,
        level: Level,
        times_s: Range<u64>,
        give: &mut dyn FnMut(Arc<Block>),
    ) -> Result<()> {
        self.read(level, &times_s, Some(level.seconds()), &Want::default(), give).map(drop)
    }

    /// Nobody keeps what the engine added up: others add to it.
    fn edition(&self, _level: Level, _times_s: Range<u64>) -> Result<Edition> {
        Ok(Edition::default())
    }

    fn sums(
        &self,
        level: Level,
        times_s: Range<u64>,
        want: &Want<'_>,
        give: &mut dyn FnMut(Arc<Block>),
    ) -> Result<Option<u64>> {
        self.read(level, &times_s, want.step_s, want, give)
    }

    fn fold(&self, level: Level, time_s: u64) -> Result<()> {
        match level.finer() {
            Some(finer) => self.ask(schema::fold(level, finer, time_s)).map(drop),
            None => Ok(()),
        }
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn losses(&self, times_s: Range<u64>) -> Result<Vec<Loss>> {
        let query = format!(
            "SELECT node, reason, sum(rows), toUInt32(min(since)), toUInt32(max(until)) FROM loss FINAL \
             WHERE until > toDateTime({}, 'UTC') AND since < toDateTime({}, 'UTC') \
             GROUP BY node, reason ORDER BY node, reason FORMAT RowBinary",
            times_s.start.min(u32::MAX.into()),
            times_s.end.min(u32::MAX.into())
        );
        self.rows(query, |it| {
            Ok(Loss {
                node: binary::text(it)?.into(),
                reason: binary::text(it)?.into(),
                rows: binary::u64(it)?,
                since_s: binary::u32(it)?.into(),
                until_s: binary::u32(it)?.into(),
            })
        })
    }

    /// The engine does (TTL).
    fn expire(&self, _now_s: u64, _keep_s: PerLevel<u64>) -> Result<u64> {
        self.look()?;
        Ok(0)
    }

    fn oldest_s(&self) -> PerLevel<Option<u64>> {
        self.held().oldest_s
    }

    fn facts(&self) -> Facts {
        self.held().clone()
    }
}

/// Intervals of coarser levels that may have been made without these rows, the finer ones first.
fn late(batches: &[Batch], now_s: u64) -> BTreeSet<(Level, u64)> {
    let filled = batches.iter().filter(|it| !it.rows.is_empty());
    let within = filled
        .flat_map(|it| [Level::Minute, Level::Hour].map(|level| (level, level.floor(it.time_s))));
    within
        .filter(|(level, time_s)| time_s + level.seconds() + FOLD_AFTER_S <= now_s + AHEAD_S)
        .collect()
}

fn now_s() -> u64 {
    Timestamp::now().0 / 1_000_000_000
}
