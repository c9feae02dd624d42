//! Where rows are kept: blocks of columns by level and time, append only.
//!
//! All values add up, so a block is never changed: what comes late is one more block of the same time, and whoever asks
//! adds them. A coarser level is made of the finer one's blocks when its time is over; how far that is done is kept in the
//! same transaction, as is how far each agent's batches have come.

mod block;
mod catalogue;
mod clickhouse;
mod memory;
mod sqlite;
mod together;
mod window;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use model::Measure;
use model::row::{Key, Values};
use proto::columns::Malformed;

use crate::query::Select;

pub use block::{Block, blocks};
pub use catalogue::{Catalogue, Edges, key, sample_key};
pub use clickhouse::ClickHouse;
pub use memory::Memory;
pub use sqlite::Sqlite;
pub use together::Together;
pub use window::Facts as WindowFacts;

/// How long after the end of an interval the next level is made of it: what comes later is added to both.
pub const FOLD_AFTER_S: u64 = 15;

/// How long an interval a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    TenSeconds,
    Minute,
    Hour,
}

impl Level {
    /// Finest first.
    pub const ALL: [Self; 3] = [Self::TenSeconds, Self::Minute, Self::Hour];

    pub fn seconds(self) -> u64 {
        match self {
            Self::TenSeconds => 10,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// As the value of a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::TenSeconds => "10s",
            Self::Minute => "1m",
            Self::Hour => "1h",
        }
    }

    pub fn finer(self) -> Option<Self> {
        match self {
            Self::TenSeconds => None,
            Self::Minute => Some(Self::TenSeconds),
            Self::Hour => Some(Self::Minute),
        }
    }

    /// The beginning of the interval of this level in which `time_s` is.
    pub fn floor(self, time_s: u64) -> u64 {
        time_s - time_s % self.seconds()
    }

    /// The first beginning of an interval at or after `time_s`.
    pub fn ceil(self, time_s: u64) -> u64 {
        time_s.next_multiple_of(self.seconds())
    }
}

/// One for each [`Level`].
pub type PerLevel<T> = [T; Level::ALL.len()];

/// How far a node's batches have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub node: Arc<str>,
    pub life: u64,
    pub sequence: u64,
}

/// Rows that never came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub node: Arc<str>,
    pub reason: Arc<str>,
    /// 0: not known.
    pub rows: u64,
    /// The time to which they belong, in seconds since 1970.
    pub since_s: u64,
    pub until_s: u64,
}

/// What one node told of ten seconds, for stores that know rows by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub node: Arc<str>,
    pub life: u64,
    pub sequence: u64,
    /// The interval's beginning, in seconds since 1970.
    pub time_s: u64,
    /// Each edge once.
    pub rows: Vec<(u32, Values)>,
    pub losses: Vec<Loss>,
}

/// What is stored together, or not at all; or, if the store is shared, so that it can be stored once more.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// New ones, in the order of their ids.
    pub edges: Vec<(u32, Arc<Key>)>,
    /// Edges of which nothing is kept any more.
    pub forgotten: Vec<u32>,
    /// Rows, added up; none if the store is shared.
    pub blocks: Vec<Arc<Block>>,
    /// Rows as they came; none unless the store is shared.
    pub batches: Vec<Batch>,
    pub positions: Vec<Position>,
    pub losses: Vec<Loss>,
    /// Up to when each coarser level has been made, if it has been now.
    pub folded: Vec<(Level, u64)>,
}

impl Commit {
    pub fn is_empty(&self) -> bool {
        let Self { edges, forgotten, blocks, batches, positions, losses, folded } = self;
        edges.is_empty()
            && forgotten.is_empty()
            && blocks.is_empty()
            && batches.is_empty()
            && positions.is_empty()
            && losses.is_empty()
            && folded.is_empty()
    }
}

/// What was stored before this life of the hub.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    pub edges: Vec<(u32, Arc<Key>)>,
    pub positions: Vec<Position>,
    pub folded: Vec<(Level, u64)>,
}

/// Which rows are asked for, and how far they may be added up. A store may give more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Want<'a> {
    /// `None`: all edges, or all measures.
    pub select: Option<&'a Select>,
    pub measures: Option<&'a [Measure]>,
    /// Rows of so many seconds may be one, from multiples of them on; `None`: of all the time.
    pub step_s: Option<u64>,
}

/// Which blocks there are of a time: another one when one came or went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edition {
    pub blocks: u64,
    /// The number of the last one that came.
    pub last: u64,
}

/// How much there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// On disk; 0 without.
    pub disk_bytes: u64,
    /// Blocks that made room there before they were too old, ever.
    pub disk_evicted: u64,
    pub blocks: PerLevel<u64>,
    pub rows: PerLevel<u64>,
    /// Their size as they are kept.
    pub bytes: PerLevel<u64>,
    /// The beginning of the first block, in seconds since 1970; `None`: there is none.
    pub oldest_s: PerLevel<Option<u64>>,
    pub window: WindowFacts,
}

/// Each message is one line: what, which object, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "history {path}: {source}; check the disk, or set history.path = \"\" to keep it in memory"
    )]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("history {path}: {source}; check the folder and its rights (history.path)")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "history {path}: written by another version ({found}, not {expected}); move it away to begin anew"
    )]
    Version { path: PathBuf, found: i64, expected: i64 },
    #[error(
        "history in ClickHouse at {url}: {reason}; check the server, and what [clickhouse] says of it"
    )]
    ClickHouse { url: String, reason: String },
    #[error("history: block {id}: {source}")]
    Block { id: i64, source: Malformed },
}

/// Keeps what it is given until it is too old. Calls block: they are no work for an async task.
pub trait Store: Send + Sync {
    fn restore(&self) -> Result<Restored, Error>;

    /// Once this returns it is kept, as durably as the store can.
    fn commit(&self, commit: &Commit) -> Result<(), Error>;

    /// Gives those that begin within `times_s` one by one, in the order of their times: all together may be more than there
    /// is memory for.
    fn each(
        &self,
        level: Level,
        times_s: Range<u64>,
        give: &mut dyn FnMut(Arc<Block>),
    ) -> Result<(), Error>;

    /// The same at once, for few.
    fn blocks(&self, level: Level, times_s: Range<u64>) -> Result<Vec<Arc<Block>>, Error> {
        let mut blocks = Vec::new();
        self.each(level, times_s, &mut |block| blocks.push(block))?;
        Ok(blocks)
    }

    fn edition(&self, level: Level, times_s: Range<u64>) -> Result<Edition, Error>;

    /// Gives the rows that begin within `times_s`, added up as far as the store does that itself, in the order of their
    /// times: the end of the last interval in them.
    fn sums(
        &self,
        level: Level,
        times_s: Range<u64>,
        _want: &Want<'_>,
        give: &mut dyn FnMut(Arc<Block>),
    ) -> Result<Option<u64>, Error> {
        let mut until_s = None;
        self.each(level, times_s, &mut |block| {
            until_s = until_s.max(Some(block.until_s()));
            give(block);
        })?;
        Ok(until_s)
    }

    /// Makes the interval of a coarser level that begins at `time_s` of the finer one's.
    fn fold(&self, level: Level, time_s: u64) -> Result<(), Error> {
        let Some(finer) = level.finer() else { return Ok(()) };
        let until_s = time_s + level.seconds();
        let mut parts = Together::new(level, time_s);
        self.each(finer, time_s..until_s, &mut |block| parts.push(block))?;
        let blocks = parts.sum().blocks;
        self.commit(&Commit { blocks, folded: vec![(level, until_s)], ..Commit::default() })
    }

    /// All replicas use it, so that it has what each was told. It takes batches, knows what it is given twice, gives sums
    /// rather than blocks, and may be away when the hub starts.
    fn is_shared(&self) -> bool {
        false
    }

    /// Those that concern any of `times_s`, added up by node and reason.
    fn losses(&self, times_s: Range<u64>) -> Result<Vec<Loss>, Error>;

    /// Forgets what is older than the level's retention: how many blocks. Called after every flush.
    fn expire(&self, now_s: u64, retention_s: PerLevel<u64>) -> Result<u64, Error>;

    /// The beginning of each level's first block, in seconds since 1970.
    fn oldest_s(&self) -> PerLevel<Option<u64>>;

    fn facts(&self) -> Facts;
}

#[cfg(test)]
mod tests;
