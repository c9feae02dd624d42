//! Blocks in memory, the newest longest: what is asked for again and again is recent.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::{Block, Level, PerLevel};

/// Ordered by when they end, so that the first is the one to go.
type Place = (u64, u64);

/// Bounded by bytes.
#[derive(Debug)]
pub struct Window {
    most_bytes: usize,
    bytes: usize,
    next: u64,
    levels: PerLevel<BTreeMap<Place, Arc<Block>>>,
    evicted: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub bytes: u64,
    pub most_bytes: u64,
    pub blocks: u64,
    /// Blocks that had to make room, ever.
    pub evicted: u64,
}

impl Window {
    pub fn new(most_bytes: usize) -> Self {
        Self { most_bytes, bytes: 0, next: 0, levels: Default::default(), evicted: 0 }
    }

    /// A number that no other block has, unless it is the store's own.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn get(&self, level: Level, time_s: u64, number: u64) -> Option<&Arc<Block>> {
        self.levels[level as usize].get(&(time_s, number))
    }

    /// What goes for it is what is oldest, measured by what its level is kept for.
    pub fn insert(&mut self, number: u64, block: Arc<Block>, retention_s: PerLevel<u64>) {
        self.bytes += block.bytes();
        let (level, place) = (block.level as usize, (block.time_s, number));
        if let Some(before) = self.levels[level].insert(place, block) {
            self.bytes -= before.bytes();
        }
        while self.bytes > self.most_bytes {
            let now_s = self.newest_s();
            let part = |level: &Level| {
                let first = self.levels[*level as usize].first_key_value();
                first.map(|((time, _), _)| {
                    (now_s - time.min(&now_s)) as f64 / retention_s[*level as usize].max(1) as f64
                })
            };
            let oldest = Level::ALL.into_iter().filter(|it| part(it).is_some());
            let oldest = oldest
                .max_by(|a, b| part(a).partial_cmp(&part(b)).unwrap_or(std::cmp::Ordering::Equal));
            let Some(level) = oldest else { break };
            if let Some((_, gone)) = self.levels[level as usize].pop_first() {
                self.bytes -= gone.bytes();
                self.evicted += 1;
            }
        }
    }

    /// Numbers and blocks, in the order of their times.
    pub fn range(
        &self,
        level: Level,
        times_s: Range<u64>,
    ) -> impl Iterator<Item = (u64, &Arc<Block>)> {
        let range = (times_s.start, 0)..(times_s.end.max(times_s.start), 0);
        self.levels[level as usize].range(range).map(|((_, number), block)| (*number, block))
    }

    /// Forgets what ended before: how many.
    pub fn expire(&mut self, level: Level, before_s: u64) -> u64 {
        let rest = self.levels[level as usize].split_off(&(before_s, 0));
        let gone = std::mem::replace(&mut self.levels[level as usize], rest);
        self.bytes -= gone.values().map(|it| it.bytes()).sum::<usize>();
        gone.len() as u64
    }

    pub fn level(&self, level: Level) -> impl Iterator<Item = &Arc<Block>> {
        self.levels[level as usize].values()
    }

    pub fn facts(&self) -> Facts {
        Facts {
            bytes: self.bytes as u64,
            most_bytes: self.most_bytes as u64,
            blocks: self.levels.iter().map(|it| it.len() as u64).sum(),
            evicted: self.evicted,
        }
    }

    fn newest_s(&self) -> u64 {
        let last = |level: &BTreeMap<Place, Arc<Block>>| {
            level.last_key_value().map_or(0, |(_, block)| block.until_s())
        };
        self.levels.iter().map(last).max().unwrap_or(0)
    }
}
