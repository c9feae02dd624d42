//! Schemathesis asks the hub whatever its own description allows, and what it does not.

use std::process::Command;

use crate::fixture::{Hub, hub, tell};

/// How what cannot be is refused.
const REFUSED: &str = r#"
[checks.negative_data_rejection]
expected-statuses = ["400", "403", "404", "431"]
# What is followed has no end.
[parameters]
"query.follow" = "0"
"#;
/// Of values that fit each other, as no description can say: so that most questions have an answer.
const FITTING: &str = r#"
[parameters]
"query.since" = "-10m"
"query.until" = "now"
"query.compare" = "1d"
"#;

#[test]
#[ignore = "takes most of a minute, and Schemathesis from PyPI: ./x test runs it"]
fn no_question_is_answered_otherwise_than_described() {
    let hub = hub();
    let _told = tell(&hub);
    // What fits each parameter need not fit the others: a `since` that is not before `until`.
    fuzz(&hub, REFUSED, &["--exclude-checks=positive_data_acceptance", "--max-examples=30"]);
    // Of filters the description says that they are texts; what they may be depends on the filter.
    let fitting = ["--mode=positive", "--max-examples=20", "--exclude-path=/api/v1/records"];
    fuzz(&hub, FITTING, &fitting);
    hub.app.shutdown().unwrap();
}

fn fuzz(hub: &Hub, settings: &str, options: &[&str]) {
    // Where `./x test` has installed it.
    let program = std::env::var("SCHEMATHESIS").unwrap_or("schemathesis".to_owned());
    let address = hub.app.address().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), settings).unwrap();
    let mut command = Command::new(&program);
    command
        .current_dir(folder.path())
        .arg("run")
        .arg(format!("http://{address}/api/v1/openapi.json"))
        .args(["--checks=all", "--seed=1", "--request-timeout=10", "--continue-on-failure"])
        .args(options);
    let output = command.output().unwrap_or_else(|error| {
        panic!("{program}: {error}; pip install schemathesis, or run ./x test, which does")
    });
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}
