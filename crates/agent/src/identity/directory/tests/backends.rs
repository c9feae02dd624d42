//! Backends behind services, as a connection tracking tells that the test makes up.

use model::{
    Address, Change, Holder, Identity, Observation, Protocol, Record, Service, TargetPort,
    Timestamp, Workload,
};
use proptest::prelude::*;

use super::super::super::BackendCounters;
use super::bench::{Bench, C, D, NODE_IP, observation, pod};
use crate::backend::{Answer, Choice, Finding, Question};

fn bench_with(set: impl FnOnce(&mut super::super::super::Config)) -> Bench {
    let mut bench = Bench::with(
        |config| {
            config.backends = true;
            set(config);
        },
        &[],
    );
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.change(pod("web", "10.1.0.2").elsewhere());
    bench.change(pod("old", "10.1.0.3").elsewhere());
    bench.change(Change::Service(Service {
        namespace: "shop".into(),
        name: "web".into(),
        ips: vec!["10.99.0.1".parse().unwrap()],
    }));
    bench.created(7, "cart", C);
    bench
}

fn bench() -> Bench {
    bench_with(|_| {})
}

fn to_service(event: &str) -> String {
    format!("7@9 10.1.0.1:4000 > 10.99.0.1:80 {event}")
}

fn found(backend: &str) -> Finding {
    translated(backend, "10.1.0.1:4000")
}

fn translated(backend: &str, client: &str) -> Finding {
    Finding::Found(Choice { backend: backend.parse().unwrap(), client: client.parse().unwrap() })
}

impl Bench {
    fn questions(&mut self) -> Vec<Question> {
        self.directory.take_questions().collect()
    }

    fn answer(&mut self, question: Question, finding: Finding) {
        let Question { number, dial } = question;
        self.directory.answer(&Answer { number, dial, finding }, self.now);
        self.directory.deliver_ready(self.now, &mut |record| self.out.push(record));
    }

    /// Answers the one question that is open.
    #[track_caller]
    fn answer_one(&mut self, finding: Finding) {
        let questions = self.questions();
        assert_eq!(questions.len(), 1, "{questions:?}");
        self.answer(questions[0], finding);
    }

    fn datagrams(&mut self) {
        let observation =
            Observation { protocol: Protocol::UDP, ..observation(self.now, &to_service("flow")) };
        self.directory.identify(observation, self.now, &mut |record| self.out.push(record));
    }

    /// Compares and takes services, workloads and backends.
    #[track_caller]
    fn chosen(&mut self, expected: &[&str]) {
        let found: Vec<String> = std::mem::take(&mut self.out).iter().map(show).collect();
        assert_eq!(found, expected);
    }

    fn lookups(&self) -> [u64; 4] {
        let BackendCounters { found, none, late, unavailable } = self.counters().backends;
        [found, none, late, unavailable]
    }
}

fn show(record: &Record) -> String {
    let end = &record.destination;
    let identity = end.identity.as_ref().unwrap();
    let or = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let workload = identity.workload.as_ref().map(|workload| &*workload.name);
    let (service, pod) = (identity.service.as_deref(), identity.pod.as_deref());
    let backend = end.backend.as_ref().map_or("-".to_owned(), |backend| backend.to_string());
    let address = end.ip.map_or("-".to_owned(), |ip| format!("{ip}:{}", end.port));
    format!("{address} {} {} {} {backend}", or(service), or(workload), or(pod))
}

const UNKNOWN: &str = "10.99.0.1:80 web - - -";
const WEB: &str = "10.99.0.1:80 web web web 10.1.0.2:8080";
const OLD: &str = "10.99.0.1:80 web old old 10.1.0.3:8080";

#[test]
fn a_connection_is_asked_for_once() {
    let mut bench = bench();
    bench.number(1);
    bench.see(&to_service("opened"));
    bench.see(&to_service("flow"));
    bench.chosen(&[]);
    bench.answer_one(found("10.1.0.2:8080"));
    bench.chosen(&[WEB, WEB]);
    bench.wait_ms(30_000);
    bench.see(&to_service("flow"));
    bench.see(&to_service("closed"));
    bench.chosen(&[WEB, WEB]);
    assert!(bench.questions().is_empty());
    assert_eq!((bench.lookups(), bench.counters().parked_total), ([1, 0, 0, 0], 2));
}

#[test]
fn the_same_pair_has_one_identity() {
    let mut bench = bench();
    for cookie in 1..=2 {
        bench.number(cookie);
        bench.see(&to_service("opened"));
        bench.answer_one(found("10.1.0.2:8080"));
    }
    let ends: Vec<_> = bench.out.iter().map(|record| record.destination.identity.clone()).collect();
    assert!(std::sync::Arc::ptr_eq(ends[0].as_ref().unwrap(), ends[1].as_ref().unwrap()));
}

#[test]
fn only_services_are_asked_for() {
    let mut bench = bench();
    bench.see("7@9 10.1.0.1:4000 > 10.1.0.2:80 opened");
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    // Dropped packets may not have been tracked, and what has no ports cannot be told apart.
    bench.see(&to_service("drop"));
    bench.see("7@9 10.1.0.1:0 > 10.99.0.1:0 flow");
    assert!(bench.questions().is_empty());
    assert_eq!(bench.counters().parked_total, 0);
}

#[test]
fn what_the_kernel_does_not_tell_is_unknown() {
    for (finding, counts) in [
        (Finding::None, [0, 1, 0, 0]),
        (Finding::NoRoom, [0, 0, 1, 0]),
        (Finding::Unavailable, [0, 0, 0, 1]),
    ] {
        let mut bench = bench();
        bench.number(1);
        bench.see(&to_service("opened"));
        bench.answer_one(finding);
        bench.see(&to_service("closed"));
        bench.chosen(&[UNKNOWN, UNKNOWN]);
        assert!(bench.questions().is_empty(), "not again");
        assert_eq!(bench.lookups(), counts);
    }
}

#[test]
fn a_late_answer_serves_the_records_after_it() {
    let mut bench = bench();
    bench.number(1);
    bench.see(&to_service("opened"));
    bench.wait_ms(200);
    bench.see(&to_service("flow"));
    bench.chosen(&[]);
    bench.wait_ms(50);
    // The second does not wait on for what the first gave up, and does not overtake it.
    bench.chosen(&[UNKNOWN, UNKNOWN]);
    bench.see(&to_service("flow"));
    bench.chosen(&[UNKNOWN]);
    bench.answer_one(found("10.1.0.2:8080"));
    bench.see(&to_service("closed"));
    bench.chosen(&[WEB]);
    assert_eq!(bench.lookups(), [0, 0, 1, 0], "each question counts once");
}

#[test]
fn a_reused_port_is_another_connection() {
    // With cookies, and on kernels that do not give them.
    for cookies in [[1, 2], [0, 0]] {
        let mut bench = bench();
        bench.number(cookies[0]);
        bench.see(&to_service("opened"));
        bench.answer_one(found("10.1.0.3:8080"));
        let before = bench.now;
        bench.see(&to_service("closed"));
        bench.number(cookies[1]);
        bench.wait_ms(1);
        bench.see(&to_service("opened"));
        bench.answer_one(found("10.1.0.2:8080"));
        bench.see(&to_service("flow"));
        bench.chosen(&[OLD, OLD, WEB, WEB]);
        if cookies[0] != 0 {
            // A late record of the first: the kernel knows the second only.
            bench.number(cookies[0]);
            bench.see_at(before, &to_service("flow"));
            bench.chosen(&[UNKNOWN]);
            assert!(bench.questions().is_empty());
            assert_eq!(bench.lookups(), [2, 0, 1, 0]);
        }
    }
}

#[test]
fn an_answer_is_not_the_next_connections() {
    let mut bench = bench();
    bench.number(1);
    bench.see(&to_service("opened"));
    let first = bench.questions()[0];
    bench.number(2);
    bench.see(&to_service("opened"));
    let second = bench.questions()[0];
    bench.answer(first, found("10.1.0.3:8080"));
    bench.chosen(&[]);
    bench.answer(second, found("10.1.0.2:8080"));
    bench.chosen(&[UNKNOWN, WEB]);
}

#[test]
fn datagrams_may_go_elsewhere_after_a_while() {
    let mut bench = bench();
    bench.datagrams();
    bench.answer_one(found("10.1.0.3:8080"));
    bench.wait_ms(9_000);
    bench.datagrams();
    bench.chosen(&[OLD, OLD]);
    bench.wait_ms(1_000);
    bench.datagrams();
    bench.answer_one(found("10.1.0.2:8080"));
    bench.chosen(&[WEB]);
}

#[test]
fn a_backend_without_a_name_has_an_address() {
    let mut bench = bench();
    bench.number(1);
    bench.see(&to_service("opened"));
    bench.answer_one(found("203.0.113.9:8080"));
    bench.chosen(&["10.99.0.1:80 web - - 203.0.113.9:8080"]);
}

#[test]
fn a_backend_in_the_hosts_network_is_known_by_its_socket() {
    let mut bench = bench();
    bench.change(pod("exporter", NODE_IP).container(D, "exporter").host_network());
    bench.created(8, "exporter", D);
    bench.number(1);
    bench.see(&to_service("opened"));
    // The host translated the client's address as well.
    bench.answer_one(translated("192.168.7.7:9100", "192.168.7.7:61000"));
    bench.chosen(&[]);
    bench.number(2);
    bench.see("8@1 192.168.7.7:9100 < 192.168.7.7:61000 accepted");
    bench.wait_ms(300);
    let found: Vec<String> = bench.out.iter().map(show).collect();
    assert!(
        found.contains(&"10.99.0.1:80 web exporter exporter 192.168.7.7:9100".to_owned()),
        "{found:?}"
    );
}

#[test]
fn the_backends_name_is_waited_for() {
    let mut bench = Bench::asking(|config| config.backends = true);
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.change(Change::Service(Service {
        namespace: "far".into(),
        name: "web".into(),
        ips: vec!["10.99.0.1".parse().unwrap()],
    }));
    bench.created(7, "cart", C);
    bench.number(1);
    bench.see(&to_service("opened"));
    bench.answer_one(found("10.2.0.1:8080"));
    bench.chosen(&[]);
    assert_eq!(bench.wishes(), ["10.2.0.1"]);
    bench.change(super::interest::answer("10.2.0.1", "web-1", model::Timestamp(0)));
    bench.wait_ms(1);
    bench.chosen(&["10.99.0.1:80 web - web-1 10.2.0.1:8080"]);
}

/// The hub says which workload is behind all of a service.
#[test]
fn the_kernel_knows_better_than_the_cluster_what_is_behind_a_service() {
    let workload = Workload { kind: "Deployment".into(), name: "shop".into() };
    let target = TargetPort { protocol: Protocol::TCP, port: 80, target: 8000 };
    let identity = Identity {
        namespace: Some("far".into()),
        service: Some("web".into()),
        workload: Some(workload),
        target_ports: vec![target],
        ..Identity::default()
    };
    let answer = Change::Address(Address {
        ip: "10.99.0.1".parse().unwrap(),
        holder: Holder::Service { namespace: "far".into(), name: "web".into() },
        identity: identity.into(),
        since: Timestamp(0),
    });
    let check = |finding, backend: Option<Change>, expected: &str, port: u16| {
        let mut bench = Bench::asking(|config| config.backends = true);
        bench.change(pod("cart", "10.1.0.1").container(C, "app"));
        bench.created(7, "cart", C);
        bench.number(1);
        bench.see(&to_service("opened"));
        assert_eq!(bench.wishes(), ["10.99.0.1"]);
        bench.change(answer.clone());
        bench.wait_ms(1);
        bench.answer_one(finding);
        if let Some(backend) = backend {
            assert_eq!(bench.wishes(), ["10.2.0.1"]);
            bench.change(backend);
            bench.wait_ms(1);
        }
        let ports: Vec<u16> = bench.out.iter().map(model::row::port).collect();
        bench.chosen(&[expected]);
        assert_eq!(ports, [port]);
    };
    let found = || found("10.2.0.1:8080");
    check(Finding::None, None, "10.99.0.1:80 web shop - -", 8000);
    let pod = super::interest::answer("10.2.0.1", "web-1", Timestamp(0));
    check(found(), Some(pod), "10.99.0.1:80 web - web-1 10.2.0.1:8080", 8080);
    let nobody = Change::AddressUnknown { ip: "10.2.0.1".parse().unwrap() };
    check(found(), Some(nobody), "10.99.0.1:80 web - - 10.2.0.1:8080", 8080);
}

#[test]
fn a_record_that_waited_for_its_pod_is_asked_for_all_the_same() {
    let mut bench = bench();
    bench.created(8, "young", D);
    bench.number(1);
    bench.see("8@10 10.1.0.5:4000 > 10.99.0.1:80 opened");
    bench.wait_ms(1_900);
    bench.change(pod("young", "10.1.0.5").container(D, "curl"));
    bench.wait_ms(1);
    bench.chosen(&[]);
    bench.answer_one(translated("10.1.0.2:8080", "10.1.0.5:4000"));
    bench.chosen(&[WEB]);
}

#[test]
fn the_table_is_bounded_and_the_closed_are_forgotten() {
    let mut bench = bench_with(|config| config.limits.backends = 2);
    for port in 1..=5_u64 {
        bench.number(port);
        bench.see(&format!("7@9 10.1.0.1:{port} > 10.99.0.1:80 closed"));
    }
    let table = |bench: &Bench| {
        let tables = bench.counters().tables;
        let table = tables.into_iter().find(|table| table.name == "backends").unwrap();
        (table.entries, table.evicted)
    };
    assert_eq!(table(&bench), (2, 3));
    assert_eq!(bench.lookups(), [0, 0, 3, 0]);
    for question in bench.questions() {
        bench.answer(question, Finding::None);
    }
    // Those whose question was thrown out ask again when their time has come, but not for ever.
    for _ in 0..30 {
        bench.wait_ms(100);
    }
    assert_eq!(bench.out.len(), 5);
    bench.wait_ms(11_000);
    bench.wait_ms(1_000);
    assert_eq!(table(&bench).0, 0);
}

proptest! {
    /// Whatever comes when: no record is lost, and each question is counted once.
    #[test]
    fn every_question_has_one_result(
        steps in proptest::collection::vec((0_u8..6, 1_u64..4, any::<bool>()), 1..60),
    ) {
        let mut bench = bench_with(|config| config.limits.backends = 2);
        let (mut open, mut asked, mut seen) = (Vec::new(), 0, 0);
        for (step, number, flag) in steps {
            match step {
                0..=2 => {
                    seen += 1;
                    let event = ["opened", "flow", "closed"][usize::from(step)];
                    bench.number(number * 2 + u64::from(flag));
                    bench.see(&format!("7@9 10.1.0.1:{number} > 10.99.0.1:80 {event}"));
                }
                3 => bench.wait_ms(number * 90),
                4 => bench.wait_ms(number * 9_000),
                _ => {
                    if let Some(question) = open.pop() {
                        bench.answer(question, if flag { found("10.1.0.2:8080") } else { Finding::None });
                    }
                }
            }
            let questions = bench.questions();
            asked += questions.len() as u64;
            open.extend(questions);
        }
        bench.wait_ms(250);
        // Once for what still waits, once more for what is no longer waited for.
        for _ in 0..4 {
            bench.wait_ms(60_000);
        }
        asked += bench.questions().len() as u64;
        prop_assert_eq!(bench.out.len(), seen);
        // A late record of a port that is in use again counts without a question.
        let [found, none, late, unavailable] = bench.lookups();
        prop_assert!(found + none + late + unavailable >= asked, "{:?} of {asked}", bench.lookups());
        prop_assert!(found + none + unavailable <= asked);
    }
}
