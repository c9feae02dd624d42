//! The simulated API server as a process of its own.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

#[test]
fn it_serves_obeys_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let mut child = Command::new(env!("CARGO_BIN_EXE_amphipod"))
        .args(["sim-apiserver", "--nodes", "2", "--pods", "20", "--churn", "50"])
        .arg("--kubeconfig-out")
        .arg(&kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    assert!(first.starts_with("https://127.0.0.1:") && first.contains("20 pods"), "{first}");
    let url = first.split(' ').next().unwrap();
    assert!(std::fs::read_to_string(&kubeconfig).unwrap().contains(url));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"compact\nnonsense\nrequests\n").unwrap();
    assert_eq!(lines.next().unwrap(), "[]", "nobody has asked for anything");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && error.contains("nonsense"), "{error}");
}
