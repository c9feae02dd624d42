//! Records summed by row for one interval of time: what the hub is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{DefaultHashBuilder, HashMap};
use model::row::{Key, Values, port};
use model::{ConnectionEvent, Measure, Record, Subject, Timestamp};
use proto::columns::{Writer, compress};

use super::aggregate::connection_key;
use super::memo::{Memo, Pair};
use crate::config;

/// Rows of one batch: what is lost or sent again at once. A hub holds, for each of its thousand agents, as much memory as the
/// largest message took: some 15 KB with so many new keys.
const MOST_ROWS: usize = 128;
/// A key without a value for so many intervals makes room, unless it has open connections.
const IDLE: u32 = 30;
/// Of zstd: batches are small, and made once in an interval.
const COMPRESSION: i32 = 3;

/// Rows of an interval that is over, ready to be sent.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Seconds since 1970.
    pub start_s: u64,
    pub length_s: u32,
    /// Those that the rows have, in the order of their ids.
    pub keys: Vec<Arc<Numbered>>,
    /// As [`proto::columns`] has them, compressed, and their size before.
    pub columns: Vec<u8>,
    pub columns_bytes: u32,
}

/// A key, and its number in this life of the agent.
#[derive(Debug)]
pub struct Numbered {
    pub id: u32,
    pub key: Key,
}

#[derive(Debug, Default)]
pub struct Counters {
    /// Keys that are held.
    pub keys: AtomicU64,
    /// Records that found no room for a key of their own, and were added to the overflow's.
    pub overflow: AtomicU64,
    /// Open connections that `active` lacks for want of room.
    pub uncounted: AtomicU64,
}

pub struct Interval {
    config: config::Report,
    counters: Arc<Counters>,
    start_s: u64,
    index: HashMap<Key, usize>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    memo: Memo<usize>,
    next_id: u32,
    /// The slot of each open connection.
    live: HashMap<u64, usize>,
    max_live: usize,
    hasher: DefaultHashBuilder,
}

struct Slot {
    key: Arc<Numbered>,
    values: Values,
    active: u64,
    /// Intervals without a value.
    idle: u32,
}

impl Interval {
    /// Begins with the interval in which `now` is. Counts at most `max_live` open connections.
    pub fn new(config: &config::Report, max_live: usize, now: Timestamp) -> Self {
        let mut interval = Self {
            config: config.clone(),
            counters: Arc::default(),
            start_s: 0,
            index: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            memo: Memo::default(),
            next_id: 0,
            live: HashMap::new(),
            max_live,
            hasher: DefaultHashBuilder::default(),
        };
        interval.start_s = interval.start_of(now);
        interval
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    pub fn add(&mut self, record: &Record) {
        let event = match &record.subject {
            Subject::Connection(it) => Some(it.event),
            _ => None,
        };
        if event == Some(ConnectionEvent::Closed) {
            let slot = self.live.remove(&connection_key(&self.hasher, record));
            self.leave(slot);
            return;
        }
        let slot = self.slot(record);
        let Some(Some(it)) = self.slots.get_mut(slot) else { return };
        it.values.take(record);
        it.idle = 0;
        if matches!(event, Some(ConnectionEvent::Opened | ConnectionEvent::Accepted)) {
            let key = connection_key(&self.hasher, record);
            if self.live.len() >= self.max_live && !self.live.contains_key(&key) {
                self.counters.uncounted.fetch_add(1, Ordering::Relaxed);
                return;
            }
            it.active += 1;
            // Known already: its end was lost, or it was reported twice.
            let before = self.live.insert(key, slot);
            self.leave(before);
        }
    }

    /// Whether the interval is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.start_of(now) != self.start_s
    }

    /// The rows, and the next interval begins: that in which `now` is.
    pub fn close(&mut self, now: Timestamp) -> Vec<Batch> {
        // And not the time since it began: a clock that was set must not make connections last for years.
        let length_s = self.config.interval.as_secs().max(1);
        let mut rows: Vec<(Arc<Numbered>, Values)> = Vec::new();
        for slot in self.slots.iter_mut().flatten() {
            if slot.active > 0 {
                slot.values.add(Measure::ACTIVE, slot.active * length_s);
            }
            if slot.values.is_empty() {
                slot.idle += 1;
            } else {
                rows.push((slot.key.clone(), std::mem::take(&mut slot.values)));
            }
        }
        self.expire();
        rows.sort_unstable_by_key(|(key, _)| key.id);
        let batches = rows.chunks(MOST_ROWS).filter_map(|rows| self.batch(rows, length_s as u32));
        let batches = batches.collect();
        self.start_s = self.start_of(now);
        self.counters.keys.store(self.index.len() as u64, Ordering::Relaxed);
        batches
    }

    fn batch(&self, rows: &[(Arc<Numbered>, Values)], length_s: u32) -> Option<Batch> {
        let mut writer = Writer::default();
        rows.iter().for_each(|(key, values)| {
            writer.push(key.id, values);
        });
        let columns = writer.finish();
        let columns_bytes = columns.len() as u32;
        let columns = compress(&columns, COMPRESSION)
            .inspect_err(|error| tracing::error!(%error, "cannot compress rows"))
            .ok()?;
        let keys = rows.iter().map(|(key, _)| key.clone()).collect();
        Some(Batch { start_s: self.start_s, length_s, keys, columns, columns_bytes })
    }

    fn start_of(&self, now: Timestamp) -> u64 {
        let now_s = now.0 / 1_000_000_000;
        now_s - now_s % self.config.interval.as_secs().max(1)
    }

    fn leave(&mut self, slot: Option<usize>) {
        if let Some(Some(slot)) = slot.and_then(|slot| self.slots.get_mut(slot)) {
            slot.active = slot.active.saturating_sub(1);
            slot.idle = 0;
        }
    }

    fn slot(&mut self, record: &Record) -> usize {
        let ends = [&record.source, &record.destination];
        let pair = Pair::new(ends, record.protocol, record.direction, port(record));
        if let Some(slot) = self.memo.find(&pair) {
            return slot;
        }
        let key = Key::from(record);
        let slot = match self.index.get(&key) {
            Some(slot) => *slot,
            None if self.index.len() < self.config.max_keys => self.insert(key),
            None => {
                self.counters.overflow.fetch_add(1, Ordering::Relaxed);
                let key = Key::overflow(record.protocol, record.direction);
                // Not kept in the memo: each is counted.
                return match self.index.get(&key) {
                    Some(slot) => *slot,
                    None => self.insert(key),
                };
            }
        };
        self.memo.keep(pair, ends, slot);
        slot
    }

    fn insert(&mut self, key: Key) -> usize {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let numbered = Arc::new(Numbered { id, key: key.clone() });
        let new = Some(Slot { key: numbered, values: Values::default(), active: 0, idle: 0 });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = new;
                slot
            }
            None => {
                self.slots.push(new);
                self.slots.len() - 1
            }
        };
        self.index.insert(key, slot);
        slot
    }

    fn expire(&mut self) {
        let gone = |slot: &Slot| slot.idle >= IDLE && slot.active == 0;
        let mut any = false;
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if let Some(slot) = slot.take_if(|slot| gone(slot)) {
                self.index.remove(&slot.key.key);
                self.free.push(place);
                any = true;
            }
        }
        if any {
            self.memo.forget();
        }
        if self.live.capacity() > 4096 && self.live.len() < self.live.capacity() / 4 {
            self.live.shrink_to(self.live.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests;
