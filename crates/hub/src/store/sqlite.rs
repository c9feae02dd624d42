//! History in a SQLite database: one file, written ahead (WAL), whole after a kill at any moment.
//!
//! A block is one row with a compressed blob. Names are numbers: texts once each, edges of numbers of texts.

mod schema;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use model::row::{End, Key};
use model::{Direction, Protocol};
use proto::columns::{compress, decompress};
use rusqlite::{Connection, OpenFlags, Row, params};

use super::window::Window;
use super::{
    Block, Commit, Edition, Error, Facts, Level, Loss, PerLevel, Position, Restored, Store,
};

/// Of zstd: a higher one makes blocks 2 % smaller and takes twice the time.
const COMPRESSION: i32 = 3;

pub struct Sqlite {
    path: PathBuf,
    writing: Mutex<Writing>,
    reading: Mutex<Connection>,
    window: Mutex<Window>,
    retention_s: PerLevel<u64>,
    most_bytes: u64,
    /// Blocks that made room, ever.
    evicted: AtomicU64,
}

struct Writing {
    connection: Connection,
    texts: HashMap<Arc<str>, i64>,
    /// Of the next one.
    text: i64,
}

type Result<T> = std::result::Result<T, Error>;

impl Sqlite {
    /// Opens or makes the database at `path`, of at most `most_bytes`. Blocks that are read are kept in at most
    /// `window_bytes` of memory.
    ///
    /// # Errors
    /// It cannot be opened, or another version made it.
    pub fn open(
        path: &Path,
        most_bytes: u64,
        window_bytes: usize,
        retention_s: PerLevel<u64>,
    ) -> Result<Self> {
        let path = path.to_owned();
        if let Some(folder) = path.parent() {
            let failed = |source| Error::Io { path: path.clone(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let failed = |source| Error::Sqlite { path: path.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
        let create = flags | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = Connection::open_with_flags(&path, create).map_err(failed)?;
        schema::prepare(&connection, &path)?;
        let reading = Connection::open_with_flags(&path, flags).map_err(failed)?;
        schema::tune(&reading).map_err(failed)?;
        // Of edges that were forgotten; there are few such starts.
        connection.execute_batch(schema::DROP_TEXTS).map_err(failed)?;
        let mut texts: HashMap<Arc<str>, i64> = HashMap::new();
        {
            let mut all =
                connection.prepare("SELECT id, text FROM text ORDER BY id").map_err(failed)?;
            let mut rows = all.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let text: String = row.get(1).map_err(failed)?;
                texts.insert(Arc::from(text), row.get(0).map_err(failed)?);
            }
        }
        let text = texts.values().copied().max().map_or(0, |last| last + 1);
        Ok(Self {
            path,
            writing: Mutex::new(Writing { connection, texts, text }),
            reading: Mutex::new(reading),
            window: Mutex::new(Window::new(window_bytes)),
            retention_s,
            most_bytes,
            evicted: AtomicU64::new(0),
        })
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + Copy {
        |source| Error::Sqlite { path: self.path.clone(), source }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all<T>(
        &self,
        query: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let all = || -> rusqlite::Result<Vec<T>> {
            let mut statement = reading.prepare_cached(query)?;
            statement.query_map(parameters, read)?.collect()
        };
        all().map_err(self.failed())
    }

    /// `None`: it has gone meanwhile, for it is too old.
    fn load(&self, level: Level, found: &Found) -> Result<Option<Block>> {
        let read = |row: &Row<'_>| row.get::<_, Vec<u8>>(0);
        let packed = self.all("SELECT data FROM block WHERE id = ?1", [found.id], read)?;
        let Some(packed) = packed.first() else { return Ok(None) };
        // Others may read meanwhile.
        let columns = decompress(packed, found.bytes);
        let columns = columns.map_err(|source| Error::Block { id: found.id, source })?;
        Ok(Some(Block {
            level,
            time_s: found.time_s,
            rows: found.rows,
            edges: found.first..=found.last,
            columns,
        }))
    }
}

/// A block's row without its data.
struct Found {
    id: i64,
    time_s: u64,
    rows: u32,
    first: u32,
    last: u32,
    bytes: usize,
}

impl Store for Sqlite {
    fn restore(&self) -> Result<Restored> {
        let mut texts: HashMap<i64, Arc<str>> = HashMap::new();
        for (id, text) in self.all("SELECT id, text FROM text", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })? {
            texts.insert(id, text.into());
        }
        let text = |row: &Row<'_>, column| -> rusqlite::Result<Arc<str>> {
            Ok(texts.get(&row.get::<_, i64>(column)?).cloned().unwrap_or_default())
        };
        let end = |row: &Row<'_>, first| -> rusqlite::Result<End> {
            Ok(End {
                namespace: text(row, first)?,
                kind: text(row, first + 1)?,
                name: text(row, first + 2)?,
                zone: text(row, first + 3)?,
            })
        };
        let edges = self.all(schema::EDGES, [], |row| {
            let key = Key {
                source: end(row, 1)?,
                destination: end(row, 5)?,
                service: text(row, 9)?,
                protocol: Protocol(row.get(10)?),
                port: row.get(11)?,
                direction: if row.get(12)? { Direction::Ingress } else { Direction::Egress },
            };
            Ok((row.get(0)?, Arc::new(key)))
        })?;
        let positions = self.all("SELECT node, life, sequence FROM position", [], |row| {
            Ok(Position {
                node: row.get::<_, String>(0)?.into(),
                life: row.get::<_, i64>(1)? as u64,
                sequence: row.get::<_, i64>(2)? as u64,
            })
        })?;
        let folded = self.all("SELECT level, until FROM folded", [], |row| {
            Ok((row.get::<_, u32>(0)? as usize, row.get::<_, i64>(1)? as u64))
        })?;
        let folded = folded.into_iter();
        let folded = folded.filter_map(|(level, until)| Some((*Level::ALL.get(level)?, until)));
        Ok(Restored { edges, positions, folded: folded.collect() })
    }

    fn commit(&self, commit: &Commit) -> Result<()> {
        let packed = commit.blocks.iter().map(|block| compress(&block.columns, COMPRESSION));
        let failed = |source| Error::Io { path: self.path.clone(), source };
        let packed = packed.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = writing.write(commit, &packed).map_err(self.failed())?;
        drop(writing);
        let mut window = self.window();
        for (id, block) in ids.into_iter().zip(&commit.blocks) {
            window.insert(id as u64, block.clone(), self.retention_s);
        }
        Ok(())
    }

    fn each(
        &self,
        level: Level,
        times_s: Range<u64>,
        give: &mut dyn FnMut(Arc<Block>),
    ) -> Result<()> {
        let parameters = params![level as i64, times_s.start as i64, times_s.end as i64];
        let found = self.all(schema::BLOCKS, parameters, |row| {
            Ok(Found {
                id: row.get(0)?,
                time_s: row.get::<_, i64>(1)? as u64,
                rows: row.get(2)?,
                first: row.get(3)?,
                last: row.get(4)?,
                bytes: row.get::<_, i64>(5)? as usize,
            })
        })?;
        for found in found {
            let held = self.window().get(level, found.time_s, found.id as u64).cloned();
            if let Some(block) = held {
                give(block);
            } else if let Some(block) = self.load(level, &found)?.map(Arc::new) {
                self.window().insert(found.id as u64, block.clone(), self.retention_s);
                give(block);
            }
        }
        Ok(())
    }

    fn edition(&self, level: Level, times_s: Range<u64>) -> Result<Edition> {
        let parameters = params![level as i64, times_s.start as i64, times_s.end as i64];
        let found = self.all(schema::EDITION, parameters, |row| {
            Ok(Edition { blocks: row.get::<_, i64>(0)? as u64, last: row.get::<_, i64>(1)? as u64 })
        })?;
        Ok(found.first().copied().unwrap_or_default())
    }

    fn losses(&self, times_s: Range<u64>) -> Result<Vec<Loss>> {
        self.all(schema::LOSSES, [times_s.start as i64, times_s.end as i64], |row| {
            Ok(Loss {
                node: row.get::<_, String>(0)?.into(),
                reason: row.get::<_, String>(1)?.into(),
                rows: row.get::<_, i64>(2)? as u64,
                since_s: row.get::<_, i64>(3)? as u64,
                until_s: row.get::<_, i64>(4)? as u64,
            })
        })
    }

    fn expire(&self, now_s: u64, retention_s: PerLevel<u64>) -> Result<u64> {
        let before = Level::ALL.map(|it| now_s.saturating_sub(retention_s[it as usize]));
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = writing.expire(before).map_err(self.failed())?;
        let evicted = writing.shrink(self.most_bytes, now_s, retention_s).map_err(self.failed())?;
        drop(writing);
        if evicted > 0 && self.evicted.fetch_add(evicted, Ordering::Relaxed) == 0 {
            tracing::warn!(
                path = %self.path.display(),
                most_bytes = self.most_bytes,
                "history is full: what is oldest goes before its time; raise history.disk, or lower history.keep_*",
            );
        }
        let mut window = self.window();
        for level in Level::ALL {
            window.expire(level, before[level as usize]);
        }
        Ok(gone + evicted)
    }

    fn oldest_s(&self) -> PerLevel<Option<u64>> {
        Level::ALL.map(|level| {
            let read = |row: &Row<'_>| row.get::<_, Option<i64>>(0);
            let oldest = self.all(schema::OLDEST, [level as i64], read).ok()?;
            oldest.into_iter().flatten().next().map(|it| it as u64)
        })
    }

    fn facts(&self) -> Facts {
        let disk_bytes = ["", "-wal"].map(|suffix| {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            std::fs::metadata(path).map_or(0, |it| it.len())
        });
        let mut facts = Facts {
            disk_bytes: disk_bytes.iter().sum(),
            disk_evicted: self.evicted.load(Ordering::Relaxed),
            window: self.window().facts(),
            ..Facts::default()
        };
        let counts = self.all(schema::COUNTS, [], |row| {
            let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
            Ok((number(0)?, number(1)?, number(2)?, number(3)?, number(4)?))
        });
        for (level, blocks, rows, oldest, bytes) in counts.unwrap_or_default() {
            if let Some(level) = Level::ALL.get(level as usize) {
                let level = *level as usize;
                (facts.blocks[level], facts.rows[level]) = (blocks, rows);
                (facts.oldest_s[level], facts.bytes[level]) = (Some(oldest), bytes);
            }
        }
        facts
    }
}
