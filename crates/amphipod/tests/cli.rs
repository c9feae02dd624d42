//! The built binary: exit codes, and one line on stderr for everything that is wrong.

// Functions that tests share are no tests for clippy.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn amphipod(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amphipod"));
    command
        .args(args)
        .env_remove("AMPHIPOD_LOG")
        .env_remove("NODE_NAME")
        .env_remove("AMPHIPOD_HUB")
        .env_remove("AMPHIPOD_TOKEN")
        .stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    ended(amphipod(args).output().unwrap())
}

fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn check_error(args: &[&str], code: i32, expected: &str) {
    let (ended, out, error) = run(args);
    assert_eq!(
        (ended, out.as_str(), error.as_str()),
        (code, "", format!("amphipod: {expected}\n").as_str()),
        "{args:?}"
    );
}

#[test]
fn wrong_command_lines_end_with_2() {
    check_error(&[], 2, "no command given; see amphipod --help");
    check_error(
        &["obserbe"],
        2,
        "unrecognized subcommand 'obserbe'; a similar subcommand exists: 'observe'; see amphipod --help",
    );
    check_error(
        &["top", "--interval", "0"],
        2,
        "invalid value '0' for '--interval <SECONDS>': 0 is not in 1..=300",
    );
    for (args, expected) in [
        (["top", "--interval", "-1"], "'--interval <SECONDS>': -1 is not in 1..=300"),
        (["observe", "--last", "-3"], "'--last <N>': -3 is not in 0..=4294967295"),
        (["demo", "--seconds", "-1"], "'--seconds <N>': -1 is not in 1..=31622400"),
        (["sim-apiserver", "--pods", "2000000"], "'--pods <PODS>': 2000000 is not in 0..=1000000"),
        (["sim-apiserver", "--nodes", "-1"], "'--nodes <NODES>': -1 is not in 1..=16384"),
    ] {
        check_error(&args, 2, &format!("invalid value '{}' for {expected}", args[2]));
    }
    check_error(
        &["observe", "--port", "http"],
        2,
        "filter port: \"http\" is not allowed; give a port from 1 to 65535",
    );
    check_error(
        &["top", "--from-ip", "10.0.0.0/99"],
        2,
        "filter from_ip: \"10.0.0.0/99\" is not allowed; give an address or a network: 10.1.2.3, 10.0.0.0/8, fd00::/8",
    );
    check_error(
        &["observe", "--pod", "x", "--not"],
        2,
        "filter not: nothing follows it; put it before the filter that it inverts",
    );
    check_error(
        &["--log", "loud", "status"],
        2,
        "--log \"loud\": not a level; give error, warn, info, debug, trace or off",
    );
    check_error(
        &["agent", "--listen", "localhost"],
        2,
        "--listen \"localhost\": expected an IP address and port, such as \"127.0.0.1:7172\", or \"off\"",
    );
}

#[test]
fn failures_end_with_1() {
    for command in ["observe", "status", "top"] {
        check_error(
            &[command, "--socket", "/nonexistent/agent.sock"],
            1,
            "no agent at /nonexistent/agent.sock; start one: amphipod agent, or name its socket: --socket, or a hub: --hub",
        );
    }
    check_error(
        &["agent", "--config", "/nonexistent/agent.toml"],
        1,
        "configuration /nonexistent/agent.toml: No such file or directory (os error 2); give a readable TOML file (--config), or none for the defaults",
    );
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("config");
    let other = r#"{"apiVersion":"v1","kind":"Config","current-context":"a",
        "contexts":[{"name":"a","context":{"cluster":"a","user":"a"}}],
        "clusters":[{"name":"a","cluster":{"server":"https://127.0.0.1:1"}}],"users":[{"name":"a","user":{}}]}"#;
    std::fs::write(&kubeconfig, other).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    // A hub that waited would not end.
    for (args, expected) in [
        (["--kubeconfig", "/nonexistent/config"], "kubeconfig /nonexistent/config: "),
        (["--context", "nope"], &*format!("kubeconfig {kubeconfig}: ")),
    ] {
        let hub = ["hub", "--listen", "off", args[0], args[1]];
        let output = amphipod(&hub).env("KUBECONFIG", kubeconfig).output().unwrap();
        let (code, _, error) = ended(output);
        let last = error.lines().last().unwrap_or_default();
        assert_eq!(code, 1, "{error}");
        assert!(last.starts_with(&format!("amphipod: {expected}")), "{error}");
        assert!(last.ends_with("one of its contexts (--context)"), "{error}");
    }
}

#[test]
fn help_version_completions_and_man_end_with_0() {
    for command in
        ["agent", "observe", "top", "status", "version", "completions", "man", "sim-apiserver"]
    {
        let (code, out, error) = run(&[command, "--help"]);
        assert_eq!((code, error.as_str()), (0, ""), "{command}");
        assert!(out.contains("Usage: amphipod"), "{command}: {out}");
    }
    let (code, out, _) = run(&["version"]);
    assert_eq!((code, out.split(' ').next()), (0, Some("amphipod")));
    let (code, out, _) = run(&["completions", "bash"]);
    assert!(code == 0 && out.contains("--from-pod"), "{out}");
    let dir = tempfile::tempdir().unwrap();
    let (code, ..) = run(&["man", dir.path().to_str().unwrap()]);
    assert_eq!(code, 0);
    let page = std::fs::read_to_string(dir.path().join("amphipod-observe.1")).unwrap();
    assert!(page.contains("\\-\\-from\\-pod"), "{page}");
    check_error(&["man", "/dev/null/x"], 1, "directory /dev/null/x: Not a directory (os error 20)");
}

/// Answers one request with a whole `body`.
fn serve(body: &str) -> (TempDir, PathBuf, std::thread::JoinHandle<String>) {
    answer(format!("content-length: {}\r\n\r\n{body}", body.len()))
}

/// Answers one request with the first part of a body that does not end.
fn stream(part: &str) -> (TempDir, PathBuf, std::thread::JoinHandle<String>) {
    answer(format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{part}\r\n", part.len()))
}

/// Answers one request with `answer`, keeps the stream open until the client goes, and returns the request line.
fn answer(answer: String) -> (TempDir, PathBuf, std::thread::JoinHandle<String>) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut request = String::new();
        reader.read_line(&mut request).unwrap();
        write!(&stream, "HTTP/1.1 200 OK\r\n{answer}").unwrap();
        let _ = reader.read_to_end(&mut Vec::new());
        request.trim_end().to_owned()
    });
    (dir, socket, server)
}

const RECORD: &str = "{\"time\":\"2025-11-20T10:24:01.123456789Z\",\"kind\":\"connection\",\"event\":\"failed\",\"protocol\":\"TCP\",\
\"source\":{\"ip\":\"10.0.0.1\",\"port\":40000},\"destination\":{\"ip\":\"10.0.0.2\",\"port\":81},\
\"error\":\"ECONNREFUSED\"}\n{\"lost\":3}\n";

#[test]
fn observe_prints_what_the_agent_has_and_ends() {
    let (_dir, socket, server) = serve(RECORD);
    let output = amphipod(&["observe", "--pod", "shop/cart", "--not", "--port", "22", "--socket"])
        .arg(socket)
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let (code, out, error) = ended(output);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(
        out,
        "2025-11-20 10:24:01.123  10.0.0.1:40000 -> 10.0.0.2:81  TCP failed  ECONNREFUSED (connection refused: nobody listens)\n\
         ... 3 records lost: reader too slow\n"
    );
    assert_eq!(
        server.join().unwrap(),
        "GET /api/v1/records?pod=shop/cart&not=1&port=22&last=20 HTTP/1.1"
    );
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output =
        amphipod(&["completions", "zsh"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = amphipod(&["--help"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn following_an_agent_that_stops_is_a_failure() {
    let (_dir, socket, _server) = serve(RECORD);
    let path = socket.to_str().unwrap();
    let (code, out, error) = run(&["observe", "-f", "-o", "json", "--socket", path]);
    assert_eq!(code, 1);
    assert!(out.ends_with("{\"lost\":3}\n"), "{out}");
    assert_eq!(
        error,
        format!(
            "amphipod: agent at {path}: ended the stream: it is stopping; start again when it runs\n"
        )
    );
}

#[test]
fn a_failed_program_makes_status_fail() {
    let (_dir, socket, _server) = serve(
        "{\"programs\":[{\"probe\":\"tcp\",\"program\":\"accept\",\"state\":\"failed\",\"reason\":\"verifier\",\
         \"runs\":0,\"run_time_ns\":0,\"recursion_misses\":0}],\"maps\":[]}",
    );
    let (code, out, error) = run(&["status", "--socket", socket.to_str().unwrap()]);
    assert_eq!(code, 1, "{error}");
    assert!(out.contains("tcp    accept   failed  -     -       0       verifier"), "{out}");
    assert_eq!(
        error,
        "amphipod: failed programs: tcp/accept; the reasons are in the status and in the agent's log\n"
    );
}

#[test]
fn top_prints_one_snapshot_without_a_terminal() {
    let (_dir, socket, server) = stream(
        "{\"time\":\"9999-01-01T00:00:00.000000000Z\",\"kind\":\"flow\",\"direction\":\"egress\",\"source\":{\"pod\":\"a\"},\"destination\":{\"pod\":\"b\"},\
         \"bytes_sent\":2000,\"bytes_received\":0}\n",
    );
    let (code, out, error) =
        run(&["top", "-o", "json", "--interval", "1", "--socket", socket.to_str().unwrap()]);
    assert_eq!((code, error.as_str()), (0, ""));
    let pair = &serde_json::from_str::<serde_json::Value>(&out).unwrap()["pairs"][0];
    assert_eq!((pair["source"].as_str(), pair["destination"].as_str()), (Some("a"), Some("b")));
    assert_eq!(pair["bytes_per_second"], 2000.0);
    assert_eq!(server.join().unwrap(), "GET /api/v1/records?follow=1&last=2000 HTTP/1.1");
}
