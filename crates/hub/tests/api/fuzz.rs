//! Schemathesis asks the hub whatever its own description allows, and what it does not.

use std::process::Command;

use crate::fixture::{hub, tell};

/// What fits each parameter need not fit the others: a `since` that is not before `until`.
const LEFT_OUT: &str = "positive_data_acceptance";

#[test]
#[ignore = "takes most of a minute, and Schemathesis from PyPI: ./x test runs it"]
fn no_question_is_answered_otherwise_than_described() {
    let hub = hub();
    let _told = tell(&hub);
    // Where `./x test` has installed it.
    let program = std::env::var("SCHEMATHESIS").unwrap_or("schemathesis".to_owned());
    let address = hub.app.address().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(&program);
    command
        .current_dir(folder.path())
        .arg("run")
        .arg(format!("http://{address}/api/v1/openapi.json"))
        .args(["--checks=all", "--exclude-checks", LEFT_OUT])
        .args(["--max-examples=40", "--seed=1", "--request-timeout=10", "--continue-on-failure"]);
    let output = command.output().unwrap_or_else(|error| {
        panic!("{program}: {error}; pip install schemathesis, or run ./x test, which does")
    });
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    hub.app.shutdown().unwrap();
}
