//! What the commands tell of a whole cluster, asked of a hub.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

mod errors;
mod fixture;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use model::Timestamp;
use model::status::ProgramState;
use rustix::process::{Pid, Signal, kill_process};

use fixture::{Agent, Cluster, amphipod, ended, failure};

#[test]
fn observe_shows_what_agents_have_and_filters_it() {
    let cluster = Cluster::start("");
    let agent = Agent::start(&cluster, ProgramState::Active);
    agent.observe([failure("cart", 81), failure("cart", 82)]);
    let (code, out, error) = cluster.ask(&["observe", "--port", "81"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let (_, rest) = out.split_once("  ").unwrap();
    assert_eq!(
        rest,
        "shop/web -> shop/cart:81  TCP failed  ECONNREFUSED (connection refused: nobody listens)\n"
    );
    let (code, out, _) = cluster.ask(&["observe", "--last", "5", "-o", "json"]);
    let ports = out.lines().map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["destination"]["port"].as_u64().unwrap()
    });
    assert_eq!((code, ports.collect::<Vec<_>>()), (0, vec![81, 82]));
}

#[test]
fn who_follows_ends_with_0_when_interrupted_and_with_1_when_the_hub_goes() {
    let mut cluster = Cluster::start("");
    let agent = Agent::start(&cluster, ProgramState::Active);
    agent.observe([failure("cart", 81)]);
    for signal in [Some(Signal::INT), Some(Signal::TERM), None] {
        let mut child = amphipod(&["observe", "-f", "--last", "1", "--hub", cluster.url()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("shop/cart:81"));
        agent.observe([failure("db", 81)]);
        assert!(lines.next().unwrap().unwrap().contains("shop/db:81"));
        // The next to ask for the latest gets this one.
        agent.observe([failure("cart", 81)]);
        assert!(lines.next().unwrap().unwrap().contains("shop/cart:81"));
        match signal {
            Some(signal) => kill_process(Pid::from_child(&child), signal).unwrap(),
            None => cluster.end(),
        }
        let (code, _, error) = ended(child.wait_with_output().unwrap());
        if signal.is_some() {
            assert_eq!((code, error.as_str()), (0, ""), "{signal:?}");
        } else {
            assert_eq!(code, 1, "{error}");
            let begin = format!("amphipod: hub at {}: ", cluster.url());
            assert!(error.starts_with(&begin) && error.lines().count() == 1, "{error}");
            assert!(
                error.contains("ended the stream: it is stopping; start again when"),
                "{error}"
            );
        }
    }
}

#[test]
fn who_follows_until_a_time_sees_its_end() {
    let cluster = Cluster::start("");
    let _agent = Agent::start(&cluster, ProgramState::Active);
    let until = Timestamp(Timestamp::now().0 + 500_000_000).to_string();
    let began = Instant::now();
    let (code, _, error) = cluster.ask(&["observe", "-f", "--until", &until]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
}

#[test]
fn status_tells_of_hub_and_nodes_and_what_failed_where() {
    let cluster = Cluster::start("");
    let (code, out, error) = cluster.ask(&["status"]);
    assert_eq!(code, 1, "{out}");
    assert_eq!(error, format!("amphipod: hub at {}: no agent is connected\n", cluster.url()));
    let agent = Agent::start(&cluster, ProgramState::Degraded);
    let (code, out, error) = cluster.ask(&["status"]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    for part in [
        &*format!("hub at {}: amphipod ", cluster.url()),
        "\nready\n",
        "\nagents   1 connected; the cluster has 0 nodes\n",
        "\nrows     1 in this life of the hub; 5 events lost on the node itself (n1)\n",
        "\nhistory  stored, ",
        "\nnames    pods 0, nodes 0, services 0, ",
        "\nprobes   of 1 node:\n\nPROGRAM     STATE     ON  REASON\n\
         tcp/accept  degraded  n1  said the verifier\n",
    ] {
        assert!(out.contains(part), "{part:?} in\n{out}");
    }
    drop(agent);
    let _agent = Agent::start(&cluster, ProgramState::Failed);
    let (code, out, error) = cluster.ask(&["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["hub"]["ready"], true);
    assert_eq!(status["nodes"]["nodes"][0]["probes"][0]["state"], "failed");
    let expected = format!("amphipod: hub at {}: tcp/accept failed on n1\n", cluster.url());
    assert_eq!((code, error), (1, expected));
}

#[test]
fn top_tells_rates_and_failures_of_the_last_minute() {
    let cluster = Cluster::start("");
    let _agent = Agent::start(&cluster, ProgramState::Active);
    let (code, out, error) = cluster.ask(&["top", "--once"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let mut lines = out.lines();
    assert!(lines.next().unwrap().starts_with("SOURCE    DESTINATION  BYTES/s"), "{out}");
    assert!(lines.next().unwrap().starts_with("shop/web  shop/cart         0B"), "{out}");
    assert_eq!(lines.next(), Some("2x  shop/web -> shop/cart:81  failed"));
    let (_, out, _) = cluster.ask(&["top", "-o", "json", "--group", "namespace"]);
    let top: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&top["pairs"][0]["source"], &top["group"]), (&"shop".into(), &"namespace".into()));
    // The ends are moved to whole intervals.
    let seconds = top["seconds"].as_f64().unwrap();
    assert!((60.0..=80.0).contains(&seconds), "{seconds}");
    let rate = top["pairs"][0]["failures_per_second"].as_f64().unwrap();
    assert!((rate * seconds - 2.0).abs() < 1e-9, "{rate} of {seconds}");
    let (_, out, _) = cluster.ask(&["top", "-o", "json", "-n", "bank"]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&out).unwrap()["pairs"],
        serde_json::json!([])
    );
    for (args, expected) in [
        (
            ["--pod", "a"],
            "--pod: with a hub the only filter of top is --namespace; amphipod observe has all filters",
        ),
        (
            ["--group", "pod"],
            "--group pod: a hub adds up workloads; ask an agent without --hub, or give workload or namespace",
        ),
    ] {
        let (code, _, error) = cluster.ask(&[&["top", "--once"], &args[..]].concat());
        assert_eq!((code, error), (2, format!("amphipod: {expected}\n")));
    }
}

#[test]
fn what_is_printed_has_no_control_characters_of_others() {
    let url = fixture::other(concat!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        r#"{"since":"2026-01-01T00:00:00Z","until":"2026-01-01T00:01:00Z","complete":false,"truncated":true,"hidden":true,"#,
        r#""nodes":[{"kind":"External","name":"a\u001b[31mb"},{"namespace":"shop","kind":"Service","name":"db"}],"#,
        r#""edges":[{"source":0,"destination":1,"port":5,"values":{"bytes_sent":600,"bytes_received":60,"drops":3,"#,
        r#""rtt":{"count":2,"mean":0.001,"p50":0.001}}},{"source":0,"destination":7,"port":5,"values":{"rtt":{"count":0}}}],"#,
        r#""missing":[{"node":"n1","reason":"spool_full","rows":7},{"node":"n2","reason":"spool_full","rows":5},"#,
        r#"{"node":"n3\u001b","reason":"not_connected"}]}"#,
    ));
    let (code, out, error) = ended(amphipod(&["top", "--once", "--hub", &url]).output().unwrap());
    assert_eq!((code, error.as_str()), (0, ""));
    let expected = [
        "SOURCE   DESTINATION  BYTES/s  CONN/s  FAIL/s  DROP/s      RTT  RETX/s",
        "a\u{fffd}[31mb  shop/svc/db      11B       0       0     0.1   1.00ms       0",
        "a\u{fffd}[31mb  ?                 0B       0       0       0        -       0",
        "3x  a\u{fffd}[31mb -> shop/svc/db:5  dropped",
        "... rows missing of n3\u{fffd}: not_connected",
        "... 12 rows missing of n1, n2: spool_full",
        "... only 2000 ways are shown: those that fail, and the busiest",
        "... namespaces that you may not see are left out",
    ];
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}
