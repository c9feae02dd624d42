use model::{Direction, Measure};

use super::*;
use crate::store::{Memory, Sqlite};

const KEEP_S: PerLevel<u64> = [7200, 86_400, 864_000];
/// The beginning of an hour.
const NOW_S: u64 = 1_800_000_000;

fn history() -> config::History {
    config::History {
        path: None,
        clickhouse: None,
        memory_bytes: 1 << 26,
        disk_bytes: 1 << 30,
        keep_s: KEEP_S,
        max_edges: 1000,
    }
}

fn ingest(store: Arc<dyn Store>, now_s: u64) -> Arc<Ingest> {
    Ingest::new(store, Arc::new(Catalogue::new(1000)), &history(), now_s).unwrap()
}

fn memory() -> Arc<dyn Store> {
    Arc::new(Memory::new(1 << 26, KEEP_S))
}

fn batch(ingest: &Ingest, sequence: u64, start_s: u64, bytes: &[(u32, u64)]) -> Batch {
    let keys = bytes.iter();
    let keys = keys.map(|(n, _)| crate::store::sample_key(*n, 0, Direction::Egress)).collect();
    let numbers = ingest.catalogue.numbers(keys);
    let rows = numbers.into_iter().zip(bytes).map(|(edge, (_, bytes))| {
        let mut values = Values::default();
        values.add(Measure::BYTES_SENT, *bytes);
        (edge, values)
    });
    Batch { sequence, start_s, length_s: 10, rows: rows.collect(), ..Batch::default() }
}

fn total(ingest: &Ingest, level: Level) -> u64 {
    let blocks = ingest.store().blocks(level, 0..u64::from(u32::MAX)).unwrap();
    let readers = blocks.iter().map(|it| it.read().unwrap()).collect();
    let mut total = 0;
    proto::columns::merge(
        readers,
        |_| true,
        |_, sum| total += sum.take().sum(Measure::BYTES_SENT).unwrap(),
    )
    .unwrap();
    total
}

#[test]
fn a_batch_counts_once() {
    let ingest = ingest(memory(), NOW_S);
    let node: Arc<str> = "n1".into();
    let take = |life, sequence| {
        let batch = batch(&ingest, sequence, NOW_S, &[(1, 10), (2, 5)]);
        ingest.take(&node, life, batch, NOW_S + 11)
    };
    assert_eq!(take(100, 1), Taken::New);
    assert_eq!(take(100, 1), Taken::Duplicate);
    assert_eq!(ingest.stored("n1", 100), 0, "nothing is stored before a flush");
    ingest.flush(NOW_S + 13).unwrap();
    assert_eq!(ingest.stored("n1", 100), 1);
    assert_eq!(take(100, 1), Taken::Duplicate);
    // What was dropped in between is told by the agent.
    assert_eq!(take(100, 4), Taken::New);
    assert_eq!(take(200, 1), Taken::New, "another life counts anew");
    assert_eq!(take(100, 5), Taken::Duplicate, "of an agent that is gone");
    ingest.flush(NOW_S + 14).unwrap();
    assert_eq!((ingest.stored("n1", 200), ingest.stored("n1", 100)), (1, 0));
    assert_eq!(total(&ingest, Level::TenSeconds), 45);
    assert_eq!(ingest.counters.duplicates.load(Ordering::Relaxed), 3);
}

#[test]
fn coarser_levels_are_made_when_their_time_is_over() {
    let ingest = ingest(memory(), NOW_S);
    let node: Arc<str> = "n1".into();
    for (sequence, start_s) in (NOW_S..NOW_S + 3600).step_by(10).enumerate() {
        let batch = batch(&ingest, sequence as u64 + 1, start_s, &[(sequence as u32 % 7, 1)]);
        ingest.take(&node, 1, batch, start_s + 10);
        ingest.flush(start_s + 13).unwrap();
    }
    assert_eq!(ingest.folded(), [NOW_S, NOW_S + 3540, NOW_S]);
    assert_eq!(total(&ingest, Level::TenSeconds), 360);
    assert_eq!(total(&ingest, Level::Minute), 354);
    ingest.flush(NOW_S + 3615).unwrap();
    assert_eq!(total(&ingest, Level::Minute), 360);
    assert_eq!(total(&ingest, Level::Hour), 360);
    assert_eq!(ingest.store().facts().blocks, [360, 60, 1]);

    // What comes late is added to every level.
    let late = batch(&ingest, 400, NOW_S + 100, &[(3, 1000)]);
    ingest.take(&node, 1, late, NOW_S + 3620);
    ingest.flush(NOW_S + 3623).unwrap();
    for level in Level::ALL {
        assert_eq!(total(&ingest, level), 1360, "{level:?}");
    }
}

#[test]
fn the_next_life_goes_on_where_this_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let open = || Arc::new(Sqlite::open(&path, 1 << 30, 1 << 20, KEEP_S).unwrap());
    let node: Arc<str> = "n1".into();
    let first = ingest(open(), NOW_S);
    for sequence in 1..=3 {
        let batch = batch(&first, sequence, NOW_S + 10 * sequence, &[(sequence as u32, 1)]);
        first.take(&node, 9, batch, NOW_S + 40);
    }
    first.flush(NOW_S + 43).unwrap();
    // Taken and not stored: not acknowledged either.
    let batch_4 = batch(&first, 4, NOW_S + 40, &[(1, 1)]);
    first.take(&node, 9, batch_4, NOW_S + 50);
    assert_eq!(first.stored("n1", 9), 3);
    drop(first);

    let second = ingest(open(), NOW_S + 7000);
    assert_eq!(second.stored("n1", 9), 3);
    let again = |sequence| {
        let batch = batch(&second, sequence, NOW_S + 10 * sequence, &[(1, 1)]);
        second.take(&node, 9, batch, NOW_S + 3000)
    };
    assert_eq!([again(3), again(4)], [Taken::Duplicate, Taken::New]);
    second.flush(NOW_S + 7003).unwrap();
    // Its minutes and its hour were not made before, and are now.
    for level in [Level::Minute, Level::Hour] {
        assert_eq!(total(&second, level), 4, "{level:?}");
    }
    // Numbers of edges are what they were.
    let keys = (1..=3).map(|n| crate::store::sample_key(n, 0, Direction::Egress)).collect();
    assert_eq!(second.catalogue.numbers(keys), [0, 2, 4]);
}

#[test]
fn what_cannot_be_stored_is_tried_again_and_not_acknowledged() {
    struct Broken(Memory, std::sync::atomic::AtomicBool);
    impl Store for Broken {
        fn restore(&self) -> Result<crate::store::Restored, Error> {
            self.0.restore()
        }
        fn commit(&self, commit: &Commit) -> Result<(), Error> {
            if self.1.load(Ordering::Relaxed) {
                let source = std::io::ErrorKind::StorageFull.into();
                return Err(Error::Io { path: "/full".into(), source });
            }
            self.0.commit(commit)
        }
        fn each(
            &self,
            level: Level,
            times_s: std::ops::Range<u64>,
            give: &mut dyn FnMut(Arc<crate::store::Block>),
        ) -> Result<(), Error> {
            self.0.each(level, times_s, give)
        }
        fn edition(
            &self,
            level: Level,
            times_s: std::ops::Range<u64>,
        ) -> Result<crate::store::Edition, Error> {
            self.0.edition(level, times_s)
        }
        fn losses(&self, times_s: std::ops::Range<u64>) -> Result<Vec<Loss>, Error> {
            self.0.losses(times_s)
        }
        fn expire(&self, now_s: u64, keep_s: PerLevel<u64>) -> Result<u64, Error> {
            self.0.expire(now_s, keep_s)
        }
        fn oldest_s(&self) -> PerLevel<Option<u64>> {
            self.0.oldest_s()
        }
        fn facts(&self) -> crate::store::Facts {
            self.0.facts()
        }
    }
    let store = Arc::new(Broken(Memory::new(1 << 20, KEEP_S), false.into()));
    let ingest = ingest(store.clone(), NOW_S);
    store.1.store(true, Ordering::Relaxed);
    let node: Arc<str> = "n1".into();
    for sequence in 1..=2 {
        ingest.take(&node, 1, batch(&ingest, sequence, NOW_S, &[(1, 7)]), NOW_S);
        assert!(ingest.flush(NOW_S + 3).is_err());
        assert_eq!(ingest.stored("n1", 1), 0);
    }
    store.1.store(false, Ordering::Relaxed);
    ingest.flush(NOW_S + 13).unwrap();
    assert_eq!(ingest.stored("n1", 1), 2);
    assert_eq!(total(&ingest, Level::TenSeconds), 14);
}

#[test]
fn intervals_of_a_wrong_clock_are_told_as_lost() {
    let ingest = ingest(memory(), NOW_S);
    let node: Arc<str> = "n1".into();
    for (sequence, start_s) in [(1, NOW_S + 1000), (2, NOW_S - 7300)] {
        ingest.take(&node, 1, batch(&ingest, sequence, start_s, &[(1, 7), (2, 7)]), NOW_S);
    }
    ingest.flush(NOW_S + 3).unwrap();
    assert_eq!(total(&ingest, Level::TenSeconds), 0);
    let losses = ingest.store().losses(NOW_S - 10..NOW_S).unwrap();
    assert_eq!((&*losses[0].reason, losses[0].rows), ("clock", 4));
    assert_eq!(ingest.stored("n1", 1), 2, "they need not be sent again");
}
