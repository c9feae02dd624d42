use std::time::Duration;

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let error = Config::parse(text, Some("node-1")).expect_err(text).to_string();
    assert_eq!(error, format!("configuration: {expected}"), "for {text:?}");
    assert!(!error.contains('\n'), "{error:?}");
}

#[test]
fn what_is_wrong_is_named() {
    // Unknown keys, with the nearest valid one.
    check(
        "[flow]\nintervall = \"5s\"",
        "unknown key `flow.intervall`; did you mean `flow.interval`?",
    );
    check("[metric]\nmax_series = 5", "unknown key `metric`; did you mean `metrics`?");
    check(
        "[agent]\nmax_sockets = 5",
        "unknown key `agent.max_sockets`; did you mean `tcp.max_sockets`?",
    );
    check("listen = \"off\"", "unknown key `listen`; did you mean `agent.listen`?");
    check("[agent]\nzzzz = 1", "unknown key `agent.zzzz`");
    // Types.
    check("[flow]\ninterval = 5", "flow.interval = 5: expected text in quotes, such as \"5s\"");
    check("[tcp]\nenabled = \"yes\"", "tcp.enabled = \"yes\": expected true or false");
    check(
        "[tcp]\nmax_sockets = -1",
        "tcp.max_sockets = -1: expected a whole number, such as 262144",
    );
    check("tcp = 7", "tcp = 7: expected a section with keys of its own");
    // Values.
    let duration = "expected a duration from 100ms to 1h, such as \"5s\" or \"250ms\"";
    check(
        "[flow]\ninterval = \"5 parsecs\"",
        &format!("flow.interval = \"5 parsecs\": {duration}"),
    );
    check("[flow]\ninterval = \"\"", &format!("flow.interval = \"\": {duration}"));
    check(
        "[flow]\ninterval = \"99999999999h\"",
        &format!("flow.interval = \"99999999999h\": {duration}"),
    );
    check("[drop]\ninterval = \"10ms\"", &format!("drop.interval = \"10ms\": {duration}"));
    let size = "expected a power of two from 64KiB to 1GiB, such as \"8MiB\"";
    check("[tcp]\nring_bytes = \"3MiB\"", &format!("tcp.ring_bytes = \"3MiB\": {size}"));
    check("[tcp]\nring_bytes = \"8MB\"", &format!("tcp.ring_bytes = \"8MB\": {size}"));
    check(
        "[tcp]\nmax_sockets = 3",
        "tcp.max_sockets = 3: expected a whole number from 16 to 16777216",
    );
    check(
        "[records]\nbacklog = 5",
        "records.backlog = 5: expected a whole number from 8192 to 4194304",
    );
    check(
        "[metrics]\nmax_series = 0",
        "metrics.max_series = 0: expected a whole number from 1 to 1048576",
    );
    check(
        "[agent]\nmode = \"k8s\"",
        "agent.mode = \"k8s\": expected \"kubernetes\" or \"standalone\"",
    );
    check(
        "[agent]\nlisten = \"localhost\"",
        "agent.listen = \"localhost\": expected an IP address and port, such as \"127.0.0.1:7172\", or \"off\"",
    );
    check(
        "[agent]\nsocket = \"run/x\"",
        "agent.socket = \"run/x\": expected an absolute path of at most 107 bytes",
    );
    for wrong in ["kubepods.slice", "", "/a/../b", "/a//b", "/./a"] {
        check(
            &format!("[agent]\ncgroup = {wrong:?}"),
            &format!(
                "agent.cgroup = {wrong:?}: expected the path of a cgroup as /proc/PID/cgroup has it, such as \"/\" or \
                 \"/kubepods.slice\""
            ),
        );
    }
    check(
        "[agent]\nnode = \"a\\nb\"",
        "agent.node = \"a\\nb\": expected at most 253 letters, digits, `-`, `_` and `.`",
    );
    // Syntax.
    check("[tcp]\nenabled = ", "line 2: string values must be quoted, expected literal string");
}

#[test]
fn every_key_can_be_left_out() {
    let config = Config::parse("", Some("node-1")).unwrap();
    let defaults = probes::Settings::default();
    assert_eq!(format!("{:?}", config.probes), format!("{defaults:?}"));
    assert_eq!(
        (&*config.node, config.mode, config.listen),
        ("node-1", Mode::Kubernetes, Some(Config::LISTEN))
    );
    assert_eq!(config.socket, Path::new(Config::SOCKET));
    assert!(!config.metrics.pod_labels);
}

#[test]
fn the_reference_is_a_valid_file_that_changes_nothing() {
    let text = Config::reference();
    assert!(
        text.contains("# How often counters are read and flows reported.\ninterval = \"5s\"\n"),
        "{text}"
    );
    for section in [
        "agent", "tcp", "flow", "dns", "drop", "cgroup", "metadata", "metrics", "records",
        "pipeline",
    ] {
        assert!(text.contains(&format!("\n[{section}]\n")), "{text}");
    }
    let reference = Config::parse(&text, Some("n")).unwrap();
    assert_eq!(format!("{reference:?}"), format!("{:?}", Config::parse("", Some("n")).unwrap()));
}

#[test]
fn what_is_given_counts() {
    let text = "
        [agent]
        node = \"from-file\"
        mode = \"standalone\"
        cgroup = \"/amphipod-0/\"
        listen = \"off\"
        run_time = true
        [tcp]
        ring_bytes = \"64KiB\"
        [flow]
        interval = \"250ms\"
        max_peers = 32
        [drop]
        enabled = false
    ";
    let config = Config::parse(text, Some("from-environment")).unwrap();
    assert_eq!((&*config.node, config.mode, config.listen), ("from-file", Mode::Standalone, None));
    assert_eq!(config.cgroup, "/amphipod-0");
    assert!(config.probes.run_time && config.probes.tcp.enabled && !config.probes.drop.enabled);
    assert_eq!(config.probes.tcp.ring_bytes, 65_536);
    assert_eq!(
        (config.probes.flow.interval, config.probes.flow.max_peers),
        (Duration::from_millis(250), 32)
    );
}

#[test]
fn metadata_from_a_hub() {
    let with = |keys: &str| format!("[metadata]\nsource = \"hub\"\n{keys}");
    let text = with(
        "hubs = [\"https://10.0.0.1\", \"http://localhost:80\", \"https://[fd00::1]:9\"]\nca = \"/ca.pem\"\n\
         certificate = \"/a.pem\"\nkey = \"/a.key\"",
    );
    let metadata = Config::parse(&text, Some("n")).unwrap().metadata;
    let hubs: Vec<String> = metadata.hubs.iter().map(ToString::to_string).collect();
    assert_eq!(hubs, ["https://10.0.0.1:443", "http://localhost:80", "https://[fd00::1]:9"]);
    check(
        "[metadata]\nsource = \"api\"",
        "metadata.source = \"api\": expected \"hub\", \"kube\", \"kubelet\" or \"none\"",
    );
    check(
        &with(""),
        "metadata.ca = \"\": expected the PEM file of the authority that vouches for the hub",
    );
    check(
        "[metadata]\nsource = \"kubelet\"",
        "metadata.ca = \"\": expected the PEM file of the authority that vouches for the kubelet",
    );
    check(
        &with("hubs = [\"http://hub:1\"]"),
        "metadata.hubs = \"http://hub:1\": expected https://, or metadata.insecure = true to let names and tokens travel \
         in the clear",
    );
    assert!(Config::parse(&with("hubs = [\"http://hub:1\"]\ninsecure = true"), None).is_ok());
    for wrong in
        ["hub", "ftp://hub", "https://", "https://hub:0", "https://hub:99999", "https://a b"]
    {
        check(
            &with(&format!("hubs = [{wrong:?}]")),
            &format!(
                "metadata.hubs = {wrong:?}: expected a URL such as \"https://amphipod-hub:7173\""
            ),
        );
    }
    check(&with("hubs = [1]"), "invalid type: integer `1`, expected a string");
    check(
        "[metadata]\nhubs = \"https://hub\"",
        "metadata.hubs = \"https://hub\": expected a list, such as [\"https://amphipod-hub.amphipod.svc:7173\"]",
    );
    check(
        "[metadata]\nkey = \"/k\"",
        "metadata.certificate = \"\": expected the key's certificate",
    );
    check(
        "[metadata]\nca = \"ca.pem\"",
        "metadata.ca = \"ca.pem\": expected an absolute path, or nothing",
    );
    check("[metadata]\nhub = []", "unknown key `metadata.hub`; did you mean `metadata.hubs`?");
}

#[test]
fn the_environment_names_itself_in_errors() {
    let error = Config::parse("", Some("a b")).unwrap_err().to_string();
    assert!(error.contains("NODE_NAME = \"a b\""), "{error}");
}

#[test]
fn without_a_name_it_is_the_hosts() {
    let host = rustix::system::uname();
    assert_eq!(*Config::parse("", None).unwrap().node, *host.nodename().to_string_lossy());
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Some(Path::new("/nonexistent/agent.toml"))).unwrap_err().to_string();
    assert!(error.starts_with("configuration /nonexistent/agent.toml: No such file"), "{error}");
}
