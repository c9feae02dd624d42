//! The tables, and what is asked of them.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::super::Error;

const VERSION: i64 = 2;

/// `block` is asked for by level and time only; its index has all but the data, so that data is read only where memory
/// does not have it.
const TABLES: &str = "
CREATE TABLE text (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE edge (
    id INTEGER PRIMARY KEY,
    source_namespace INTEGER NOT NULL, source_kind INTEGER NOT NULL,
    source_name INTEGER NOT NULL, source_zone INTEGER NOT NULL,
    destination_namespace INTEGER NOT NULL, destination_kind INTEGER NOT NULL,
    destination_name INTEGER NOT NULL, destination_zone INTEGER NOT NULL,
    service INTEGER NOT NULL, protocol INTEGER NOT NULL, port INTEGER NOT NULL,
    ingress INTEGER NOT NULL
);
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    level INTEGER NOT NULL, time INTEGER NOT NULL, rows INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL,
    bytes INTEGER NOT NULL, packed INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE INDEX block_by_time ON block (level, time, id, rows, first, last, bytes, packed);
CREATE TABLE position (node TEXT PRIMARY KEY, life INTEGER NOT NULL, sequence INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE folded (level INTEGER PRIMARY KEY, until INTEGER NOT NULL);
CREATE TABLE loss (
    node TEXT NOT NULL, reason TEXT NOT NULL, rows INTEGER NOT NULL,
    since INTEGER NOT NULL, until INTEGER NOT NULL
);
CREATE INDEX loss_by_time ON loss (until);
";

pub const EDGES: &str = "
SELECT id, source_namespace, source_kind, source_name, source_zone,
       destination_namespace, destination_kind, destination_name, destination_zone,
       service, protocol, port, ingress
FROM edge ORDER BY id";

pub const DROP_TEXTS: &str = "
DELETE FROM text WHERE id NOT IN (
    SELECT source_namespace FROM edge UNION SELECT source_kind FROM edge
    UNION SELECT source_name FROM edge UNION SELECT source_zone FROM edge
    UNION SELECT destination_namespace FROM edge UNION SELECT destination_kind FROM edge
    UNION SELECT destination_name FROM edge UNION SELECT destination_zone FROM edge
    UNION SELECT service FROM edge)";

pub const BLOCKS: &str = "
SELECT id, time, rows, first, last, bytes FROM block
WHERE level = ?1 AND time >= ?2 AND time < ?3 ORDER BY time, id";

pub const EDITION: &str =
    "SELECT count(*), ifnull(max(id), 0) FROM block WHERE level = ?1 AND time >= ?2 AND time < ?3";

pub const LOSSES: &str = "
SELECT node, reason, sum(rows), min(since), max(until) FROM loss
WHERE until > ?1 AND since < ?2 GROUP BY node, reason ORDER BY node, reason";

pub const OLDEST: &str = "SELECT min(time) FROM block WHERE level = ?1";

/// The first moment of a level that the next one has been made of; of the last level, the first one but the newest.
pub const EXPENDABLE: &str = "
SELECT min(time) FROM block WHERE level = ?1 AND time + ?2 <= CASE ?3
    WHEN TRUE THEN (SELECT max(time) FROM block WHERE level = ?1)
    ELSE ifnull((SELECT until FROM folded WHERE level = ?1 + 1), 0) END";

pub const COUNTS: &str =
    "SELECT level, count(*), sum(rows), min(time), sum(packed) FROM block GROUP BY level";

/// How long to wait for another process, such as a backup.
const BUSY: Duration = Duration::from_secs(5);
/// Of the file ahead, before it is taken over into the database: in pages of 4 KB.
const CHECKPOINT_PAGES: i64 = 2000;

pub fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    // Where the root file system cannot be written there is no folder for temporary files.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -4096)
}

pub fn prepare(connection: &Connection, path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Sqlite { path: path.to_owned(), source };
    let prepare = || -> rusqlite::Result<i64> {
        tune(connection)?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found == 0 {
            // Before the first table: later it has no effect.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What was acknowledged is on the disk, also after a loss of power: one such wait in ten seconds.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", 2 * CHECKPOINT_PAGES * 4096)?;
        if found == 0 {
            connection.execute_batch(&format!(
                "BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
            return Ok(VERSION);
        }
        Ok(found)
    };
    match prepare().map_err(failed)? {
        VERSION => Ok(()),
        found => Err(Error::Version { path: path.to_owned(), found, expected: VERSION }),
    }
}
