//! Where the hub listens at all.

use std::io::{Read, Write};
use std::net::TcpStream;

use hub::{App, Config};

fn start(config: &str) -> Result<App, String> {
    let text = format!("[inventory]\nlisten = \"127.0.0.1:0\"\n{config}");
    let mut config = Config::parse(&text).unwrap();
    config.listen = Some("0.0.0.0:0".parse().unwrap());
    App::start(config).map_err(|error| error.to_string())
}

#[test]
fn beyond_this_host_somebody_must_be_known_and_nothing_travels_in_the_clear() {
    let check = |config: &str, expected: Result<u16, &str>| match (start(config), expected) {
        (Ok(app), Ok(status)) => {
            let port = app.address().unwrap().port();
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            write!(stream, "GET /api/v1/graph HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text[9..12].parse(), Ok(status), "{config}: {text}");
            app.shutdown().unwrap();
        }
        (Err(error), Err(expected)) => assert!(error.contains(expected), "{config}: {error}"),
        (Ok(_), expected) => panic!("{config}: started, expected {expected:?}"),
        (Err(error), _) => panic!("{config}: {error}"),
    };
    check(
        "",
        Err(
            "say who may (access.tokens, or oidc.issuer), choose a loopback address (hub.listen), or allow it",
        ),
    );
    check("[hub]\nopen_api = true", Ok(200));
    check("[access]\ntokens = true", Err("give hub.certificate and hub.key, or set access.url"));
    check("[access]\ntokens = true\nurl = \"http://hub\"", Err("plain text"));
    check("[access]\ntokens = true\nurl = \"https://hub\"", Ok(401));
    // Saying that all is open does not undo what is said of people.
    check("[hub]\nopen_api = true\n[access]\ntokens = true\nurl = \"https://hub\"", Ok(401));
    check(
        "[access]\ntokens = true\nurl = \"https://hub\"\nsession_key = \"/nonexistent\"",
        Err("access.session_key: /nonexistent"),
    );
}
