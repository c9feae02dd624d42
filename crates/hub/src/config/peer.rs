//! Where the replicas of this hub are.

use std::fmt;
use std::net::IpAddr;

use axum::http::Uri;
use daemon::config::{Error, quoted, wrong};

use super::Inventory;

const KEY: &str = "hub.peers";
const MOST: usize = 16;

/// One replica, or all that its name has addresses of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub tls: bool,
    /// A DNS name or an IP address, without brackets: the certificates are for it.
    pub host: String,
    pub port: u16,
}

impl Peer {
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let plain = uri.path_and_query().is_none_or(|it| it.as_str() == "/");
        let port = uri.port_u16().filter(|it| *it > 0)?;
        (plain && !host.is_empty()).then_some(Self { tls, host, port })
    }

    fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

pub(super) fn peers(all: &[String], inventory: &Inventory) -> Result<Vec<Peer>, Error> {
    if all.len() > MOST {
        return Err(wrong(KEY, all.len(), "at most 16 URLs; a name may have several addresses"));
    }
    let proven = inventory.tls.as_ref().is_some_and(|it| it.client_ca.is_some());
    let peer = |text: &String| {
        let expected = "a URL with a port, such as \"https://amphipod-hubs.amphipod.svc:7173\"";
        let peer = Peer::parse(text).ok_or_else(|| wrong(KEY, quoted(text), expected))?;
        let expected = match peer.tls {
            true if !proven => {
                "inventory.certificate, key and client_ca: replicas show each other certificates"
            }
            false if !peer.is_here() && !inventory.insecure => {
                "https://; or inventory.insecure = true to speak plain text beyond this host"
            }
            _ => return Ok(peer),
        };
        Err(wrong(KEY, quoted(text), expected))
    };
    all.iter().map(peer).collect()
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn replicas_are_urls_that_may_be_asked() {
        let tls = "[inventory]\ncertificate = \"/c\"\nkey = \"/k\"\nclient_ca = \"/a\"\n";
        let check = |peer: &str, more: &str, expected: Result<&str, &str>| {
            let text = format!("[hub]\npeers = [{peer:?}]\n{more}");
            match (Config::parse(&text), expected) {
                (Ok(config), expected) => {
                    assert_eq!(Ok(&*config.peers[0].to_string()), expected, "{text}");
                }
                (Err(error), expected) => {
                    let error = error.to_string();
                    assert!(error.contains(expected.unwrap_err()), "{text}: {error}");
                }
            }
        };
        check("https://Hubs.a.svc:7173", tls, Ok("hubs.a.svc:7173"));
        check("https://hubs:7173", "", Err("replicas show each other certificates"));
        check("http://127.0.0.1:7173", "", Ok("127.0.0.1:7173"));
        check("http://[::1]:7173/", "", Ok("::1:7173"));
        check("http://10.0.0.1:7173", "", Err("expected https://"));
        check("http://10.0.0.1:7173", "[inventory]\ninsecure = true\n", Ok("10.0.0.1:7173"));
        for wrong in ["hubs:7173", "https://hubs", "ftp://hubs:1", "https://hubs:1/x"] {
            check(wrong, tls, Err("expected a URL with a port"));
        }
    }
}
