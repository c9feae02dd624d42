//! Which levels to ask for which part of a time.

use std::ops::Range;

use crate::store::{Level, PerLevel};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub level: Level,
    pub times_s: Range<u64>,
}

/// Whole hours of hours, what is left at both ends of minutes, and what is left of these of ten seconds: each moment
/// once. Where the finer level is gone already, or not needed, the bound moves outward to the coarser one's.
///
/// `folded_s`: up to when each level has been made. `oldest_s`: from when on it is kept.
pub fn plan(
    times_s: Range<u64>,
    folded_s: PerLevel<u64>,
    oldest_s: PerLevel<Option<u64>>,
) -> Vec<Part> {
    plan_from(Level::Hour, times_s, folded_s, oldest_s)
}

/// The same with no level coarser than `coarsest`.
pub fn plan_from(
    coarsest: Level,
    times_s: Range<u64>,
    folded_s: PerLevel<u64>,
    oldest_s: PerLevel<Option<u64>>,
) -> Vec<Part> {
    let mut parts = Vec::new();
    let finest = Level::TenSeconds;
    let times_s = finest.floor(times_s.start)..finest.ceil(times_s.end.max(times_s.start + 1));
    cover(coarsest, times_s, &folded_s, &oldest_s, &mut parts);
    parts.retain(|part| !part.times_s.is_empty());
    parts.sort_by_key(|part| part.times_s.start);
    parts
}

fn cover(
    level: Level,
    times_s: Range<u64>,
    folded_s: &PerLevel<u64>,
    oldest_s: &PerLevel<Option<u64>>,
    parts: &mut Vec<Part>,
) {
    if times_s.is_empty() {
        return;
    }
    let Some(finer) = level.finer() else {
        parts.push(Part { level, times_s });
        return;
    };
    let made_s = folded_s[level as usize];
    // From when on the finer levels have all that this one has; before, this one must do.
    let finer_s = oldest_s[..level as usize].iter().flatten().min().copied().unwrap_or(made_s);
    let mut start = level.ceil(times_s.start);
    if level.floor(times_s.start) < finer_s
        && start != times_s.start
        && has(level, oldest_s, finer_s)
    {
        start = level.floor(times_s.start);
    }
    let mut end = level.floor(times_s.end.min(made_s));
    if times_s.end < finer_s && times_s.end <= made_s && end != times_s.end {
        end = level.ceil(times_s.end).min(made_s);
    }
    if start >= end {
        return cover(finer, times_s, folded_s, oldest_s, parts);
    }
    cover(finer, times_s.start..start.min(times_s.end), folded_s, oldest_s, parts);
    parts.push(Part { level, times_s: start..end });
    cover(finer, end.max(times_s.start)..times_s.end, folded_s, oldest_s, parts);
}

/// Whether this level has anything before the finer ones begin.
fn has(level: Level, oldest_s: &PerLevel<Option<u64>>, finer_s: u64) -> bool {
    oldest_s[level as usize].is_some_and(|oldest| oldest < level.floor(finer_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a day.
    const DAY: u64 = 1_800_057_600;
    const H: u64 = 3600;

    fn check(
        times_s: Range<u64>,
        folded_s: PerLevel<u64>,
        oldest_s: PerLevel<Option<u64>>,
        expected: &[(Level, Range<u64>)],
    ) {
        let found = plan(times_s.clone(), folded_s, oldest_s);
        let found: Vec<_> = found.into_iter().map(|it| (it.level, it.times_s)).collect();
        assert_eq!(found, expected, "{times_s:?}");
    }

    #[test]
    fn the_coarsest_level_that_fits_is_taken() {
        use Level::{Hour, Minute, TenSeconds};
        let now = DAY + 12 * H + 754;
        let folded = [now, DAY + 12 * H + 720, DAY + 12 * H];
        let oldest = [Some(DAY), Some(DAY), Some(DAY)];
        let ten = DAY + 12 * H + 730..DAY + 12 * H + 760;
        check(now - 24..now, folded, oldest, &[(TenSeconds, ten)]);
        check(
            DAY + 10 * H + 65..DAY + 12 * H + 130,
            folded,
            oldest,
            &[
                (Minute, DAY + 10 * H + 60..DAY + 11 * H),
                (Hour, DAY + 11 * H..DAY + 12 * H),
                (Minute, DAY + 12 * H..DAY + 12 * H + 120),
                (TenSeconds, DAY + 12 * H + 120..DAY + 12 * H + 130),
            ],
        );
        // Not made yet.
        check(
            DAY + 12 * H..now,
            folded,
            oldest,
            &[
                (Minute, DAY + 12 * H..DAY + 12 * H + 720),
                (TenSeconds, DAY + 12 * H + 720..DAY + 12 * H + 760),
            ],
        );
    }

    #[test]
    fn where_the_finer_level_is_gone_the_bound_moves_outward() {
        use Level::{Hour, Minute, TenSeconds};
        let now = DAY + 12 * H;
        let oldest = [Some(now - H), Some(now - 6 * H), Some(DAY - 100 * H)];
        // In the time of hours only.
        check(DAY - 3 * H + 100..DAY + 500, [now; 3], oldest, &[(Hour, DAY - 3 * H..DAY + H)]);
        // From hours to ten seconds.
        check(
            DAY + 100..now - 15,
            [now; 3],
            oldest,
            &[(Hour, DAY..now - H), (Minute, now - H..now - 60), (TenSeconds, now - 60..now - 10)],
        );
        // In the time of minutes.
        check(
            now - 2 * H + 15..now - 2 * H + 95,
            [now; 3],
            oldest,
            &[(Minute, now - 2 * H..now - 2 * H + 120)],
        );
    }

    #[test]
    fn every_moment_is_covered_once() {
        let now = DAY + 12 * H + 1234;
        let folded = [now, Level::Minute.floor(now), DAY + 12 * H];
        let oldest = [Some(now - H), Some(now - 24 * H), Some(now - 700 * H)];
        for start in (now - 30 * H..now).step_by(613) {
            for end in (start + 1..now).step_by(1789) {
                let parts = plan(start..end, folded, oldest);
                assert!(parts[0].times_s.start <= start, "{start}..{end}: {parts:?}");
                assert!(parts.last().unwrap().times_s.end >= end, "{start}..{end}: {parts:?}");
                for pair in parts.windows(2) {
                    assert_eq!(
                        pair[0].times_s.end, pair[1].times_s.start,
                        "{start}..{end}: {parts:?}"
                    );
                }
                for part in &parts {
                    let level = part.level;
                    let aligned = level.floor(part.times_s.start) == part.times_s.start
                        && level.floor(part.times_s.end) == part.times_s.end;
                    assert!(aligned, "{start}..{end}: {parts:?}");
                    assert!(part.times_s.end <= folded[level as usize].max(now + 10));
                }
            }
        }
    }
}
