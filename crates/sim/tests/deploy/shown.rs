//! Alerts and dashboards ask for what is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// Of others: kube-state-metrics.
const OTHERS: [&str; 2] =
    ["kube_daemonset_status_desired_number_scheduled", "kube_daemonset_status_number_ready"];
const SUFFIXES: [&str; 3] = ["_bucket", "_count", "_sum"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// The metrics that agent and hub have.
fn known() -> BTreeSet<String> {
    let text = agent::export::metrics_reference() + &hub::metrics_reference();
    let names = text.lines().filter_map(|it| it.strip_prefix("# TYPE ")?.split(' ').next());
    names.map(str::to_owned).chain(OTHERS.map(str::to_owned)).collect()
}

/// Words of an expression that look like metrics of ours.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    let begins = ["amphipod_", "process_", "dns_", "kube_", "kepler_"];
    words.filter(move |it| begins.iter().any(|begin| it.starts_with(begin)))
}

fn unknown(place: &str, expression: &str, known: &BTreeSet<String>) -> Vec<String> {
    let is = |name: &str| {
        known.contains(name)
            || SUFFIXES
                .iter()
                .any(|it| name.strip_suffix(it).is_some_and(|name| known.contains(name)))
    };
    metrics(expression).filter(|name| !is(name)).map(|name| format!("{place}: {name}")).collect()
}

#[test]
fn alerts_and_dashboards_ask_for_metrics_that_exist() {
    let known = known();
    assert!(unknown("x", "rate(amphipod_nothing_total[5m])", &known).len() == 1);
    let mut found = Vec::new();
    let alerts = fs::read_to_string(deploy().join("components/prometheus/alerts.yaml")).unwrap();
    found.extend(unknown("alerts.yaml", &alerts, &known));
    let mut ids = BTreeSet::new();
    for file in fs::read_dir(deploy().join("grafana")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let board: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert!(
            ids.insert(board["uid"].as_str().unwrap().to_owned()),
            "{name}: its uid is another's"
        );
        let panels = board["panels"].as_array().unwrap();
        assert!(!panels.is_empty(), "{name}: no panels");
        for panel in panels {
            let place = format!("{name}: {}", panel["title"]);
            for target in panel["targets"].as_array().unwrap() {
                found.extend(unknown(&place, target["expr"].as_str().unwrap(), &known));
            }
        }
        for variable in board["templating"]["list"].as_array().unwrap() {
            found.extend(unknown(&name, &variable["query"].to_string(), &known));
        }
    }
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// With Grafana's variables replaced as Grafana does, each is an expression that Prometheus takes.
#[test]
fn dashboards_expressions_are_promql() {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("NOT RUN: no promtool here (Debian: prometheus); expressions are not checked");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(deploy().join("grafana")).unwrap() {
        let path = file.unwrap().path();
        let board: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let panels = board["panels"].as_array().unwrap().iter();
        let targets = panels.flat_map(|it| it["targets"].as_array().into_iter().flatten());
        let interval = ["$__rate_interval", "$__interval", "$__range"];
        let expressions = targets.map(|it| {
            let text = it["expr"].as_str().unwrap().to_owned();
            interval.iter().fold(text, |text, it| text.replace(it, "5m"))
        });
        // Different names: promtool warns of the same rule twice.
        let rules: Vec<Value> = expressions
            .enumerate()
            .map(|(n, expr)| json!({ "record": format!("panel:{n}"), "expr": expr }))
            .collect();
        assert!(!rules.is_empty(), "{}", path.display());
        let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
        let written = folder.path().join("rules.json");
        fs::write(&written, rules.to_string()).unwrap();
        let checked = Command::new("promtool").args(["check", "rules"]).arg(&written).output();
        let checked = checked.unwrap();
        let error = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{}: {error}", path.display());
    }
}

#[test]
fn every_alert_has_a_test_and_says_what_to_do() {
    let read = |path: &str| fs::read_to_string(deploy().join(path)).unwrap();
    let alerts = read("components/prometheus/alerts.yaml");
    let (tests, operations) =
        (read("components/prometheus/alerts.test.yaml"), read("../docs/operations.md"));
    let names = alerts.lines().filter_map(|it| it.trim().strip_prefix("- alert: "));
    for name in names {
        assert_eq!(
            tests.matches(&format!("alertname: {name}")).count() / 2,
            1,
            "{name}: silent once and firing once"
        );
        assert!(
            operations.contains(&format!("| `{name}` |")),
            "{name} is not in docs/operations.md"
        );
    }
}
