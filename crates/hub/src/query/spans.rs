//! Minutes and hours put together: what is asked for again and again is added up once.
//!
//! A question has the same hours as the one before it, and nearly the same minutes. What it adds up is kept: the whole, and
//! pieces of it that begin at round times, of which the next question's whole is made.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use crate::store::{Block, Edition, Error, Level, PerLevel, Store, Together, WindowFacts};

/// How much of a level is one piece; 0: nothing is kept of it.
const SPANS_S: PerLevel<u64> = [0, 600, 86_400];

/// Bounded by bytes: what was asked for least recently makes room.
pub struct Spans {
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    spans: HashMap<(Level, Range<u64>), Span>,
    bytes: usize,
    /// Counts uses.
    clock: u64,
    evicted: u64,
}

struct Span {
    /// Of which blocks it is: one that came late makes it void.
    edition: Edition,
    blocks: Vec<Arc<Block>>,
    bytes: usize,
    used: u64,
}

impl Spans {
    pub fn new(most_bytes: usize) -> Self {
        Self { most_bytes, kept: Mutex::default() }
    }

    /// The rows of `level` in `times_s`, in few blocks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn blocks(
        &self,
        store: &dyn Store,
        level: Level,
        times_s: Range<u64>,
    ) -> Result<Vec<Arc<Block>>, Error> {
        let span_s = SPANS_S[level as usize];
        if span_s == 0 {
            return Ok(read(store, level, times_s)?.as_they_are().blocks);
        }
        self.kept_or(store, level, times_s.clone(), || {
            pieces(level, times_s, span_s, |piece, parts| {
                if piece.end - piece.start < span_s {
                    return store.each(level, piece, &mut |block| parts.push(block));
                }
                let span =
                    self.kept_or(store, level, piece.clone(), || read(store, level, piece))?;
                span.into_iter().for_each(|block| parts.push(block));
                Ok(())
            })
        })
    }

    /// What is kept of that time, or what is made now.
    fn kept_or(
        &self,
        store: &dyn Store,
        level: Level,
        times_s: Range<u64>,
        make: impl FnOnce() -> Result<Together, Error>,
    ) -> Result<Vec<Arc<Block>>, Error> {
        // Before they are read: what comes meanwhile is in the sum, and makes it void.
        let edition = store.edition(level, times_s.clone())?;
        if edition.blocks < 2 {
            return store.blocks(level, times_s);
        }
        let place = (level, times_s);
        if let Some(blocks) = self.kept().get(&place, edition) {
            return Ok(blocks);
        }
        let added = make()?.sum();
        if !added.damaged {
            self.kept().insert(place, edition, added.blocks.clone(), self.most_bytes);
        }
        Ok(added.blocks)
    }

    pub fn facts(&self) -> WindowFacts {
        let kept = self.kept();
        WindowFacts {
            bytes: kept.bytes as u64,
            most_bytes: self.most_bytes as u64,
            blocks: kept.spans.values().map(|it| it.blocks.len() as u64).sum(),
            evicted: kept.evicted,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(store: &dyn Store, level: Level, times_s: Range<u64>) -> Result<Together, Error> {
    let mut parts = Together::new(level, times_s.start);
    store.each(level, times_s, &mut |block| parts.push(block))?;
    Ok(parts)
}

/// All of `times_s`, piece by piece, added up by two threads: a hub has two for such work.
fn pieces(
    level: Level,
    times_s: Range<u64>,
    span_s: u64,
    add: impl Fn(Range<u64>, &mut Together) -> Result<(), Error> + Sync,
) -> Result<Together, Error> {
    let bound = |at: u64| (at / span_s + 1) * span_s;
    let next = |start: &u64| Some(bound(*start)).filter(|it| *it < times_s.end);
    let starts: Vec<u64> = std::iter::successors(Some(times_s.start), next).collect();
    let taken = AtomicUsize::new(0);
    let work = || -> Result<Together, Error> {
        let mut parts = Together::new(level, times_s.start);
        while let Some(start) = starts.get(taken.fetch_add(1, Ordering::Relaxed)) {
            add(*start..bound(*start).min(times_s.end), &mut parts)?;
        }
        Ok(parts)
    };
    std::thread::scope(|scope| {
        let other = (starts.len() > 1).then(|| scope.spawn(work));
        let mut parts = work()?;
        if let Some(other) = other {
            let other = other.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            parts.take(other);
        }
        Ok(parts)
    })
}

impl Kept {
    fn get(&mut self, place: &(Level, Range<u64>), edition: Edition) -> Option<Vec<Arc<Block>>> {
        let span = self.spans.get_mut(place).filter(|it| it.edition == edition)?;
        self.clock += 1;
        span.used = self.clock;
        Some(span.blocks.clone())
    }

    fn insert(
        &mut self,
        place: (Level, Range<u64>),
        edition: Edition,
        blocks: Vec<Arc<Block>>,
        most_bytes: usize,
    ) {
        self.clock += 1;
        let bytes = blocks.iter().map(|it| it.bytes()).sum::<usize>() + size_of::<Span>();
        let used = self.clock;
        self.bytes += bytes;
        let before = self.spans.insert(place, Span { edition, blocks, bytes, used });
        self.bytes -= before.map_or(0, |it| it.bytes);
        while self.bytes > most_bytes {
            let oldest = self.spans.iter().min_by_key(|(_, it)| it.used);
            let Some(place) = oldest.map(|(place, _)| place.clone()) else { return };
            self.bytes -= self.spans.remove(&place).map_or(0, |it| it.bytes);
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Measure;
    use model::row::Values;

    use super::*;
    use crate::store::{Commit, Memory, blocks};

    const HOUR_S: u64 = 3600;

    fn keep(store: &Memory, time_s: u64, bytes: u64) {
        let rows = (0..100).map(|edge| {
            let mut values = Values::default();
            values.add(Measure::BYTES_SENT, bytes);
            (edge, values)
        });
        let blocks = blocks(Level::Minute, time_s, rows).into_iter().map(Arc::new).collect();
        store.commit(&Commit { blocks, ..Commit::default() }).unwrap();
    }

    /// Hours whose minutes have the hour's number.
    fn hours(count: u64) -> Memory {
        let store = Memory::new(64 << 20, [u64::MAX; 3]);
        for minute in 0..60 * count {
            keep(&store, 60 * minute, minute / 60);
        }
        store
    }

    fn ask(spans: &Spans, store: &Memory, times_s: Range<u64>) -> (usize, u64) {
        let blocks = spans.blocks(store, Level::Minute, times_s).unwrap();
        let mut sum = proto::columns::Sum::default();
        for block in &blocks {
            proto::columns::add_up(block.read().unwrap(), |edge| edge == 7, &mut sum).unwrap();
        }
        (blocks.len(), sum.take().sum(Measure::BYTES_SENT).unwrap_or(0))
    }

    #[test]
    fn the_next_question_has_what_this_one_added_up() {
        let (store, spans) = (hours(2), Spans::new(1 << 20));
        assert_eq!(ask(&spans, &store, HOUR_S..2 * HOUR_S), (1, 60));
        assert_eq!(spans.facts().blocks, 7, "each ten minutes, and all");
        assert_eq!(ask(&spans, &store, HOUR_S..2 * HOUR_S), (1, 60));
        assert_eq!(ask(&spans, &store, HOUR_S - 120..2 * HOUR_S - 120), (1, 58));
        assert_eq!(spans.facts().blocks, 8, "another whole of the same pieces");
        assert_eq!(spans.facts().evicted, 0);
        // What comes late is in the next answer.
        keep(&store, HOUR_S + 300, 1000);
        assert_eq!(ask(&spans, &store, HOUR_S..2 * HOUR_S), (1, 1060));
        assert_eq!(ask(&spans, &store, HOUR_S + 600..2 * HOUR_S), (1, 50));
    }

    #[test]
    fn the_least_recently_asked_makes_room() {
        let (store, one) = (hours(12), Spans::new(1 << 20));
        ask(&one, &store, 0..600);
        let spans = Spans::new(4 * one.facts().bytes as usize);
        let span = |at: u64| 600 * at..600 * (at + 1);
        let is_kept = |at| spans.kept().spans.contains_key(&(Level::Minute, span(at)));
        for at in 0..60 {
            ask(&spans, &store, span(at));
            ask(&spans, &store, span(0));
            assert!(spans.facts().bytes <= spans.facts().most_bytes);
        }
        assert!(is_kept(0) && is_kept(59) && !is_kept(1));
        assert_eq!(spans.facts().blocks + spans.facts().evicted, 60);
        // What has no room at all is answered as well.
        let none = Spans::new(0);
        assert_eq!(ask(&none, &store, HOUR_S..3 * HOUR_S), (1, 60 + 120));
        assert_eq!(none.facts().bytes, 0);
    }

    #[test]
    fn nothing_is_kept_of_what_is_not_there() {
        let (store, spans) = (hours(1), Spans::new(1 << 20));
        for at in 2..100 {
            assert_eq!(ask(&spans, &store, at * HOUR_S..(at + 1) * HOUR_S + 60), (0, 0));
        }
        assert!(spans.kept().spans.is_empty());
    }
}
