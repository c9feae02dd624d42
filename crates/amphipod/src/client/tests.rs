use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use model::status::Lost;

use super::*;

/// Serves one connection: reads the request's head, writes `parts` one after the other, closes.
/// Returns the request line.
fn serve(
    listener: UnixListener,
    parts: &'static [&'static str],
) -> tokio::task::JoinHandle<String> {
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        for part in parts {
            stream.write_all(part.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
        }
        String::from_utf8(request).unwrap().lines().next().unwrap().to_owned()
    })
}

fn agent() -> (TempDir, UnixListener, Client) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    (dir, listener, Client::of_agent(socket))
}

/// The message with the socket's path, which differs every time, as SOCKET.
fn message(error: &anyhow::Error, client: &Client) -> String {
    format!("{error:#}").replace(&socket(client).display().to_string(), "SOCKET")
}

fn socket(client: &Client) -> &Path {
    let Peer::Agent(socket) = &client.peer else { panic!("a hub") };
    socket
}

const STREAM: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn lines_are_put_together_from_frames() {
    let (_dir, listener, client) = agent();
    let server = serve(
        listener,
        &[
            STREAM,
            "4\r\n{\"a\"\r\n",
            "9\r\n:1}\n{\"b\":\r\n",
            "5\r\n2}\n\n{\r\n",
            "2\r\n}\n\r\n",
            "0\r\n\r\n",
        ],
    );
    let query = [("pod", "shop/cart"), ("not", "1"), ("label", "a=b&c d"), ("last", "20")];
    let mut records = client.records(query.into_iter()).await.unwrap();
    let mut lines = Vec::new();
    while let Some(line) = records.next().await.unwrap() {
        lines.push(line);
    }
    assert_eq!(lines, ["{\"a\":1}", "{\"b\":2}", "", "{}"]);
    assert_eq!(
        server.await.unwrap(),
        "GET /api/v1/records?pod=shop/cart&not=1&label=a%3Db%26c%20d&last=20 HTTP/1.1"
    );
}

#[tokio::test]
async fn an_agent_that_dies_in_the_middle_is_named() {
    let (_dir, listener, client) = agent();
    let _server = serve(listener, &[STREAM, "8\r\n{\"a\":1}\n\r\n"]);
    let mut records = client.records(std::iter::empty()).await.unwrap();
    assert_eq!(records.next().await.unwrap().as_deref(), Some("{\"a\":1}"));
    let error = records.next().await.unwrap_err();
    let said = message(&error, &client);
    assert!(said.starts_with("agent at SOCKET: gone in the middle of the stream"), "{said}");
}

#[tokio::test]
async fn a_line_without_end_is_refused() {
    let (_dir, listener, client) = agent();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let chunk = [b'x'; 64 << 10];
        // Until the client hangs up.
        while stream.write_all(&chunk).await.is_ok() {}
    });
    let mut records = client.records(std::iter::empty()).await.unwrap();
    let error = records.next().await.unwrap_err();
    assert!(error.to_string().contains("a record of more than 1048576 bytes"), "{error}");
}

#[track_caller]
fn check_error(error: &anyhow::Error, client: &Client, expected: &str) {
    assert_eq!(message(error, client), expected);
}

#[tokio::test]
async fn refusals_are_told_in_the_agents_words() {
    let (_dir, listener, client) = agent();
    const PROBLEM: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n\
                   {\"title\":\"Bad Request\",\"detail\":\"filter port: \\\"x\\\" ...\"}";
    serve(listener, &[PROBLEM]);
    let error = client.status(Duration::ZERO).await.unwrap_err();
    check_error(&error, &client, "agent at SOCKET: filter port: \"x\" ...");

    let (_dir, listener, client) = agent();
    serve(listener, &["HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"]);
    let error = client.status(Duration::ZERO).await.unwrap_err();
    check_error(
        &error,
        &client,
        "agent at SOCKET: refused with 404 Not Found; use an amphipod of the agent's version",
    );
}

#[tokio::test]
async fn a_status_is_read_and_a_wrong_one_is_named() {
    let (_dir, listener, client) = agent();
    serve(
        listener,
        &["HTTP/1.1 200 OK\r\ncontent-length: 28\r\n\r\n", "{\"node\":\"node-1\",\"new\":true}"],
    );
    assert_eq!(client.status(Duration::ZERO).await.unwrap().node, "node-1");

    let (_dir, listener, client) = agent();
    serve(listener, &["HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n7"]);
    let said = message(&client.status(Duration::ZERO).await.unwrap_err(), &client);
    assert!(
        said.starts_with("agent at SOCKET: its status cannot be read (")
            && said.ends_with("is this the socket of an agent, and of this version?"),
        "{said}"
    );
}

#[tokio::test]
async fn no_agent() {
    let (dir, listener, client) = agent();
    // Left over by an agent that was killed.
    drop(listener);
    let expected = "no agent at SOCKET; start one: amphipod agent, or name its socket: --socket, or a hub: --hub";
    check_error(&client.status(Duration::ZERO).await.unwrap_err(), &client, expected);
    std::fs::remove_file(socket(&client)).unwrap();
    check_error(&client.status(Duration::ZERO).await.unwrap_err(), &client, expected);
    drop(dir);
    check_error(&client.status(Duration::ZERO).await.unwrap_err(), &client, expected);
}

#[test]
fn a_forbidden_socket_is_named() {
    let error = std::io::Error::from_raw_os_error(13);
    let said = peer::unreachable(Path::new("/run/amphipod/agent.sock"), &error).to_string();
    assert_eq!(
        said,
        "agent at /run/amphipod/agent.sock: permission denied; run as root, or as a member of the socket's group"
    );
}

#[tokio::test]
async fn something_else_at_the_socket_is_named() {
    let (_dir, listener, client) = agent();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH\r\n").await.unwrap();
    });
    let said = message(&client.status(Duration::ZERO).await.unwrap_err(), &client);
    assert!(said.starts_with("agent at SOCKET: no answer ("), "{said}");
    assert!(said.ends_with("is this the socket of an agent, and of this version?"), "{said}");
}

#[test]
fn items_are_told_apart() {
    let lost = |lost, node: &str, reason: &str| {
        Item::Lost(Lost { lost, node: node.to_owned(), reason: reason.to_owned() })
    };
    assert_eq!(Item::parse(r#"{"lost":7}"#).unwrap(), lost(7, "", ""));
    let long = "n".repeat(200);
    let text = format!(r#"{{"lost":0,"node":"{long}","reason":"no_answer"}}"#);
    assert_eq!(Item::parse(&text).unwrap(), lost(0, &long, "no_answer"));
    assert!(matches!(Item::parse(r#"{"node":"n","kind":"flow"}"#).unwrap(), Item::Record(_)));
    assert!(Item::parse("").is_err());
}
