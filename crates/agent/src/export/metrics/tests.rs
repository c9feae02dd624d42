use std::sync::Arc;
use std::time::Instant;

use daemon::export::Exports;
use daemon::http::exposition::{self, Format};
use model::status::{Loss, MapStatus, ProgramStatus};
use model::{
    Connection, ConnectionEvent, Counters, Direction, Drop, Endpoint, Flow, Identity, Process,
    Protocol, Record, Subject, Timestamp, Workload,
};

use super::*;
use crate::Config;
use crate::config::Source;
use crate::kube::Link;
use crate::pipeline::Shared;

fn end(workload: &str, service: Option<&str>) -> Endpoint {
    let identity = Identity {
        namespace: Some("shop".into()),
        workload: Some(Workload { kind: "Deployment".into(), name: workload.into() }),
        service: service.map(Into::into),
        ..Identity::default()
    };
    Endpoint { ip: None, port: 0, identity: Some(Arc::new(identity)), backend: None }
}

fn record(subject: Subject) -> Record {
    Record {
        time: Timestamp(0),
        node: "n".into(),
        source: end("we\"b", None),
        destination: end("cart", Some("cart")),
        direction: Direction::Egress,
        protocol: Protocol::TCP,
        process: Process::default(),
        cookie: 7,
        subject,
    }
}

fn sources() -> Sources {
    let config = Config::parse("[agent]\nmode = \"standalone\"", Some("n")).unwrap();
    let shared = Arc::new(Shared::new(&config));
    let report = || probes::Report {
        programs: vec![ProgramStatus {
            probe: "drop".into(),
            program: "kfree_skb".into(),
            state: ProgramState::Degraded,
            reason: "no reasons before 5.17".into(),
            runs: 0,
            run_time_ns: 0,
            recursion_misses: 2,
        }],
        maps: vec![MapStatus {
            probe: "tcp".into(),
            map: "sockets".into(),
            entries: 1,
            max_entries: 4,
            memory_bytes: 4096,
        }],
        losses: vec![Loss {
            probe: "tcp".into(),
            stage: "kernel".into(),
            cause: "ring_full".into(),
            count: 3,
        }],
    };
    Sources::new(
        config,
        shared,
        Arc::new(Link::new(Source::Hub)),
        Box::new(report),
        Exports::default(),
    )
}

fn text(format: Format, sources: &Sources) -> String {
    let mut text = String::new();
    exposition::write(format, View::collect(sources), |chunk| {
        text.push_str(&chunk);
        Ok(())
    })
    .unwrap();
    text
}

fn filled() -> Sources {
    let sources = sources();
    let mut aggregate = sources.shared.aggregate();
    let opened = Connection {
        event: ConnectionEvent::Opened,
        errno: 0,
        connect_ns: 75_000,
        duration_ns: 0,
        totals: Counters::default(),
    };
    let deltas =
        Counters { bytes_sent: 10, bytes_received: 20, packets_sent: 1, ..Counters::default() };
    for subject in [
        Subject::Connection(opened),
        Subject::Flow(Flow { deltas, interval_ns: 1, age_ns: 0 }),
        Subject::Drop(Drop { reason: "NO_SOCKET".into(), packets: 4, bytes: 9, interval_ns: 1 }),
    ] {
        aggregate.add(&record(subject), Instant::now());
    }
    drop(aggregate);
    sources
}

const THERE: &str = r#"source_namespace="shop",source_workload="we\"b",destination_namespace="shop",destination_workload="cart",destination_service="cart""#;
const BACK: &str = r#"source_namespace="shop",source_workload="cart",destination_namespace="shop",destination_workload="we\"b""#;

#[test]
fn every_metric_of_the_contract_as_documented() {
    let text = text(Format::Classic, &filled());
    let tail = r#"protocol="TCP",direction="egress""#;
    for line in [
        "# TYPE amphipod_connections_total counter".into(),
        format!(r#"amphipod_connections_total{{{THERE},{tail},outcome="established"}} 1"#),
        "# TYPE amphipod_connect_seconds histogram".into(),
        format!(r#"amphipod_connect_seconds_bucket{{le="0.00005",{THERE},{tail}}} 0"#),
        format!(r#"amphipod_connect_seconds_bucket{{le="0.0001",{THERE},{tail}}} 1"#),
        format!(r#"amphipod_connect_seconds_bucket{{le="+Inf",{THERE},{tail}}} 1"#),
        format!("amphipod_connect_seconds_sum{{{THERE},{tail}}} 0.000075"),
        "# TYPE amphipod_active_connections gauge".into(),
        format!("amphipod_active_connections{{{THERE},{tail}}} 1"),
        "# TYPE amphipod_flow_bytes_total counter".into(),
        format!("amphipod_flow_bytes_total{{{THERE},{tail}}} 10"),
        format!(r#"amphipod_flow_bytes_total{{{BACK},protocol="TCP",direction="ingress"}} 20"#),
        format!("amphipod_flow_packets_total{{{THERE},{tail}}} 1"),
        format!("amphipod_tcp_retransmits_total{{{THERE},{tail}}} 0"),
        "# TYPE amphipod_tcp_rtt_seconds histogram".into(),
        format!(r#"amphipod_drops_total{{{THERE},reason="NO_SOCKET",{tail}}} 4"#),
        r#"amphipod_probe_state{probe="drop",program="kfree_skb",state="degraded",reason="no reasons before 5.17"} 1"#
            .into(),
        r#"amphipod_lost_total{probe="tcp",stage="kernel",cause="ring_full"} 3"#.into(),
        r#"amphipod_lost_total{probe="records",stage="stream",cause="slow_reader"} 0"#.into(),
        "# TYPE amphipod_unattributed_total counter".into(),
        "amphipod_out_of_scope_total 0".into(),
        r#"amphipod_map_entries{probe="tcp",map="sockets"} 1"#.into(),
        r#"amphipod_map_max_entries{probe="tcp",map="sockets"} 4"#.into(),
        r#"amphipod_map_pressure_ratio{probe="tcp",map="sockets"} 0.25"#.into(),
        r#"amphipod_program_recursion_misses_total{probe="drop",program="kfree_skb"} 2"#.into(),
        "# TYPE amphipod_program_run_seconds_total counter".into(),
        "# TYPE amphipod_program_runs_total counter".into(),
        r#"amphipod_series{metric="amphipod_flow_bytes_total"} 2"#.into(),
        r#"amphipod_series_overflow_total{metric="amphipod_drops_total"} 0"#.into(),
        r#"amphipod_queue_depth{queue="pipeline"} 0"#.into(),
        "amphipod_records_total 0".into(),
        "amphipod_ready 1".into(),
    ] {
        assert!(text.lines().any(|it| it == line), "no line {line}\nin\n{text}");
    }
    // What nobody measured is not there.
    assert!(!text.contains("amphipod_tcp_rtt_seconds_count"), "{text}");
    assert!(!text.contains("amphipod_program_runs_total{"), "{text}");
}

#[test]
fn both_forms_have_the_same_samples() {
    let sources = filled();
    let samples = |text: &str| -> Vec<String> {
        let stable = |line: &&str| {
            !["process_", "uptime", "stale_seconds"].iter().any(|it| line.contains(it))
                && !line.starts_with('#')
        };
        text.lines().filter(stable).map(str::to_owned).collect()
    };
    let (open, classic) = (text(Format::OpenMetrics, &sources), text(Format::Classic, &sources));
    assert_eq!(samples(&open), samples(&classic));
    assert!(
        open.ends_with("# EOF\n") && open.contains("# TYPE amphipod_flow_bytes counter\n"),
        "{open}"
    );
    assert!(!classic.contains("# EOF"), "{classic}");
    // Each header once, just before its samples.
    let headers =
        |kind: &str, text: &str| text.lines().filter(|line| line.starts_with(kind)).count();
    for text in [&open, &classic] {
        assert_eq!(headers("# HELP", text), headers("# TYPE", text));
    }
    for line in classic.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        let header = |name: &str| classic.contains(&format!("# TYPE {name} "));
        assert!(header(name) || header(family), "no header for {line}");
    }
}

#[test]
fn the_reference_names_every_metric_once() {
    let reference = metrics_reference();
    let text = text(Format::Classic, &filled());
    assert_eq!(
        reference,
        text.lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    );
    for metric in Metric::ALL {
        assert_eq!(
            reference.matches(&format!("# TYPE {} ", metric.name())).count(),
            1,
            "{reference}"
        );
    }
}

#[test]
fn the_form_is_negotiated() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    assert_eq!(Format::negotiate([prometheus].into_iter()), Format::OpenMetrics);
    for accept in ["*/*", "text/plain", "application/json", ""] {
        assert_eq!(Format::negotiate([accept].into_iter()), Format::Classic, "{accept}");
    }
    assert_eq!(Format::negotiate([].into_iter()), Format::Classic);
}
