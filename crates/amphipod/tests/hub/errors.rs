//! Wrong inputs and what stands in the way: one line each, with what to do.

use super::fixture::{Cluster, KIM, amphipod, certificates, ended, other};

/// A token that the API server does not know.
const WRONG: &str = "nobody-made-this";

#[track_caller]
fn check(args: &[&str], code: i32, expected: &str) {
    check_as(None, args, code, expected);
}

/// `expected`: the whole message; `...` stands for anything.
#[track_caller]
fn check_as(token: Option<&str>, args: &[&str], code: i32, expected: &str) {
    let mut command = amphipod(args);
    if let Some(token) = token {
        command.env("AMPHIPOD_TOKEN", token);
    }
    let (found, out, error) = ended(command.output().unwrap());
    assert_eq!((found, out.as_str()), (code, ""), "{args:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let mut rest = error.strip_prefix("amphipod: ").unwrap().trim_end();
    let parts: Vec<&str> = expected.split("...").collect();
    for (index, part) in parts.iter().enumerate() {
        let place =
            rest.find(part).unwrap_or_else(|| panic!("{part:?} of {expected:?} in {error}"));
        assert!(index > 0 || place == 0, "{error}");
        rest = &rest[place + part.len()..];
    }
    assert!(rest.is_empty() || expected.ends_with("..."), "{rest:?} is left of {error}");
}

#[test]
fn what_is_no_address_of_a_hub_is_refused_before_anybody_is_asked() {
    let such = "such as https://hub.example.com:7171";
    for (url, expected) in [
        ("hub:7171", "expected http:// or https:// and a host"),
        ("ftp://hub", "expected http:// or https:// and a host"),
        ("http://", "expected a URL"),
        ("https://hub/?a=b", "expected a URL without ? and #"),
        ("https://hub/#a", "expected a URL without ? and #"),
    ] {
        check(&["status", "--hub", url], 2, &format!("--hub \"{url}\": {expected}, {such}"));
    }
    let secret = "https://kim:secret@hub";
    let expected = format!(
        "--hub \"...\": expected no password in it; give a token: --token-file FILE, {such}"
    );
    let (code, _, error) = ended(amphipod(&["top", "--hub", secret]).output().unwrap());
    assert_eq!((code, error), (2, format!("amphipod: {expected}\n")));
    let mut by_variable = amphipod(&["status"]);
    let (code, _, error) = ended(by_variable.env("AMPHIPOD_HUB", "hub").output().unwrap());
    assert_eq!(code, 2);
    assert!(error.starts_with("amphipod: AMPHIPOD_HUB \"hub\": expected"), "{error}");
    check(
        &["status", "--hub", "https://hub", "--socket", "/s"],
        2,
        "the argument '--hub <URL>' cannot be used with '--socket <PATH>'...",
    );
    check(
        &["status", "--hub", "https://127.0.0.1:1", "--measure", "5"],
        2,
        "--measure: only an agent can; leave it out, or ask an agent without --hub",
    );
    check(&["status", "--ca", "/x"], 2, "--ca: only a hub is asked with it; name one: --hub URL");
}

#[test]
fn a_socket_that_is_named_counts_more_than_a_hub_of_the_environment() {
    let args = ["status", "--socket", "/nonexistent/agent.sock"];
    let output = amphipod(&args).env("AMPHIPOD_HUB", "http://127.0.0.1:1").output().unwrap();
    let (code, _, error) = ended(output);
    assert_eq!(code, 1);
    assert!(error.starts_with("amphipod: no agent at /nonexistent/agent.sock;"), "{error}");
}

#[test]
fn nobody_is_there() {
    check(
        &["observe", "--hub", "http://127.0.0.1:1"],
        1,
        "no hub at http://127.0.0.1:1 (127.0.0.1:1: Connection refused...); start it, forward its port \
         (kubectl port-forward), or name another: --hub",
    );
    check(
        &["top", "--hub", "http://no-such-host.invalid:7171"],
        1,
        "hub at http://no-such-host.invalid:7171: no-such-host.invalid: ...; check the name, or give an address: --hub",
    );
}

#[test]
fn something_else_is_there() {
    let right = "is this the address of a hub, and of this version?";
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>hello</html>";
    let url = other(page);
    check(
        &["status", "--hub", &url],
        1,
        &format!(
            "hub at {url}: its status cannot be read (expected value at line 1 column 1); {right}..."
        ),
    );
    check(
        &["observe", "--hub", &url],
        1,
        &format!("hub at {url}: answers with a page and no records; {right}..."),
    );
    // An agent's status is no hub's.
    let url = other("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"programs\":[]}");
    check(
        &["status", "--hub", &url],
        1,
        &format!("hub at {url}: its status cannot be read; {right}...: missing field `version`"),
    );
    let url = other("HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\nnot here");
    check(
        &["top", "--hub", &url],
        1,
        &format!("hub at {url}: there is no API here (404); {right}..."),
    );
    let url = other(
        "HTTP/1.1 302 Found\r\nlocation: https://login.example.com/\r\nconnection: close\r\n\r\n",
    );
    check(
        &["status", "--hub", &url],
        1,
        &format!(
            "hub at {url}: sends elsewhere (302 Found), to https://login.example.com/; is that the hub? Name it: --hub"
        ),
    );
    let url = other("SSH-2.0-OpenSSH\r\n");
    check(&["status", "--hub", &url], 1, &format!("hub at {url}: no answer (...); {right}..."));
    let secure = url.replace("http", "https");
    check(
        &["status", "--hub", &secure],
        1,
        &format!("hub at {secure}: ...; it does not speak TLS; is it http://? (--hub)"),
    );
}

#[test]
fn a_token_is_shown_where_nobody_else_sees_it() {
    let plain = "http://hub.example.com:7171";
    let expected = format!(
        "--hub \"{plain}\": a token would travel in plain text; use https://, or a tunnel to this host \
         (kubectl port-forward), or no token"
    );
    check_as(Some(KIM), &["status", "--hub", plain], 2, &expected);
    let none = "--token-file /nonexistent: No such file or directory (os error 2); give a file with a token that you may read";
    let args = ["status", "--hub", "https://127.0.0.1:1", "--token-file"];
    check(&[&args[..], &["/nonexistent"]].concat(), 1, none);
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, " \n").unwrap();
    let empty = empty.to_str().unwrap();
    let expected = format!(
        "--token-file {empty}: there is no token in it; make one: kubectl create token NAME"
    );
    check(&[&args[..], &[empty]].concat(), 1, &expected);
    let two = "AMPHIPOD_TOKEN: there is no token in it; make one: kubectl create token NAME";
    check_as(Some("two words"), &args[..3], 1, two);
}

#[test]
fn a_hub_that_asks_who_is_there_and_shows_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let [.., ca] = certificates(&folder);
    let cluster = Cluster::within(
        folder,
        "[hub]\ncertificate = \"FOLDER/tls.crt\"\nkey = \"FOLDER/tls.key\"\n[access]\ntokens = true\n",
    );
    let (url, ca) = (cluster.url(), ca.to_str().unwrap());
    let asked = |command, more: &[&'static str]| -> Vec<String> {
        let args = [&[command, "--hub", url, "--ca", ca], more].concat();
        args.into_iter().map(str::to_owned).collect()
    };
    let args = asked("status", &[]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();

    check(
        &args[..3],
        1,
        &format!(
            "hub at {url}: ...UnknownIssuer; an authority that is not trusted here vouches for it; give that \
             authority's file: --ca FILE"
        ),
    );
    let named = url.replace("127.0.0.1", "localhost");
    check(
        &["status", "--hub", &named, "--ca", ca],
        1,
        &format!(
            "hub at {named}: ...; its certificate is for other names; use one of those: --hub"
        ),
    );
    let plain = url.replace("https", "http");
    check(
        &["status", "--hub", &plain],
        1,
        &format!("hub at {plain}: no answer (...); ...With TLS it begins with https:// (--hub)"),
    );
    check(
        &["status", "--hub", &plain, "--ca", ca],
        2,
        &format!("--ca {ca}: {plain} is without TLS; use https://"),
    );
    check(
        &["status", "--hub", url, "--ca", "/nonexistent"],
        1,
        "/nonexistent: No such file or directory (os error 2); give a PEM file that this process may read",
    );
    check(
        &args,
        1,
        &format!(
            "hub at {url}: wants to know who asks (401); give a token: --token-file FILE, or AMPHIPOD_TOKEN (kubectl \
             create token NAME)"
        ),
    );
    check_as(
        Some(WRONG),
        &args,
        1,
        &format!(
            "hub at {url}: the token is not accepted: ... (401); give a new one of this cluster (kubectl create token NAME)"
        ),
    );

    let token = cluster.file("token", &format!("{KIM}\n"));
    let kims = |command, more: &[&'static str]| {
        let mut args = asked(command, more);
        args.extend(["--token-file".to_owned(), token.clone()]);
        args
    };
    let refused = kims("observe", &["-n", "bank"]);
    let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
    let expected = format!(
        "hub at {url}: namespace bank: you may not see it; who may list pods there does (403)"
    );
    check(&refused, 1, &expected);
    // The file counts more than the environment.
    for (command, more) in [("observe", &["-n", "shop"][..]), ("top", &["--once"]), ("status", &[])]
    {
        let output =
            amphipod(&[]).args(kims(command, more)).env("AMPHIPOD_TOKEN", WRONG).output().unwrap();
        let (code, out, error) = ended(output);
        assert_eq!((code, error.as_str()), (0, ""), "{command}: {out}");
        if command == "status" {
            let partly =
                "ready; you see nodes with pods that you may list, and not how the hub fares\n";
            assert!(out.contains(partly), "{out}");
        }
    }
}
