//! What every store must do: each test runs on all of them.

use model::row::Values;
use model::{Direction, Measure};

use super::catalogue::sample_key;
use super::*;

const RETENTION_S: PerLevel<u64> = [3600, 86_400, 864_000];

/// A store to try, and the numbers that its edges have.
struct Case {
    store: Box<dyn Store>,
    catalogue: Arc<Catalogue>,
    sequence: u64,
}

/// The block's time, the workload, its bytes and its round trips.
type Row = (u64, u32, u64, u64);
type Open<'a> = &'a dyn Fn() -> Option<Case>;

impl Case {
    fn new(store: impl FnOnce(Arc<Catalogue>) -> Box<dyn Store>) -> Self {
        let catalogue = Arc::new(Catalogue::new(1000));
        let mut case = Self { store: store(catalogue.clone()), catalogue, sequence: 0 };
        case.catalogue.restore(case.store.restore().unwrap().edges, 1);
        case.sequence = 0;
        case
    }

    /// Stores rows of ten seconds: the number of a workload and bytes that it sent.
    fn keep(&mut self, time_s: u64, rows: &[(u32, u64)]) -> Commit {
        self.sequence += 1;
        let keys = rows.iter().map(|(n, _)| sample_key(*n, 0, Direction::Egress)).collect();
        let numbers = self.catalogue.numbers(keys);
        let rows = numbers.into_iter().zip(rows).map(|(edge, (_, bytes))| {
            let mut values = Values::default();
            values.add(Measure::BYTES_SENT, *bytes);
            values.observe(Measure::RTT, *bytes);
            (edge, values)
        });
        let mut rows: Vec<(u32, Values)> = rows.collect();
        rows.sort_by_key(|(edge, _)| *edge);
        let mut commit = Commit { edges: self.catalogue.take_new(), ..Commit::default() };
        if self.store.is_shared() {
            let sequence = self.sequence;
            let (node, losses) = ("n1".into(), Vec::new());
            commit.batches = vec![Batch { node, life: 1, sequence, time_s, rows, losses }];
        } else {
            let made = blocks(Level::TenSeconds, time_s, rows);
            commit.blocks = made.into_iter().map(Arc::new).collect();
        }
        self.store.commit(&commit).unwrap();
        commit
    }

    /// By the block's time and the workload: bytes, and round trips.
    fn sums(&self, level: Level, times_s: Range<u64>, want: &Want<'_>) -> Vec<Row> {
        self.sums_until(level, times_s, want).0
    }

    /// And the end of the last interval.
    fn sums_until(
        &self,
        level: Level,
        times_s: Range<u64>,
        want: &Want<'_>,
    ) -> (Vec<Row>, Option<u64>) {
        let mut blocks = Vec::new();
        let until_s = self.store.sums(level, times_s, want, &mut |block| blocks.push(block));
        assert!(blocks.is_sorted_by_key(|block| block.time_s));
        (self.added(blocks), until_s.unwrap())
    }

    fn rows(&self, level: Level, times_s: Range<u64>) -> Vec<Row> {
        self.added(self.store.blocks(level, times_s).unwrap())
    }

    fn added(&self, blocks: Vec<Arc<Block>>) -> Vec<Row> {
        let edges = self.catalogue.edges();
        let mut sums = std::collections::BTreeMap::<(u64, u32), Values>::new();
        for block in &blocks {
            proto::columns::merge(
                vec![block.read().unwrap()],
                |_| true,
                |edge, sum| {
                    let name = &key(&edges, edge).unwrap().source.name;
                    let number = name.trim_start_matches("workload-").parse().unwrap();
                    sums.entry((block.time_s, number)).or_default().merge(&sum.take());
                },
            )
            .unwrap();
        }
        let rows = sums.into_iter().map(|((time_s, number), values)| {
            let round_trips = values.distribution(Measure::RTT).map_or(0, |it| it.count());
            (time_s, number, values.sum(Measure::BYTES_SENT).unwrap_or(0), round_trips)
        });
        rows.collect()
    }
}

/// Runs `test` on each store; the second argument opens it again, if it is one that lasts.
fn each(test: impl Fn(Case, Open<'_>)) {
    test(Case::new(|_| Box::new(Memory::new(64 << 20, RETENTION_S))), &|| None);
    let folder = tempfile::tempdir().unwrap();
    for (path, window) in [("below/history.db", 1 << 20), ("other.db", 0)] {
        // Without a window nothing stays in memory.
        let path = folder.path().join(path);
        let open =
            || Case::new(|_| Box::new(Sqlite::open(&path, 1 << 30, window, RETENTION_S).unwrap()));
        test(open(), &|| Some(open()));
    }
}

/// The same on ClickHouse. Opened again it is another replica, with numbers of its own.
fn shared(test: impl Fn(Case, Open<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let server = sim::ClickHouse::start(folder.path(), 0).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let text = format!("[clickhouse]\nurl = \"{}\"", server.url());
    let config = crate::Config::parse(&text).unwrap().history.clickhouse.unwrap();
    let open = || {
        Case::new(|catalogue| {
            let runtime = runtime.handle().clone();
            Box::new(ClickHouse::new(config.clone(), RETENTION_S, catalogue, runtime).unwrap())
        })
    };
    test(open(), &|| Some(open()));
}

/// Each test on all stores.
macro_rules! suite {
    ($($test:ident)+) => {
        mod each {
            $(#[test] fn $test() { super::each(super::$test); })+
        }
        mod clickhouse {
            $(#[test]
            #[ignore = "takes ClickHouse's engine from PyPI: ./x test runs it"]
            fn $test() { super::shared(super::$test); })+
        }
    };
}

suite! {
    rows_come_back_by_level_and_time
    positions_are_kept_with_the_rows
    losses_are_told_for_the_time_that_they_concern
}

/// A minute that is over, and kept at all levels.
fn lately() -> u64 {
    Level::Minute.floor(model::Timestamp::now().0 / 1_000_000_000 - 1200)
}

fn rows_come_back_by_level_and_time(mut case: Case, again: Open<'_>) {
    let t = lately();
    case.keep(t, &[(1, 10), (7, 20)]);
    case.keep(t + 10, &[(2, 5)]);
    // What came late is one more of the same time.
    case.keep(t + 10, &[(1, 1)]);
    case.store.fold(Level::Minute, t).unwrap();
    let check = |case: &Case| {
        let ten = [(t, 1, 10, 1), (t, 7, 20, 1), (t + 10, 1, 1, 1), (t + 10, 2, 5, 1)];
        assert_eq!(case.rows(Level::TenSeconds, t - 600..t + 600), ten);
        assert_eq!(case.rows(Level::TenSeconds, t..t + 10), ten[..2]);
        assert_eq!(case.rows(Level::TenSeconds, t + 11..t + 600), []);
        let minute = [(t, 1, 11, 2), (t, 2, 5, 1), (t, 7, 20, 1)];
        assert_eq!(case.rows(Level::Minute, t..t + 1), minute);
        assert_eq!(case.rows(Level::Minute, t - 600..t), []);
        let (sums, until_s) = case.sums_until(Level::TenSeconds, t..t + 600, &Want::default());
        assert_eq!(until_s, Some(t + 20));
        let total: u64 = sums.iter().map(|(.., bytes, _)| bytes).sum();
        assert_eq!(total, 36);
        let want = Want { step_s: Some(30), measures: Some(&[Measure::RTT]), ..Want::default() };
        let count = |rows: Vec<Row>| rows.iter().map(|it| it.3).sum::<u64>();
        assert_eq!(count(case.sums(Level::TenSeconds, t..t + 60, &want)), 4);
        case.store.expire(t, RETENTION_S).unwrap();
        assert_eq!(case.store.oldest_s()[..2], [Some(t), Some(t)]);
    };
    check(&case);
    again().iter().for_each(check);
}

fn positions_are_kept_with_the_rows(mut case: Case, again: Open<'_>) {
    let t = lately();
    let at = |life, sequence| Position { node: "n1".into(), life, sequence };
    for sequence in [7, 8] {
        case.keep(t, &[(sequence as u32, 1)]);
        let positions = vec![at(u64::MAX, sequence)];
        let folded = vec![(Level::Minute, 60 * sequence), (Level::Hour, 3600)];
        case.store.commit(&Commit { positions, folded, ..Commit::default() }).unwrap();
    }
    let edges = case.catalogue.edges();
    let Some(next) = again() else { return };
    let restored = next.store.restore().unwrap();
    assert_eq!(restored.positions, [at(u64::MAX, 8)]);
    if !next.store.is_shared() {
        assert_eq!(restored.folded, [(Level::Minute, 480), (Level::Hour, 3600)]);
        assert_eq!(next.catalogue.edges(), edges, "numbers are what they were");
        next.store.commit(&Commit { forgotten: vec![0], ..Commit::default() }).unwrap();
        assert_eq!(next.store.restore().unwrap().edges.len(), 1);
    }
    assert_eq!(next.rows(Level::TenSeconds, t..t + 10), [(t, 7, 1, 1), (t, 8, 1, 1)]);
}

fn losses_are_told_for_the_time_that_they_concern(case: Case, again: Open<'_>) {
    let t = lately();
    let losses = vec![
        loss("n1", 5, t + 100, t + 200),
        loss("n1", 7, t + 150, t + 300),
        loss("n2", 1, t + 400, t + 410),
    ];
    case.store.commit(&Commit { losses, ..Commit::default() }).unwrap();
    let check = |case: &Case| {
        let check = |times_s: Range<u64>, expected: &[Loss]| {
            assert_eq!(case.store.losses(t + times_s.start..t + times_s.end).unwrap(), expected);
        };
        check(0..100, &[]);
        check(199..200, &[loss("n1", 12, t + 100, t + 300)]);
        let later = [loss("n1", 7, t + 150, t + 300), loss("n2", 1, t + 400, t + 410)];
        check(200..1000, &later);
        check(410..1000, &[]);
    };
    check(&case);
    again().iter().for_each(check);
}

#[test]
#[ignore = "takes ClickHouse's engine from PyPI: ./x test runs it"]
fn what_is_stored_again_counts_once_in_a_shared_store() {
    shared(|mut case, again| {
        let t = lately();
        // Another replica gives the same edges other numbers.
        let mut other = again().unwrap();
        other.keep(t + 20, &[(9, 3), (2, 4)]);
        let first = case.keep(t, &[(1, 10), (2, 20)]);
        let second = case.keep(t + 10, &[(1, 5)]);
        // A retry, another retry that has more than that, and the same told to another replica.
        case.store.commit(&first).unwrap();
        let batches = [first.batches, second.batches].concat();
        case.store.commit(&Commit { batches, ..Commit::default() }).unwrap();
        let mut third = again().unwrap();
        third.keep(t, &[(2, 20), (1, 10)]);
        // Made again and again, by whom ever.
        for case in [&case, &other, &third] {
            case.store.fold(Level::Minute, t).unwrap();
            case.store.fold(Level::Hour, Level::Hour.floor(t)).unwrap();
        }
        for case in [&case, &other, &third, &again().unwrap()] {
            for level in Level::ALL {
                let from_s = level.floor(t);
                let rows = case.sums(level, from_s..from_s + 3600, &Want::default());
                let expected =
                    [(1, 15, 2), (2, 24, 2), (9, 3, 1)].map(|(n, a, b)| (from_s, n, a, b));
                assert_eq!(rows, expected, "{level:?}");
            }
        }
        let name = "shop/Deployment/workload-2".parse().unwrap();
        let select = Select { source: Some(name), ..Select::default() };
        let want = Want { select: Some(&select), ..Want::default() };
        assert_eq!(case.sums(Level::Minute, t..t + 60, &want), [(t, 2, 24, 2)]);
        let select = Select { namespaces: vec!["it's \\".into()], ..Select::default() };
        let want = Want { select: Some(&select), ..Want::default() };
        assert_eq!(case.sums(Level::Minute, t..t + 60, &want), []);
    });
}

#[test]
#[ignore = "takes ClickHouse's engine from PyPI: ./x test runs it"]
fn what_comes_late_is_in_coarser_levels_before_it_is_acknowledged() {
    shared(|mut case, _| {
        // The last minute of an hour that is over.
        let t = Level::Hour.floor(model::Timestamp::now().0 / 1_000_000_000 - 60) - 60;
        for bytes in [1, 10, 100] {
            case.keep(t, &[(1, bytes)]);
            let sum = case.rows(Level::Minute, t..t + 60)[0].2;
            assert_eq!(sum, case.rows(Level::TenSeconds, t..t + 60)[0].2);
            assert_eq!(sum, case.rows(Level::Hour, Level::Hour.floor(t)..t + 1)[0].2);
        }
        assert_eq!(case.rows(Level::Minute, t..t + 60)[0].2, 111);
    });
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
fn each_level_has_its_own_retention() {
    each(|case, again| {
        let store = &case.store;
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
        check(&**store);
        assert_eq!(store.losses(0..now).unwrap(), [loss("n1", 1, now - 10, now)]);
        assert_eq!(store.expire(now, RETENTION_S).unwrap(), 0);
        again().iter().for_each(|case| check(&*case.store));
    });
}

#[test]
fn a_times_edition_changes_with_its_blocks() {
    each(|case, _| {
        let store = &case.store;
        let edition = || store.edition(Level::Minute, 600..1200).unwrap();
        let keep = |time_s| {
            let blocks = vec![block(Level::Minute, time_s, &[(1, 1)])];
            store.commit(&Commit { blocks, ..Commit::default() }).unwrap();
        };
        assert_eq!(edition().blocks, 0);
        [600, 1140].into_iter().for_each(keep);
        let two = edition();
        assert_eq!(two.blocks, 2);
        [540, 1200].into_iter().for_each(keep);
        assert_eq!(edition(), two, "of other times");
        keep(600);
        let three = edition();
        assert_ne!(three, two);
        assert!(three.last > two.last);
        store.expire(86_400 + 660, RETENTION_S).unwrap();
        assert_eq!(edition().blocks, 1);
        keep(660);
        assert_ne!(edition(), two, "as many, but others");
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
fn a_full_file_makes_room_for_the_newest_of_each_level() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let open = |most_bytes| Sqlite::open(&path, most_bytes, 0, RETENTION_S).unwrap();
    let random = &mut fastrand::Rng::with_seed(7);
    let mut noise = || -> Vec<(u32, u64)> { (0..2000).map(|it| (it, random.u64(..))).collect() };
    let now = 10_000_000;
    let store = open(500_000);
    for level in Level::ALL {
        let tenth = RETENTION_S[level as usize] / 10;
        let times = (0..9).map(|age| level.floor(now - age * tenth));
        let blocks = times.map(|time_s| block(level, time_s, &noise())).collect();
        store.commit(&Commit { blocks, ..Commit::default() }).unwrap();
    }
    let full = store.facts();
    assert_eq!(
        (full.blocks, full.disk_evicted),
        ([9, 9, 9], 0),
        "more fits until the flush is over"
    );
    assert!(store.expire(now, RETENTION_S).unwrap() > 0);
    let facts = store.facts();
    assert_eq!(facts.blocks[..2], [9, 9], "what is not folded yet stays");
    assert_eq!(facts.disk_evicted, 9 - facts.blocks[2]);
    let folded = vec![(Level::Minute, now - 1000), (Level::Hour, now - 20_000)];
    store.commit(&Commit { folded, ..Commit::default() }).unwrap();
    drop(store);

    let store = open(300_000);
    store.expire(now, RETENTION_S).unwrap();
    assert_eq!(store.expire(now, RETENTION_S).unwrap(), 0);
    let facts = store.facts();
    assert!(facts.bytes.iter().sum::<u64>() < 300_000, "{facts:?}");
    let parts = Level::ALL.map(|level| {
        let age = now - facts.oldest_s[level as usize].unwrap();
        age as f64 / RETENTION_S[level as usize] as f64
    });
    let most = parts.into_iter().fold(0.0, f64::max);
    let alike = parts.iter().all(|part| most - part < 0.11);
    assert!(alike && most < 0.7, "each goes back to a like part of what it is kept for: {parts:?}");
    drop(store);

    let store = open(10_000);
    store.expire(now, RETENTION_S).unwrap();
    assert_eq!(store.facts().blocks, [3, 3, 1], "what is not folded, and the newest");
}

#[test]
fn another_versions_history_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    drop(Sqlite::open(&path, 1 << 30, 0, RETENTION_S).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 9).unwrap();
    drop(connection);
    let error = Sqlite::open(&path, 1 << 30, 0, RETENTION_S).err().unwrap().to_string();
    assert!(error.contains("another version (9, not 2)"), "{error}");
    std::fs::write(&path, "not a database at all").unwrap();
    assert!(Sqlite::open(&path, 1 << 30, 0, RETENTION_S).is_err());
}
