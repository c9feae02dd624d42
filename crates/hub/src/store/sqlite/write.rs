//! One transaction for each commit.

use std::sync::Arc;

use model::Direction;
use model::row::{End, Key};
use rusqlite::{Connection, Transaction, params};

use super::super::{Commit, Level, PerLevel};
use super::{Writing, schema};

/// So many moments' blocks make room at once: more when the next ones come.
const MOST_MOMENTS: usize = 256;
/// Of the database goes more than must, so that it is not done after every flush.
const SPARE: u64 = 64;
/// Free pages that are given back to the file system at once: in between, others may use them.
const VACUUM_PAGES: i64 = 4096;

impl Writing {
    /// The blocks' ids.
    pub fn write(&mut self, commit: &Commit, packed: &[Vec<u8>]) -> rusqlite::Result<Vec<i64>> {
        let Self { connection, texts, text } = self;
        let transaction = connection.transaction()?;
        let before = *text;
        let written = (|| {
            let mut added = Vec::new();
            for (id, key) in &commit.edges {
                let number = |it: &Arc<str>| {
                    if let Some(number) = texts.get(it) {
                        return *number;
                    }
                    texts.insert(it.clone(), *text);
                    added.push((*text, it.clone()));
                    *text += 1;
                    *text - 1
                };
                insert_edge(&transaction, *id, key, number)?;
            }
            for (number, it) in &added {
                transaction
                    .prepare_cached("INSERT INTO text (id, text) VALUES (?1, ?2)")?
                    .execute(params![number, &**it])?;
            }
            let ids = insert_rest(&transaction, commit, packed)?;
            transaction.commit()?;
            Ok(ids)
        })();
        if written.is_err() {
            // They are to be told again.
            texts.retain(|_, number| *number < before);
            *text = before;
        }
        written
    }

    /// How many blocks went.
    pub fn expire(&mut self, before_s: PerLevel<u64>) -> rusqlite::Result<u64> {
        let transaction = self.connection.transaction()?;
        let mut gone = 0;
        for level in Level::ALL {
            gone += transaction
                .prepare_cached("DELETE FROM block WHERE level = ?1 AND time < ?2")?
                .execute([level as i64, before_s[level as usize] as i64])?;
        }
        let longest = before_s.into_iter().min().unwrap_or(0);
        transaction
            .prepare_cached("DELETE FROM loss WHERE until <= ?1")?
            .execute([longest as i64])?;
        transaction.commit()?;
        self.give_back(gone)
    }

    /// Forgets what is oldest, measured by what its level is kept for, until the database takes at most `most_bytes`: how
    /// many blocks went. What the next level has not been made of stays.
    pub fn shrink(
        &mut self,
        most_bytes: u64,
        now_s: u64,
        retention_s: PerLevel<u64>,
    ) -> rusqlite::Result<u64> {
        let used = used_bytes(&self.connection)?;
        if used <= most_bytes {
            return Ok(0);
        }
        let mut surplus = used - most_bytes + most_bytes / SPARE;
        let transaction = self.connection.transaction()?;
        let mut gone = 0;
        for _ in 0..MOST_MOMENTS {
            let Some((level, time_s)) = oldest(&transaction, now_s, retention_s)? else { break };
            let query = "DELETE FROM block WHERE level = ?1 AND time = ?2 RETURNING packed";
            let mut statement = transaction.prepare_cached(query)?;
            let packed = statement.query_map([level as i64, time_s], |row| row.get::<_, i64>(0))?;
            for bytes in packed {
                surplus = surplus.saturating_sub(bytes? as u64);
                gone += 1;
            }
            if surplus == 0 {
                break;
            }
        }
        transaction.commit()?;
        self.give_back(gone)
    }

    /// Pages to the file system, after so many blocks went.
    fn give_back(&self, gone: usize) -> rusqlite::Result<u64> {
        if gone > 0 {
            let vacuum = format!("PRAGMA incremental_vacuum({VACUUM_PAGES})");
            let mut statement = self.connection.prepare_cached(&vacuum)?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(gone as u64)
    }
}

/// Without pages that are free.
fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok((pages * pragma("page_size")?) as u64)
}

/// The level and time of what may go first.
fn oldest(
    transaction: &Transaction<'_>,
    now_s: u64,
    retention_s: PerLevel<u64>,
) -> rusqlite::Result<Option<(Level, i64)>> {
    let mut oldest: Option<(f64, Level, i64)> = None;
    for level in Level::ALL {
        let is_last = Some(&level) == Level::ALL.last();
        let time_s: Option<i64> = transaction
            .prepare_cached(schema::EXPENDABLE)?
            .query_row(params![level as i64, level.seconds() as i64, is_last], |row| row.get(0))?;
        let Some(time_s) = time_s else { continue };
        let age = now_s.saturating_sub(time_s as u64) as f64;
        let part = age / retention_s[level as usize].max(1) as f64;
        if oldest.is_none_or(|(other, ..)| part > other) {
            oldest = Some((part, level, time_s));
        }
    }
    Ok(oldest.map(|(_, level, time_s)| (level, time_s)))
}

fn insert_edge(
    transaction: &Transaction<'_>,
    id: u32,
    key: &Key,
    mut number: impl FnMut(&Arc<str>) -> i64,
) -> rusqlite::Result<()> {
    let mut end = |end: &End| [&end.namespace, &end.kind, &end.name, &end.zone].map(&mut number);
    let ([namespace, kind, name, zone], to) = (end(&key.source), end(&key.destination));
    let query = "INSERT OR REPLACE INTO edge VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    transaction.prepare_cached(query)?.execute(params![
        id,
        namespace,
        kind,
        name,
        zone,
        to[0],
        to[1],
        to[2],
        to[3],
        number(&key.service),
        key.protocol.0,
        key.port,
        key.direction == Direction::Ingress,
    ])?;
    Ok(())
}

fn insert_rest(
    transaction: &Transaction<'_>,
    commit: &Commit,
    packed: &[Vec<u8>],
) -> rusqlite::Result<Vec<i64>> {
    for id in &commit.forgotten {
        transaction.prepare_cached("DELETE FROM edge WHERE id = ?1")?.execute([id])?;
    }
    let mut ids = Vec::with_capacity(packed.len());
    for (block, data) in commit.blocks.iter().zip(packed) {
        let query = "INSERT INTO block (level, time, rows, first, last, bytes, packed, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        transaction.prepare_cached(query)?.execute(params![
            block.level as i64,
            block.time_s as i64,
            block.rows,
            block.edges.start(),
            block.edges.end(),
            block.columns.len() as i64,
            data.len() as i64,
            data,
        ])?;
        ids.push(transaction.last_insert_rowid());
    }
    for it in &commit.positions {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO position VALUES (?1, ?2, ?3)")?
            .execute(params![&*it.node, it.life as i64, it.sequence as i64])?;
    }
    for it in &commit.losses {
        transaction.prepare_cached("INSERT INTO loss VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(
            params![&*it.node, &*it.reason, it.rows as i64, it.since_s as i64, it.until_s as i64],
        )?;
    }
    for (level, until) in &commit.folded {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO folded VALUES (?1, ?2)")?
            .execute([*level as i64, *until as i64])?;
    }
    Ok(ids)
}
