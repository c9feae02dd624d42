//! What every store must do: each test runs on all of them.

use model::row::Values;
use model::{Direction, Measure};

use super::catalogue::sample_key;
use super::*;

const RETENTION_S: PerLevel<u64> = [3600, 86_400, 864_000];

/// Runs `test` on each store; the second argument opens it again, if it is one that lasts.
fn each(test: impl Fn(Box<dyn Store>, &dyn Fn() -> Option<Box<dyn Store>>)) {
    test(Box::new(Memory::new(64 << 20, RETENTION_S)), &|| None);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/history.db");
    let open =
        || -> Box<dyn Store> { Box::new(Sqlite::open(&path, 1 << 20, RETENTION_S).unwrap()) };
    test(open(), &|| Some(open()));
    // Nothing stays in memory.
    let path = folder.path().join("other.db");
    let open = || -> Box<dyn Store> { Box::new(Sqlite::open(&path, 0, RETENTION_S).unwrap()) };
    test(open(), &|| Some(open()));
}

fn block(level: Level, time_s: u64, bytes: &[(u32, u64)]) -> Arc<Block> {
    let rows = bytes.iter().map(|(edge, bytes)| {
        let mut values = Values::default();
        values.add(Measure::BYTES_SENT, *bytes);
        (*edge, values)
    });
    let mut made = blocks(level, time_s, rows.collect::<Vec<_>>());
    assert_eq!(made.len(), 1);
    made.remove(0).into()
}

fn times(store: &dyn Store, level: Level, times_s: Range<u64>) -> Vec<u64> {
    let blocks = store.blocks(level, times_s).unwrap();
    let mut times: Vec<u64> = blocks.iter().map(|it| it.time_s).collect();
    times.sort();
    times
}

fn loss(node: &str, rows: u64, since_s: u64, until_s: u64) -> Loss {
    Loss { node: node.into(), reason: "spool_full".into(), rows, since_s, until_s }
}

#[test]
fn blocks_come_back_by_level_and_time() {
    each(|store, again| {
        let kept = [
            block(Level::TenSeconds, 100, &[(1, 10), (7, 20)]),
            block(Level::TenSeconds, 110, &[(2, 5)]),
            // What came late is one more of the same time.
            block(Level::TenSeconds, 110, &[(1, 1)]),
            block(Level::Minute, 60, &[(1, 11)]),
        ];
        store.commit(&Commit { blocks: kept.to_vec(), ..Commit::default() }).unwrap();
        let check = |store: &dyn Store| {
            assert_eq!(times(store, Level::TenSeconds, 0..1000), [100, 110, 110]);
            assert_eq!(times(store, Level::TenSeconds, 100..110), [100]);
            assert_eq!(times(store, Level::TenSeconds, 111..1000), [0; 0]);
            assert_eq!(store.blocks(Level::Minute, 60..61).unwrap(), [kept[3].clone()]);
            assert!(store.blocks(Level::Hour, 0..u64::from(u32::MAX)).unwrap().is_empty());
            let facts = store.facts();
            assert_eq!((facts.blocks, facts.rows), ([3, 1, 0], [4, 1, 0]));
            assert_eq!(facts.oldest_s, [Some(100), Some(60), None]);
        };
        check(&*store);
        if let Some(store) = again() {
            check(&*store);
        }
    });
}

#[test]
fn names_positions_and_progress_are_kept_with_the_rows() {
    each(|store, again| {
        let key = |number| Arc::new(sample_key(number, 3, Direction::Ingress));
        let at = |life, sequence| Position { node: "n1".into(), life, sequence };
        let first = Commit {
            edges: vec![(0, key(1)), (1, key(2))],
            positions: vec![at(u64::MAX, 7)],
            folded: vec![(Level::Minute, 60)],
            ..Commit::default()
        };
        store.commit(&first).unwrap();
        let second = Commit {
            edges: vec![(2, key(3))],
            positions: vec![at(u64::MAX, 8)],
            folded: vec![(Level::Minute, 120), (Level::Hour, 3600)],
            ..Commit::default()
        };
        store.commit(&second).unwrap();
        store.commit(&Commit { forgotten: vec![1], ..Commit::default() }).unwrap();
        let Some(store) = again() else { return };
        let expected = Restored {
            edges: vec![(0, key(1)), (2, key(3))],
            positions: vec![at(u64::MAX, 8)],
            folded: second.folded,
        };
        assert_eq!(store.restore().unwrap(), expected);
    });
}

#[test]
fn losses_are_told_for_the_time_that_they_concern() {
    each(|store, _| {
        let losses =
            vec![loss("n1", 5, 100, 200), loss("n1", 7, 150, 300), loss("n2", 1, 400, 410)];
        store.commit(&Commit { losses, ..Commit::default() }).unwrap();
        let check = |times_s, expected: &[Loss]| {
            assert_eq!(store.losses(times_s).unwrap(), expected);
        };
        check(0..100, &[]);
        check(199..200, &[loss("n1", 12, 100, 300)]);
        check(200..1000, &[loss("n1", 7, 150, 300), loss("n2", 1, 400, 410)]);
        check(410..1000, &[]);
    });
}

#[test]
fn each_level_has_its_own_retention() {
    each(|store, again| {
        let now = 10_000_000;
        let mut kept = Vec::new();
        for level in Level::ALL {
            for age in [0, 4000, 90_000, 900_000] {
                kept.push(block(level, level.floor(now - age), &[(1, 1)]));
            }
        }
        let losses = vec![loss("n1", 1, 1, 2), loss("n1", 1, now - 10, now)];
        store.commit(&Commit { blocks: kept, losses, ..Commit::default() }).unwrap();
        assert_eq!(store.expire(now, RETENTION_S).unwrap(), 6);
        let check = |store: &dyn Store| assert_eq!(store.facts().blocks, [1, 2, 3]);
        check(&*store);
        assert_eq!(store.losses(0..now).unwrap(), [loss("n1", 1, now - 10, now)]);
        assert_eq!(store.expire(now, RETENTION_S).unwrap(), 0);
        again().iter().for_each(|store| check(&**store));
    });
}

#[test]
fn memory_makes_room_for_the_newest() {
    let size = block(Level::TenSeconds, 0, &[(1, 1)]).bytes();
    let store = Memory::new(10 * size, RETENTION_S);
    for time in 0..100 {
        let blocks = vec![block(Level::TenSeconds, time * 10, &[(1, 1)])];
        store.commit(&Commit { blocks, ..Commit::default() }).unwrap();
    }
    let expected: Vec<u64> = (90..100).map(|time| time * 10).collect();
    assert_eq!(times(&store, Level::TenSeconds, 0..10_000), expected);
    let facts = store.facts().window;
    assert_eq!((facts.blocks, facts.evicted), (10, 90));
    assert!(facts.bytes <= facts.most_bytes);
}

#[test]
fn another_versions_history_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    drop(Sqlite::open(&path, 0, RETENTION_S).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 9).unwrap();
    drop(connection);
    let error = Sqlite::open(&path, 0, RETENTION_S).err().unwrap().to_string();
    assert!(error.contains("another version (9, not 2)"), "{error}");
    std::fs::write(&path, "not a database at all").unwrap();
    assert!(Sqlite::open(&path, 0, RETENTION_S).is_err());
}
