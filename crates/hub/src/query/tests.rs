use std::time::Duration;

use model::row::End;
use model::{Measure, Scope};

use super::*;
use crate::config;
use crate::ingest::Batch;
use crate::store::{Catalogue, Memory, Store};

/// The beginning of an hour.
const NOW_S: u64 = 1_800_000_000;

struct Cluster {
    ingest: Arc<Ingest>,
    query: Query,
    sequence: u64,
}

fn cluster() -> Cluster {
    let keep_s = [3600, 86_400, 864_000];
    let store: Arc<dyn Store> = Arc::new(Memory::new(1 << 26, keep_s));
    let history = config::History {
        path: None,
        clickhouse: None,
        memory_bytes: 1 << 26,
        disk_bytes: 1 << 30,
        keep_s,
        max_edges: 1000,
    };
    let ingest = Ingest::new(store, Arc::new(Catalogue::new(1000)), &history, NOW_S).unwrap();
    Cluster { query: Query::new(ingest.clone(), history.sums_bytes()), ingest, sequence: 0 }
}

fn end(text: &str) -> End {
    let (name, zone) = text.split_once('@').unwrap_or((text, ""));
    let name: Name = name.parse().unwrap();
    End {
        namespace: name.namespace.into(),
        kind: name.kind.into(),
        name: name.name.into(),
        zone: zone.into(),
    }
}

impl Cluster {
    /// `edges`: source, destination, whose end it is, and bytes; one failure with each that has 13.
    fn observe(&mut self, time_s: u64, edges: &[(&str, &str, Direction, u64)]) {
        let rows = edges.iter().map(|(source, destination, direction, bytes)| {
            let mut values = Values::default();
            values.add(Measure::BYTES_SENT, *bytes);
            values.add(Measure::ACTIVE, 20);
            values.observe(Measure::CONNECT, *bytes * 1_000_000);
            if *bytes == 13 {
                values.add(Measure::FAILURES, 1);
            }
            (*source, *destination, *direction, values)
        });
        self.tell(time_s, &rows.collect::<Vec<_>>());
    }

    fn tell(&mut self, time_s: u64, rows: &[(&str, &str, Direction, Values)]) {
        self.sequence += 1;
        let keys = rows.iter().map(|(source, destination, direction, _)| Key {
            source: end(source),
            destination: end(destination),
            service: "".into(),
            protocol: Protocol::TCP,
            port: 80,
            direction: *direction,
        });
        let numbers = self.ingest.catalogue.numbers(keys.collect());
        let rows = numbers.into_iter().zip(rows).map(|(edge, (.., values))| (edge, values.clone()));
        let batch = Batch {
            sequence: self.sequence,
            start_s: time_s,
            length_s: 10,
            rows: rows.collect(),
            ..Batch::default()
        };
        self.ingest.take(&"n1".into(), 1, batch, time_s + 10);
        self.ingest.flush(time_s + 13).unwrap();
    }

    fn graph(&self, select: &Select, group: Group) -> Vec<String> {
        let answered = graph(&self.query, NOW_S..NOW_S + 3600, select, group, 100).unwrap();
        let Graph { nodes, edges, .. } = answered.answer;
        let name = |node: &GraphNode| format!("{}/{}/{}", node.namespace, node.kind, node.name);
        let told = edges.iter().map(|edge| {
            let ends = [edge.source, edge.destination].map(|it| name(&nodes[it]));
            let bytes = edge.values.sum(Measure::BYTES_SENT).unwrap();
            format!("{} {} {bytes}", ends[0], ends[1])
        });
        let mut told: Vec<String> = told.collect();
        told.sort();
        told
    }
}

use Direction::{Egress, Ingress};

const WEB: &str = "shop/Deployment/web";
const CART: &str = "shop/Deployment/cart";
const DB: &str = "data/StatefulSet/db";
const WORLD: &str = "-/External/example.org";

fn shop() -> Cluster {
    let mut cluster = cluster();
    for (offset, bytes) in [(0, 1), (10, 2), (3000, 4)] {
        cluster.observe(
            NOW_S + offset,
            &[
                ("shop/Deployment/web@a", "shop/Deployment/cart@b", Egress, bytes),
                ("shop/Deployment/web@b", "shop/Deployment/cart@b", Egress, bytes),
                // The same, seen from its other end.
                ("shop/Deployment/web@a", "shop/Deployment/cart@b", Ingress, bytes * 100),
                (CART, DB, Ingress, bytes),
            ],
        );
    }
    cluster.observe(NOW_S + 3010, &[(CART, WORLD, Egress, 13)]);
    cluster
}

#[test]
fn a_graph_sums_what_the_source_saw() {
    let cluster = shop();
    let workloads =
        ["/External/example.org 13", "data/StatefulSet/db 7", "shop/Deployment/cart 14"];
    let [world, db, cart] = workloads;
    let expected = [
        format!("shop/Deployment/cart {world}"),
        format!("shop/Deployment/cart {db}"),
        format!("shop/Deployment/web {cart}"),
    ];
    let all = Select::default();
    assert_eq!(cluster.graph(&all, Group::Workload), expected);
    let data = Select { namespaces: vec!["data".into()], ..Select::default() };
    assert_eq!(cluster.graph(&data, Group::Workload), expected[1..2]);
    assert_eq!(
        cluster.graph(&all, Group::Namespace),
        [
            "shop/Namespace/shop /External/world 13",
            "shop/Namespace/shop data/Namespace/data 7",
            "shop/Namespace/shop shop/Namespace/shop 14",
        ]
    );
    assert_eq!(
        cluster.graph(&all, Group::Zone),
        ["/Zone/a /Zone/b 7", "/Zone/b /Zone/b 7", "/Zone/unknown /Zone/unknown 20"]
    );
}

/// A client of a service knows whose all of it is, and neither pod nor zone.
#[test]
fn both_ends_of_a_call_to_a_service_are_one_edge() {
    let mut cluster = cluster();
    let rows = [
        ("shop/Deployment/web@a", CART, Egress, 10),
        ("shop/Deployment/web@a", "shop/Deployment/cart@b", Ingress, 4),
        ("shop/Deployment/web@a", "shop/Deployment/cart@c", Ingress, 6),
        ("shop/Deployment/web@a", "-/External/example.org", Egress, 5),
    ];
    cluster.observe(NOW_S, &rows);
    let all = Select::default();
    assert_eq!(
        cluster.graph(&all, Group::Workload),
        [
            "shop/Deployment/web /External/example.org 5",
            "shop/Deployment/web shop/Deployment/cart 10"
        ]
    );
    // Each byte once, and where it went as far as anybody knows.
    assert_eq!(
        cluster.graph(&all, Group::Zone),
        ["/Zone/a /Zone/b 4", "/Zone/a /Zone/c 6", "/Zone/a /Zone/unknown 5"]
    );
    cluster.observe(NOW_S + 10, &[("shop/Deployment/web@a", "data/StatefulSet/db@b", Ingress, 1)]);
    cluster.observe(NOW_S + 10, &[("shop/Deployment/web@a", DB, Egress, 1)]);
    let answered = graph(&cluster.query, NOW_S..NOW_S + 60, &all, Group::Workload, 100).unwrap();
    let zone = |name: &str| {
        let node = answered.answer.nodes.iter().find(|it| &*it.name == name).unwrap();
        node.zone.as_deref()
    };
    let zones = ["web", "cart", "db", "example.org"].map(zone);
    assert_eq!(zones, [Some("a"), Some(""), Some("b"), None]);
}

#[test]
fn each_end_tells_what_the_other_cannot() {
    let mut cluster = cluster();
    let values = |told: &[(Measure, u64)]| {
        let mut values = Values::default();
        told.iter().for_each(|(measure, value)| values.add(*measure, *value));
        values
    };
    // A closed port: the caller fails, and the other host discards what it sent; each discards once more.
    let caller = values(&[(Measure::FAILURES, 5), (Measure::PACKETS_SENT, 9), (Measure::DROPS, 1)]);
    let called = values(&[(Measure::PACKETS_SENT, 7), (Measure::DROPS, 6)]);
    let rows = [(WEB, CART, Egress, caller), (WEB, CART, Ingress, called)];
    cluster.tell(NOW_S, &rows);
    cluster.tell(NOW_S + 10, &rows[..1]);
    let told = |values: &Values| {
        [Measure::FAILURES, Measure::PACKETS_SENT, Measure::DROPS].map(|it| values.sum(it))
    };

    let (times_s, all) = (NOW_S..NOW_S + 60, Select::default());
    let workloads = workloads(&cluster.query, times_s.clone(), &all, |_| true).unwrap().answer;
    let of = |name: &str| workloads.iter().find(|it| *it.name == *name).unwrap();
    assert_eq!(told(&of("web").outgoing), [Some(10), Some(18), Some(8)]);
    assert_eq!(told(&of("cart").incoming), [Some(10), Some(7), Some(8)]);

    for group in [Group::Workload, Group::Zone] {
        let graph = graph(&cluster.query, times_s.clone(), &all, group, 100).unwrap().answer;
        assert_eq!(graph.edges.len(), 1);
        assert_eq!(told(&graph.edges[0].values)[2], Some(8), "{group:?}");
    }
    let measures = vec![Measure::FAILURES, Measure::PACKETS_SENT, Measure::DROPS];
    let asked = Asked { measures, select: all, step_s: None };
    let points = series(&cluster.query, times_s, &asked).unwrap().answer;
    let sums = points.series.iter().map(|it| it.values.iter().flatten().sum::<f64>());
    assert_eq!(sums.collect::<Vec<_>>(), [10.0, 18.0, 8.0]);
}

#[test]
fn what_is_hidden_is_one_and_sums_stay_right() {
    let mut cluster = cluster();
    let rows = [
        ("bank/Deployment/a", WEB, Egress, 1),
        // Nobody watched this one's source: it must not be taken for what the other's saw.
        ("bank/Deployment/b", WEB, Ingress, 10),
        ("bank/Deployment/a", WEB, Ingress, 100),
        (CART, "bank/Deployment/a", Egress, 1000),
        ("bank/Deployment/a", "bank/Deployment/b", Egress, 10_000),
    ];
    cluster.observe(NOW_S, &rows);
    let select = |scope| Select { scope, ..Select::default() };
    let shown = cluster.graph(&select(Scope::of(["shop"])), Group::Workload);
    assert_eq!(
        shown,
        ["/Hidden/hidden shop/Deployment/web 11", "shop/Deployment/cart /Hidden/hidden 1000"]
    );
    assert_eq!(cluster.graph(&select(Scope::of(["other"])), Group::Workload), [""; 0]);
    assert_eq!(cluster.graph(&select(Scope::All), Group::Workload).len(), 4);
    // Compared is what is shown.
    let by_name = Select { namespaces: vec!["bank".into()], ..select(Scope::of(["shop"])) };
    assert_eq!(cluster.graph(&by_name, Group::Workload), [""; 0]);
}

#[test]
fn a_cut_graph_keeps_what_is_bad_and_what_is_busy() {
    let cluster = shop();
    let cut = graph(&cluster.query, NOW_S..NOW_S + 3600, &Select::default(), Group::Workload, 1);
    let Graph { nodes, edges, truncated } = cut.unwrap().answer;
    assert!(truncated);
    assert_eq!((nodes.len(), edges.len()), (2, 1));
    assert_eq!(&*nodes[edges[0].destination].name, "example.org");
}

#[test]
fn a_series_has_a_value_for_each_step_in_which_there_was_one() {
    let cluster = shop();
    let ask = |select: Select, measure, step_s, times_s| {
        let asked = Asked { measures: vec![measure], select, step_s };
        series(&cluster.query, times_s, &asked).unwrap()
    };
    let all = Select::default();
    let first = NOW_S..NOW_S + 40;
    let answered = ask(all.clone(), Measure::BYTES_SENT, Some(10), first.clone());
    let Points { times, series } = answered.answer;
    assert_eq!(times, [NOW_S, NOW_S + 10, NOW_S + 20, NOW_S + 30]);
    assert_eq!(series[0].values, [Some(3.0), Some(6.0), None, None]);
    let db = Select { destination: Some(DB.parse().unwrap()), ..Select::default() };
    let Points { series, .. } =
        ask(db.clone(), Measure::BYTES_SENT, Some(20), first.clone()).answer;
    assert_eq!(series[0].values, [Some(3.0), None]);
    let Points { series, .. } = ask(db.clone(), Measure::ACTIVE, Some(20), first).answer;
    assert_eq!(series[0].values, [Some(2.0), None], "20 unit seconds in each of two times 10 s");
    // Minutes, and what is not a minute yet.
    let hour = NOW_S..NOW_S + 3600;
    let answered = ask(db.clone(), Measure::CONNECT, None, hour.clone());
    assert_eq!((answered.step_s, answered.answer.times.len()), (10, 360));
    let answered = ask(db, Measure::CONNECT, Some(600), hour);
    let Points { times, series } = answered.answer;
    assert_eq!(times.len(), 6);
    let counts = series.iter().find(|it| it.statistic == Some(Statistic::Count)).unwrap();
    assert_eq!(counts.values, [Some(2.0), None, None, None, None, Some(1.0)]);
    let most = series.iter().find(|it| it.statistic == Some(Statistic::Max)).unwrap();
    let seconds = most.values[5].unwrap();
    assert!((seconds / 0.004 - 1.0).abs() < 1e-3, "{seconds}");
}

#[test]
fn workloads_are_told_with_both_ways() {
    let cluster = shop();
    let times_s = NOW_S..NOW_S + 3600;
    let all = workloads(&cluster.query, times_s.clone(), &Select::default(), |_| true).unwrap();
    let told = all.answer.iter().map(|it| {
        let bytes = |values: &Values| values.sum(Measure::BYTES_SENT);
        (&*it.name, bytes(&it.incoming), bytes(&it.outgoing))
    });
    let expected = [
        ("example.org", Some(13), None),
        ("db", Some(7), None),
        // As its own end saw it.
        ("cart", Some(700), Some(20)),
        ("web", None, Some(14)),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);

    let page = |name: &str| {
        page(&cluster.query, times_s.clone(), &name.parse().unwrap(), Scope::All).unwrap()
    };
    let cart = page(CART).answer.unwrap();
    assert_eq!(cart.incoming.sum(Measure::BYTES_SENT), Some(700));
    assert_eq!(cart.outgoing.sum(Measure::FAILURES), Some(1));
    let peers: Vec<_> = cart.peers.iter().map(|it| (it.incoming, &*it.name, it.port)).collect();
    assert_eq!(peers, [(false, "example.org", 80), (false, "db", 80), (true, "web", 80)]);
    assert_eq!(page("shop/Deployment/nobody").answer, None);
    assert!(page(WEB).answer.unwrap().peers.len() == 1);
}

#[test]
fn an_answer_is_the_same_whatever_levels_it_comes_from() {
    let mut cluster = cluster();
    let hours = 3;
    let length = Duration::from_secs(hours * 3600).as_secs();
    for offset in (0..length).step_by(10) {
        cluster.observe(NOW_S + offset, &[(WEB, CART, Egress, 1)]);
    }
    let sum = |times_s: Range<u64>| {
        let answered =
            graph(&cluster.query, times_s, &Select::default(), Group::Workload, 10).unwrap();
        let bytes = answered.answer.edges[0].values.sum(Measure::BYTES_SENT).unwrap();
        (answered.times_s, bytes)
    };
    for (from, until) in
        [(0, length), (7200, 10_790), (10_000, 10_500), (7210, 7230), (3590, 10_000)]
    {
        let (times_s, bytes) = sum(NOW_S + from..NOW_S + until);
        assert_eq!(bytes * 10, times_s.end - times_s.start, "{from}..{until}: {times_s:?}");
    }
    // Ten seconds are kept for an hour only: the bound moves to the minute.
    let (times_s, _) = sum(NOW_S + 70..NOW_S + 230);
    assert_eq!(times_s, NOW_S + 60..NOW_S + 240);
}

#[test]
fn what_comes_late_is_in_an_answer_that_was_kept() {
    let mut cluster = cluster();
    let both = |bytes| {
        [Direction::Egress, Direction::Ingress]
            .map(|end| ("shop/Deployment/web", "shop/Deployment/cart", end, bytes))
    };
    for minute in 0..30 {
        cluster.observe(NOW_S + 60 * minute, &both(1));
    }
    let select = Select::default();
    let sum = |bytes| vec![format!("shop/Deployment/web shop/Deployment/cart {bytes}")];
    for _ in 0..2 {
        assert_eq!(cluster.graph(&select, Group::Workload), sum(30));
    }
    cluster.observe(NOW_S + 300, &both(5));
    assert_eq!(cluster.graph(&select, Group::Workload), sum(35));
    assert_eq!(
        cluster.graph(&select, Group::Namespace),
        ["shop/Namespace/shop shop/Namespace/shop 35"]
    );
}
