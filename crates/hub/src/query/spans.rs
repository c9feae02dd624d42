//! Minutes and hours put together: what is asked for again and again is added up once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::{Block, Level, PerLevel, sum};

/// How much of a level is put together; 0: nothing.
const SPANS_S: PerLevel<u64> = [0, 600, 86_400];
/// A question has minutes of less than an hour at either end, 5 of these each, and days.
const MOST: usize = 32;

#[derive(Default)]
pub struct Spans(Mutex<BTreeMap<(u64, Level), Span>>);

struct Span {
    /// Of how many blocks it is: one that came late makes it void.
    parts: usize,
    blocks: Vec<Arc<Block>>,
}

impl Spans {
    /// The same rows as those of `blocks`, which are all of `level` in `times_s`, in fewer blocks.
    pub fn shorten(
        &self,
        level: Level,
        times_s: Range<u64>,
        blocks: Vec<Arc<Block>>,
    ) -> Vec<Arc<Block>> {
        let span_s = SPANS_S[level as usize];
        if span_s == 0 {
            return blocks;
        }
        let (first, end) = (times_s.start.next_multiple_of(span_s), times_s.end / span_s * span_s);
        let within = |block: &Arc<Block>| (first..end).contains(&block.time_s);
        let (inner, mut out): (Vec<_>, Vec<_>) = blocks.into_iter().partition(within);
        let mut spans: BTreeMap<u64, Vec<Arc<Block>>> = BTreeMap::new();
        for block in inner {
            spans.entry(block.time_s / span_s * span_s).or_default().push(block);
        }
        let spans: Vec<_> = spans.into_iter().collect();
        let (first, second) = spans.split_at(spans.len() / 2);
        let all = |spans: &[(u64, Vec<Arc<Block>>)]| -> Vec<Arc<Block>> {
            let one = |(start_s, parts): &(u64, Vec<Arc<Block>>)| {
                self.span((*start_s, level), parts.clone())
            };
            spans.iter().flat_map(one).collect()
        };
        std::thread::scope(|scope| {
            let first = (!first.is_empty()).then(|| scope.spawn(|| all(first)));
            out.extend(all(second));
            let first = first.map(|it| it.join().unwrap_or_else(|panic| resume_unwind(panic)));
            out.extend(first.unwrap_or_default());
        });
        out
    }

    fn span(&self, place: (u64, Level), parts: Vec<Arc<Block>>) -> Vec<Arc<Block>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&place).filter(|it| it.parts == parts.len()) {
            return known.blocks.clone();
        }
        let Some(blocks) = together(place, &parts) else { return parts };
        let mut spans = lock();
        spans.insert(place, Span { parts: parts.len(), blocks: blocks.clone() });
        while spans.len() > MOST {
            spans.pop_first();
        }
        blocks
    }
}

/// `None` where a part is damaged: whoever reads the parts says so.
fn together((start_s, level): (u64, Level), parts: &[Arc<Block>]) -> Option<Vec<Arc<Block>>> {
    let readers = parts.iter().map(|block| block.read().ok()).collect::<Option<Vec<_>>>()?;
    let (blocks, merged) = sum(level, start_s, readers);
    merged.ok()?;
    Some(blocks.into_iter().map(Arc::new).collect())
}
