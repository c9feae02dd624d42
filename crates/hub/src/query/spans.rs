//! Minutes and hours put together: what is asked for again and again is added up once.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{Block, Level, PerLevel, sum};

/// How much of a level is put together; 0: nothing.
const SPANS_S: PerLevel<u64> = [0, 600, 86_400];
/// A question has minutes of less than an hour at either end, 5 of these each, and days.
const MOST_SPANS: usize = 32;
/// Of whole questions: a question of the last hour has the same minutes until one more is over.
const MOST_RUNS: usize = 8;

#[derive(Default)]
pub struct Spans(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// By their beginning.
    spans: BTreeMap<(u64, Level), Span>,
    /// From when until when, the last that was made at the end.
    runs: VecDeque<((Level, Range<u64>), Span)>,
}

#[derive(Clone)]
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
        if span_s == 0 || blocks.len() < 2 {
            return blocks;
        }
        let run = (level, times_s.clone());
        let parts = blocks.len();
        let known =
            self.kept().runs.iter().find(|(it, _)| *it == run).map(|(_, span)| span.clone());
        if let Some(known) = known.filter(|it| it.parts == parts) {
            return known.blocks;
        }
        let pieces = self.pieces(level, span_s, times_s, blocks);
        let Some(blocks) = together((run.1.start, level), &pieces) else { return pieces };
        let mut kept = self.kept();
        kept.runs.retain(|(it, _)| *it != run);
        kept.runs.push_back((run, Span { parts, blocks: blocks.clone() }));
        if kept.runs.len() > MOST_RUNS {
            kept.runs.pop_front();
        }
        blocks
    }

    /// What is whole put together, and the blocks at both ends.
    fn pieces(
        &self,
        level: Level,
        span_s: u64,
        times_s: Range<u64>,
        blocks: Vec<Arc<Block>>,
    ) -> Vec<Arc<Block>> {
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
        let known = self.kept().spans.get(&place).cloned();
        if let Some(known) = known.filter(|it| it.parts == parts.len()) {
            return known.blocks;
        }
        let Some(blocks) = together(place, &parts) else { return parts };
        let mut kept = self.kept();
        kept.spans.insert(place, Span { parts: parts.len(), blocks: blocks.clone() });
        while kept.spans.len() > MOST_SPANS {
            kept.spans.pop_first();
        }
        blocks
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` where a part is damaged: whoever reads the parts says so.
fn together((start_s, level): (u64, Level), parts: &[Arc<Block>]) -> Option<Vec<Arc<Block>>> {
    let readers = parts.iter().map(|block| block.read().ok()).collect::<Option<Vec<_>>>()?;
    let (blocks, merged) = sum(level, start_s, readers);
    merged.ok()?;
    Some(blocks.into_iter().map(Arc::new).collect())
}
