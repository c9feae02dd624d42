//! Signing in and out with a browser.

use std::io::{Read, Write};
use std::net::TcpStream;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};

use super::cluster::{Answer, Cluster, KIM, NOBODY, OTHER, cluster};
use super::log;
use super::provider::{Provider, SECRET};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const PAGE: (&str, &str) = ("Accept", "text/html,application/xhtml+xml");

fn with_token(cluster: &Cluster, origin: &str, token: &str) -> Answer {
    let body = format!("token={token}&to=%2Fmap%3Fa%3Db");
    cluster.ask("POST", "/auth/token", &[FORM, ("Origin", origin)], &body)
}

#[test]
fn a_token_becomes_a_session_which_ends() {
    log::keep();
    let cluster = cluster("[access]\ntokens = true\nholds = \"1s\"\n");
    let page = cluster.get("/map?a=b", &[PAGE]);
    assert_eq!(
        (page.status, page.header("location")),
        (303, Some("/auth/sign-in?to=%2Fmap%3Fa%3Db"))
    );
    let page = cluster.get("/auth/sign-in?to=%2Fmap%3Fa%3Db", &[PAGE]);
    assert!(
        page.status == 200 && page.body.contains(r#"name="to" value="/map?a=b""#),
        "{}",
        page.body
    );
    assert!(
        !page.body.contains("<script")
            && !page.body.contains("style=")
            && !page.body.contains("/auth/provider")
    );

    let own = cluster.origin();
    for origin in ["https://evil.example", "null", ""] {
        assert_eq!(with_token(&cluster, origin, KIM).status, 403, "{origin}");
    }
    assert_eq!(cluster.ask("POST", "/auth/token", &[FORM], &format!("token={KIM}")).status, 403);
    let crossed = [FORM, ("Origin", own.as_str()), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(cluster.ask("POST", "/auth/token", &crossed, &format!("token={KIM}")).status, 403);
    for token in ["wrong", "", OTHER] {
        let answer = with_token(&cluster, &own, token);
        assert!(answer.status == 403 && answer.header("set-cookie").is_none(), "{token}");
        assert!(answer.body.contains("role=\"alert\""), "{}", answer.body);
    }

    let answer = with_token(&cluster, &own, KIM);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/map?a=b")));
    let set = answer.header("set-cookie").unwrap();
    assert!(
        set.starts_with("amphipod=")
            && set.ends_with("; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax"),
        "{set}"
    );
    assert!(!set.contains(KIM), "{set}");
    let cookie = answer.cookie();
    let ask = |path: &str| cluster.get(path, &[("Cookie", &cookie)]);
    assert_eq!(ask("/api/v1/session").json()["user"], "kim");
    assert_eq!(ask("/api/v1/graph").json()["hidden"], true);
    assert_eq!(ask("/api/v1/graph").header("cache-control"), Some("no-store"));
    assert_eq!(ask("/api/v1/graph?namespace=bank").status, 403);
    // The header counts where both are shown.
    let both = [("Cookie", cookie.as_str()), ("Authorization", "Bearer wrong")];
    assert_eq!(cluster.get("/api/v1/graph", &both).status, 401);

    let sign_out = |origin: &str| {
        cluster.ask("POST", "/auth/sign-out", &[("Origin", origin), ("Cookie", &cookie)], "")
    };
    assert_eq!(sign_out("https://evil.example").status, 403);
    assert_eq!(ask("/api/v1/graph").status, 200);
    let answer = sign_out(&own);
    assert!(answer.status == 303 && answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(ask("/api/v1/graph").status, 401, "the cookie is good no more");
    assert_eq!(cluster.get("/auth/sign-out", &[]).status, 405);

    // A token that is revoked takes its session with it.
    let cookie = with_token(&cluster, &own, NOBODY).cookie();
    let ask = |path: &str| cluster.get(path, &[("Cookie", &cookie)]);
    assert_eq!(ask("/api/v1/graph").status, 200);
    cluster.server.revoke(NOBODY);
    let since = std::time::Instant::now();
    while ask("/api/v1/graph").status != 401 {
        assert!(since.elapsed() < super::cluster::SOON);
    }
    let lines = log::audit();
    assert!(
        lines
            .iter()
            .any(|it| it["user"] == "kim" && it["message"] == "signed in" && it["way"] == "token")
    );
    assert!(
        [KIM, NOBODY, cookie.as_str()].iter().all(|it| !log::text().contains(it)),
        "a secret is in the log"
    );
    cluster.app.shutdown().unwrap();
}

struct Browser<'a> {
    cluster: &'a Cluster,
    provider: &'a Provider,
}

impl Browser<'_> {
    /// Where the provider's page is, and the cookie of a sign-in that has begun.
    fn begin(&self) -> (String, String) {
        let answer = self.cluster.get("/auth/provider?to=%2Fmap", &[PAGE]);
        assert_eq!(answer.status, 303, "{}", answer.body);
        (answer.header("location").unwrap().to_owned(), answer.cookie())
    }

    fn sign_in(&self, claims: Value) -> Answer {
        let (location, cookie) = self.begin();
        let (back, asked) = self.provider.sign_in(&location, claims);
        assert_eq!(
            (asked["scope"].as_str(), asked["response_type"].as_str()),
            ("openid email groups", "code")
        );
        self.back(&back, &cookie)
    }

    fn back(&self, path: &str, cookie: &str) -> Answer {
        self.cluster.get(path, &[PAGE, ("Cookie", cookie)])
    }

    fn refused(&self, answer: &Answer, status: u16, detail: &str) {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(detail), "{}", answer.body);
        let session = answer.headers("set-cookie").any(|it| it.starts_with("amphipod="));
        assert!(!session, "{detail}");
    }
}

#[test]
fn a_provider_tells_who_somebody_is_and_the_cluster_what_they_see() {
    log::keep();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let provider = Provider::start(&runtime);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let cluster = cluster(&format!(
        "[access]\nurl = \"http://localhost:7171\"\n[oidc]\nissuer = {:?}\nclient_id = \"hub\"\nclient_secret = {secret:?}\n",
        provider.issuer()
    ));
    let browser = Browser { cluster: &cluster, provider: &provider };
    let answer = browser.sign_in(json!({ "groups": ["sellers", "system:masters"] }));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/map")), "{}", answer.body);
    let cookie = answer.cookie();
    let session = cluster.get("/api/v1/session", &[("Cookie", &cookie)]).json();
    assert_eq!(
        (&session["user"], &session["namespaces"]),
        (&"kim@example.org".into(), &json!(["shop"]))
    );
    assert_eq!(session["all"], false, "a provider made somebody the cluster's master");
    assert_eq!(cluster.get("/api/v1/graph", &[("Cookie", &cookie)]).status, 200);
    assert_eq!(cluster.get_as(KIM, "/api/v1/graph").status, 401, "tokens are not taken here");
    // Without the group there is nothing to see.
    let other = browser.sign_in(json!({})).cookie();
    let session = cluster.get("/api/v1/session", &[("Cookie", &other)]).json();
    assert_eq!(session["namespaces"], json!([]));

    // One sign-in, one browser, one answer.
    let (location, begun) = browser.begin();
    let (back, _) = provider.sign_in(&location, json!({}));
    browser.refused(&browser.back(&back, "x=y"), 403, "no sign-in has begun in this browser");
    let (_, another) = browser.begin();
    browser.refused(&browser.back(&back, &another), 403, "belongs to another sign-in");
    browser.refused(
        &browser.back(&back, &format!("amphipod-sign-in={}", &cookie[9..])),
        403,
        "no sign-in has begun",
    );
    let elsewhere = format!("{back}&iss=https%3A%2F%2Fother");
    browser.refused(&browser.back(&elsewhere, &begun), 403, "another provider");
    let denied = format!("{back}&error=access_denied");
    browser.refused(&browser.back(&denied, &begun), 403, "the provider says access_denied");
    assert_eq!(browser.back(&back, &begun).status, 303);
    browser.refused(&browser.back(&back, &begun), 502, "400 Bad Request");

    for (claims, status, detail) in [
        (json!({ "nonce": "other" }), 502, "it belongs to another sign-in"),
        (json!({ "aud": "other" }), 502, "it is meant for somebody else"),
        (json!({ "iss": "https://other" }), 502, "it is another issuer&#39;s"),
        (json!({ "exp": 1 }), 502, "it has expired"),
        (json!({ "email": null }), 403, "oidc.username_claim"),
        (json!({ "email_verified": false }), 403, "not verified the email"),
        (
            json!({ "email": "system:serviceaccount:kube-system:x" }),
            403,
            "a name of the cluster&#39;s own",
        ),
    ] {
        browser.refused(&browser.sign_in(claims), status, detail);
    }
    let groups: Vec<String> =
        (0..900).map(|it: u64| format!("{:x}", it.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    browser.refused(&browser.sign_in(json!({ "groups": groups })), 403, "fewer groups");
    // Forged tokens do not make the hub ask for keys each time.
    let asked = provider.keys_asked();
    provider.rotate();
    browser.refused(&browser.sign_in(json!({})), 502, "none of the provider&#39;s keys");
    assert_eq!(provider.keys_asked(), asked);

    // Only the path of what the provider sent somebody back with.
    let text = log::text();
    assert!(
        !text.contains("code-") && !text.contains(SECRET) && !text.contains(&cookie[9..]),
        "a secret is in the log"
    );
    assert!(
        log::audit().iter().any(|it| it["user"] == "kim@example.org" && it["way"] == "provider")
    );
    cluster.app.shutdown().unwrap();
}

#[test]
fn over_tls_cookies_are_for_this_host_only() {
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|it| folder.path().join(it));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let cluster = cluster(&format!(
        "[hub]\ncertificate = {certificate:?}\nkey = {key:?}\n[access]\ntokens = true\n"
    ));
    let tls = daemon::tls::Client::new(certificate.clone(), None, &[daemon::tls::HTTP1]).unwrap();
    let address = cluster.app.address().unwrap();
    let ask = |text: String| {
        cluster.runtime.block_on(async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(tls.config());
            let mut stream = connector
                .connect(ServerName::try_from("localhost").unwrap(), stream)
                .await
                .unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut answer = String::new();
            // Whoever says "close" may do so without a word in TLS.
            let _ = stream.read_to_string(&mut answer).await;
            answer
        })
    };
    // A connection that says nothing holds up nobody.
    let mut silent = TcpStream::connect(address).unwrap();
    let body = format!("token={KIM}");
    let answer = ask(format!(
        "POST /auth/token HTTP/1.1\r\nHost: localhost\r\nOrigin: https://localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    let cookie = answer.lines().find_map(|it| it.strip_prefix("set-cookie: ")).unwrap();
    assert!(
        cookie.starts_with("__Host-amphipod=")
            && cookie.ends_with("; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax; Secure")
    );
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    let pair = cookie.split(';').next().unwrap();
    let get = |cookie: &str| {
        ask(format!(
            "GET /api/v1/graph HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"
        ))
    };
    assert!(get(pair).starts_with("HTTP/1.1 200"));
    // One that a neighbour could have set.
    assert!(get(pair.strip_prefix("__Host-").unwrap()).starts_with("HTTP/1.1 401"));
    silent.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "plain text is answered");
    cluster.app.shutdown().unwrap();
}
