//! A bounded table of series.

use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use hashbrown::{DefaultHashBuilder, Equivalent, HashTable};

use super::labels::{Ends, Labels};

/// What a series counts.
pub trait Values: Default + Clone {
    /// Counts something that still lives: must not expire.
    fn is_live(&self) -> bool {
        false
    }
}

/// Series by label set. A series keeps its [`Slot`] while it lives.
pub struct Table<V> {
    max: usize,
    hasher: DefaultHashBuilder,
    index: HashTable<Slot>,
    slots: Vec<Option<Series<V>>>,
    free: Vec<Slot>,
    /// Series that take what has no room; they do not count as such.
    overflows: usize,
}

pub type Slot = u32;

#[derive(Clone, Debug)]
pub struct Series<V> {
    pub labels: Labels,
    pub values: V,
    changed: Instant,
    /// Takes what has no room.
    overflow: bool,
}

impl<V: Values> Table<V> {
    /// Of `max` series at most, besides those that take the overflow (one for each protocol and direction).
    pub fn new(max: usize) -> Self {
        Self {
            max,
            hasher: DefaultHashBuilder::default(),
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            overflows: 0,
        }
    }

    /// The series of `ends`, and whether it is the overflow's because there is no room for its own.
    pub fn entry(&mut self, ends: &Ends<'_>, now: Instant) -> (Slot, &mut V, bool) {
        let own = self.find(ends);
        let (slot, overflow) = match own {
            Some(slot) => (slot, false),
            None if self.index.len() - self.overflows < self.max => {
                (self.insert(ends, now, false), false)
            }
            None => {
                let ends = ends.overflow();
                let slot = self.find(&ends).unwrap_or_else(|| {
                    self.overflows += 1;
                    self.insert(&ends, now, true)
                });
                (slot, true)
            }
        };
        // `find` and `insert` give slots that are taken.
        let series =
            self.slots[slot as usize].get_or_insert_with(|| Series::new(ends, now, overflow));
        series.changed = now;
        (slot, &mut series.values, overflow)
    }

    pub fn get_mut(&mut self, slot: Slot, now: Instant) -> Option<&mut V> {
        let series = self.slots.get_mut(slot as usize)?.as_mut()?;
        series.changed = now;
        Some(&mut series.values)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Series<V>> {
        self.slots.iter().flatten()
    }

    /// Forgets series that did not change for `expiry`, unless they count something live.
    pub fn expire(&mut self, now: Instant, expiry: Duration) {
        for slot in 0..self.slots.len() {
            let gone = |series: &Series<V>| {
                now.saturating_duration_since(series.changed) >= expiry && !series.values.is_live()
            };
            if let Some(series) = self.slots[slot].take_if(|series| gone(series)) {
                let slot = slot as Slot;
                let hash = self.hasher.hash_one(&series.labels);
                if let Ok(entry) = self.index.find_entry(hash, |other| *other == slot) {
                    entry.remove();
                }
                self.overflows -= usize::from(series.overflow);
                self.free.push(slot);
            }
        }
    }

    fn find(&self, ends: &Ends<'_>) -> Option<Slot> {
        let same = |slot: &Slot| {
            self.slots[*slot as usize]
                .as_ref()
                .is_some_and(|series| ends.equivalent(&series.labels))
        };
        self.index.find(self.hasher.hash_one(ends), same).copied()
    }

    fn insert(&mut self, ends: &Ends<'_>, now: Instant, overflow: bool) -> Slot {
        let series = Some(Series::new(ends, now, overflow));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = series;
                slot
            }
            None => {
                self.slots.push(series);
                (self.slots.len() - 1) as Slot
            }
        };
        let Self { hasher, index, slots, .. } = self;
        let rehash = |slot: &Slot| {
            slots[*slot as usize].as_ref().map_or(0, |series| hasher.hash_one(&series.labels))
        };
        index.insert_unique(hasher.hash_one(ends), slot, rehash);
        slot
    }
}

impl<V: Values> Series<V> {
    fn new(ends: &Ends<'_>, now: Instant, overflow: bool) -> Self {
        Self { labels: ends.into(), values: V::default(), changed: now, overflow }
    }
}
