//! With the real client, where there is one.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use sim::apiserver::{Population, Resource, Shape};

use super::{pod, start};

#[test]
fn kubectl_gets_and_watches() {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        println!("NOT RUN: there is no kubectl here (Debian: kubernetes-client)");
        return;
    }
    let server = start();
    Population::new(Shape { pods: 700, ..Shape::default() }).create(&server).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let command = |arguments: &[&str]| {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&kubeconfig).arg("--cache-dir").arg(directory.path());
        command.args(arguments);
        command
    };
    let output = |arguments: &[&str]| {
        let output = command(arguments).output().unwrap();
        let (text, error) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(text).unwrap()
    };
    let pods = output(&["get", "pods", "-A", "-o", "wide"]);
    assert!(pods.starts_with("NAMESPACE"), "{pods}");
    assert_eq!(pods.lines().count(), 701, "all of them, by pages of 500");
    assert!(pods.contains("2/2") && pods.contains("Running") && pods.contains("node-0"));
    for resource in Resource::ALL {
        assert!(output(&["get", resource.name(), "-A"]).lines().count() > 1, "{}", resource.name());
    }
    let name = &server.objects(Resource::Pods)[0];
    let yaml = output(&["get", "pod", &name.name, "-n", &name.namespace, "-o", "yaml"]);
    assert!(yaml.contains(&*name.uid), "{yaml}");

    let mut watch = command(&["get", "pods", "-A", "-w"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.by_ref().take(701).count(), 701);
    server.apply(&pod("shop", "newcomer", "x")).unwrap();
    let line = lines.find(|line| line.contains("newcomer"));
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(line.unwrap().contains("1/1"));
}
