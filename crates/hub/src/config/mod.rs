//! The hub's configuration: one TOML file, every key optional.

mod access;
mod clickhouse;
mod peer;
mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use daemon::config::Error;
use daemon::config::value::size;
use daemon::config::{count, file, listen, quoted, span, wrong};

pub(crate) use access::is_safe;
pub use access::{Access, Oidc};
pub use clickhouse::ClickHouse;
pub use peer::Peer;

use crate::store::PerLevel;

/// Valid values only. The command line's flags replace single fields.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where `/metrics`, `/healthz`, `/readyz` and `/api/v1` are served; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// TLS of that address.
    pub tls: Option<Tls>,
    /// Anybody may ask, also beyond this host.
    pub open_api: bool,
    pub access: Access,
    /// Where this hub's replicas are.
    pub peers: Vec<Peer>,
    pub drain: Duration,
    pub kube: Kube,
    pub inventory: Inventory,
    pub history: History,
    /// Where the hub's own metrics are sent.
    pub export: daemon::export::Config,
    /// `None`: Hubble's API is not served.
    pub hubble: Option<Hubble>,
}

#[derive(Clone, Debug)]
pub struct Hubble {
    pub listen: SocketAddr,
    pub tls: Option<Tls>,
}

#[derive(Clone, Debug)]
pub struct History {
    /// The database's file; `None`: memory only, or ClickHouse.
    pub path: Option<PathBuf>,
    pub clickhouse: Option<ClickHouse>,
    /// Of the database, before what is oldest makes room.
    pub disk_bytes: u64,
    /// Of all that is held of history.
    pub memory_bytes: usize,
    /// How long each level's intervals are kept, in seconds.
    pub keep_s: PerLevel<u64>,
    pub max_edges: usize,
}

impl History {
    /// What of the memory is for sums that were made for a question and serve the next ones. A quarter: the sums of an hour
    /// and of a week take some ten blocks' room.
    pub fn sums_bytes(&self) -> usize {
        self.memory_bytes / 4
    }

    /// The rest is for blocks as they are stored.
    pub fn blocks_bytes(&self) -> usize {
        self.memory_bytes - self.sums_bytes()
    }
}

#[derive(Clone, Debug)]
pub struct Kube {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub labels: Vec<String>,
    pub annotations: Vec<String>,
    pub streamed: bool,
}

#[derive(Clone, Debug)]
pub struct Inventory {
    pub listen: SocketAddr,
    pub tls: Option<Tls>,
    /// For whom service accounts' tokens must be meant; `None`: none are taken.
    pub audience: Option<String>,
    /// Plain text is allowed beyond this host.
    pub insecure: bool,
    pub log_entries: usize,
    /// Of changes, and of addresses that were let go.
    pub remember: Duration,
    pub max_agents: usize,
    pub max_addresses: usize,
    pub syncs: usize,
    /// Tell every agent of every object, to measure what that costs. Not in the file.
    pub broadcast: bool,
}

#[derive(Clone, Debug)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Who vouches for the certificates of those who connect; `None`: they show none.
    pub client_ca: Option<PathBuf>,
}

impl Config {
    /// The file at `path`, or the defaults without one.
    ///
    /// # Errors
    /// It cannot be read, or says what cannot be; the message names the key.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        Self::parse(&daemon::config::read(path)?)
    }

    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let raw::Raw {
            hub,
            access,
            oidc,
            kube,
            inventory,
            history,
            clickhouse,
            otlp,
            remote_write,
            hubble,
        } = daemon::config::parse(text)?;
        let access = self::access::access(access, oidc)?;
        let inventory = self::inventory(inventory)?;
        let peers = peer::peers(&hub.peers, &inventory)?;
        let second = Duration::from_secs(1);
        Ok(Self {
            listen: listen("hub.listen", &hub.listen)?,
            tls: self::access::tls(&hub)?,
            open_api: hub.open_api,
            hubble: self::hubble(hubble, &access)?,
            access,
            drain: span("hub.drain", &hub.drain, second / 10..=60 * second)?,
            kube: Kube {
                kubeconfig: file("kube.kubeconfig", &kube.kubeconfig)?,
                context: Some(kube.context).filter(|context| !context.is_empty()),
                labels: keys("kube.labels", kube.labels)?,
                annotations: keys("kube.annotations", kube.annotations)?,
                streamed: kube.streamed,
            },
            inventory,
            peers,
            history: self::history(history, clickhouse)?,
            export: daemon::export::Config::check(otlp, remote_write)?,
        })
    }

    /// Every key with its explanation and default: a file that is valid and changes nothing.
    pub fn reference() -> String {
        daemon::config::reference::<raw::Raw>()
    }
}

fn inventory(raw: raw::Inventory) -> Result<Inventory, Error> {
    let address = listen("inventory.listen", &raw.listen)?.ok_or_else(|| {
        wrong("inventory.listen", quoted("off"), "an IP address and port, such as \"0.0.0.0:7173\"")
    })?;
    let tls = tls("inventory", [&raw.certificate, &raw.key, &raw.client_ca])?;
    if tls.is_none() && raw.tokens {
        let expected = "the hub's certificate: agents show tokens over TLS only";
        return Err(wrong("inventory.certificate", quoted(""), expected));
    }
    let told = tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()) || raw.tokens;
    if !told && !raw.insecure && !address.ip().is_loopback() {
        let expected = "a loopback address; or inventory.certificate, key and client_ca (or tokens), so that each agent \
                        proves its node; or inventory.insecure = true to tell anybody anything";
        return Err(wrong("inventory.listen", quoted(&raw.listen), expected));
    }
    let second = Duration::from_secs(1);
    let audience = Some(raw.audience).filter(|_| raw.tokens);
    if audience.as_deref() == Some("") {
        let expected = "the audience of agents' tokens, such as \"amphipod-hub\"";
        return Err(wrong("inventory.audience", quoted(""), expected));
    }
    Ok(Inventory {
        listen: address,
        tls,
        audience,
        insecure: raw.insecure,
        log_entries: count("inventory.log_entries", raw.log_entries, 16..=1 << 24)? as usize,
        remember: span("inventory.remember", &raw.remember, second..=24 * 3600 * second)?,
        max_agents: count("inventory.max_agents", raw.max_agents, 1..=1 << 17)? as usize,
        max_addresses: count("inventory.max_addresses", raw.max_addresses, 16..=1 << 18)? as usize,
        syncs: count("inventory.syncs", raw.syncs, 1..=4096)? as usize,
        broadcast: false,
    })
}

/// Of a section's `certificate`, `key` and `client_ca`.
fn tls(section: &str, paths: [&str; 3]) -> Result<Option<Tls>, Error> {
    let key = |name| format!("{section}.{name}");
    let names = [key("certificate"), key("key"), key("client_ca")];
    let missing = |name: &str, expected| Err(wrong(name, quoted(""), expected));
    let client_ca = file(&names[2], paths[2])?;
    match (file(&names[0], paths[0])?, file(&names[1], paths[1])?) {
        (Some(certificate), Some(key)) => Ok(Some(Tls { certificate, key, client_ca })),
        (None, None) if client_ca.is_some() => {
            missing(&names[0], "the hub's certificate: others show theirs over TLS only")
        }
        (None, None) => Ok(None),
        (Some(_), None) => missing(&names[1], "the certificate's key"),
        (None, Some(_)) => missing(&names[0], "the key's certificate"),
    }
}

fn hubble(raw: raw::Hubble, access: &Access) -> Result<Option<Hubble>, Error> {
    let tls = tls("hubble", [&raw.certificate, &raw.key, &raw.client_ca])?;
    let Some(address) = listen("hubble.listen", &raw.listen)? else { return Ok(None) };
    let proven = tls.as_ref().is_some_and(|it| it.client_ca.is_some() || access.audience.is_some());
    if !proven && !raw.insecure && !address.ip().is_loopback() {
        let expected = "a loopback address; or hubble.certificate and key, and clients that prove who they are with \
                        tokens (access.tokens) or certificates (hubble.client_ca); or hubble.insecure = true to speak \
                        plain text, and with anybody where nobody needs a token";
        return Err(wrong("hubble.listen", quoted(&raw.listen), expected));
    }
    Ok(Some(Hubble { listen: address, tls }))
}

fn history(raw: raw::History, clickhouse: raw::ClickHouse) -> Result<History, Error> {
    let hour = Duration::from_secs(3600);
    let keep = |key: &str, text: &str, least: Duration| {
        span(key, text, least..=100_000 * hour).map(|it| it.as_secs())
    };
    let memory_bytes = size(&raw.memory).filter(|it| (1 << 20..=1 << 40).contains(it));
    let expected = "a size from 1MiB to 1024GiB, such as \"64MiB\"";
    let disk_bytes = size(&raw.disk).filter(|it| (16 << 20..=1 << 50).contains(it));
    let most = "a size from 16MiB to 1048576GiB, such as \"3GiB\"";
    let path = file("history.path", &raw.path)?;
    let clickhouse = self::clickhouse::check(clickhouse)?;
    if path.is_some() && clickhouse.is_some() {
        let expected = "\"\" beside clickhouse.url: history is kept in one place";
        return Err(wrong("history.path", quoted(&raw.path), expected));
    }
    Ok(History {
        path,
        clickhouse,
        disk_bytes: disk_bytes.ok_or_else(|| wrong("history.disk", quoted(&raw.disk), most))?,
        memory_bytes: memory_bytes
            .ok_or_else(|| wrong("history.memory", quoted(&raw.memory), expected))?
            as usize,
        keep_s: [
            keep("history.keep_10s", &raw.keep_10s, hour / 6)?,
            // What is coarser is made of what is finer.
            keep("history.keep_1m", &raw.keep_1m, 2 * hour)?,
            keep("history.keep_1h", &raw.keep_1h, 24 * hour)?,
        ],
        max_edges: count("history.max_edges", raw.max_edges, 16..=1 << 24)? as usize,
    })
}

/// Of labels or annotations.
fn keys(key: &str, given: Vec<String>) -> Result<Vec<String>, Error> {
    let wrong_one =
        |it: &&String| it.is_empty() || it.len() > 317 || it.contains(char::is_whitespace);
    match given.iter().find(wrong_one) {
        Some(it) => Err(wrong(key, quoted(it), "a label's key, or the beginning of keys and a *")),
        None if given.len() > 64 => Err(wrong(key, given.len(), "at most 64 keys")),
        None => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_changes_nothing() {
        let reference = Config::parse(&Config::reference()).unwrap();
        assert_eq!(format!("{reference:?}"), format!("{:?}", Config::parse("").unwrap()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text: &str, expected: &str| {
            let error = Config::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("configuration: {expected}")), "{text}: {error}");
        };
        check("[hubb]\n", "unknown key `hubb`; did you mean `hub`?");
        check(
            "[inventory]\nlisten = \"off\"",
            "inventory.listen = \"off\": expected an IP address",
        );
        check(
            "[inventory]\nlisten = \"0.0.0.0:7173\"",
            "inventory.listen = \"0.0.0.0:7173\": expected a loopback",
        );
        check(
            "[inventory]\ncertificate = \"/a\"",
            "inventory.key = \"\": expected the certificate's key",
        );
        check(
            "[inventory]\nclient_ca = \"/a\"",
            "inventory.certificate = \"\": expected the hub's",
        );
        check("[inventory]\ntokens = true", "inventory.certificate = \"\": expected the hub's");
        check(
            "[inventory]\ncertificate = \"a\"",
            "inventory.certificate = \"a\": expected an absolute path",
        );
        check(
            "[inventory]\nsyncs = 0",
            "inventory.syncs = 0: expected a whole number from 1 to 4096",
        );
        check("[history]\nmemory = \"0\"", "history.memory = \"0\": expected a size from 1MiB");
        check("[history]\nkeep_1m = \"1h\"", "history.keep_1m = \"1h\": expected a duration");
        check(
            "[clickhouse]\nurl = \"tcp://a:9000\"",
            "clickhouse.url = \"tcp://a:9000\": expected",
        );
        check("[clickhouse]\nurl = \"http://a:b@c:8123\"", "clickhouse.url = \"...\": expected");
        check(
            "[clickhouse]\nurl = \"http://a:8123\"\ndatabase = \"a b\"",
            "clickhouse.database = \"a b\": expected",
        );
        check(
            "[history]\npath = \"/h.db\"\n[clickhouse]\nurl = \"http://a:8123\"",
            "history.path = \"/h.db\": expected \"\" beside clickhouse.url",
        );
        let url = "[clickhouse]\nurl = \"http://a\"\nuser = \"u\"\npassword = \"/p\"\n";
        let found = Config::parse(url).unwrap().history.clickhouse.unwrap();
        assert_eq!((found.url.as_str(), found.user.as_str()), ("http://a:8123", "u"));
        check("[kube]\nlabels = [\"a b\"]", "kube.labels = \"a b\": expected a label's key");
        check(
            "[hubble]\nlisten = \"0.0.0.0:4245\"",
            "hubble.listen = \"0.0.0.0:4245\": expected a",
        );
        check("[hubble]\nkey = \"/k\"", "hubble.certificate = \"\": expected the key's");
        let open = "[hubble]\nlisten = \"0.0.0.0:4245\"\ninsecure = true\n";
        assert!(Config::parse(open).unwrap().hubble.is_some_and(|it| it.tls.is_none()));
        assert!(Config::parse("").unwrap().hubble.is_none());
        let files = "[hubble]\nlisten = \"0.0.0.0:4245\"\ncertificate = \"/c\"\nkey = \"/k\"\n";
        check(files, "hubble.listen = \"0.0.0.0:4245\": expected a");
        for proof in ["client_ca = \"/ca\"", "[access]\ntokens = true"] {
            Config::parse(&format!("{files}{proof}")).unwrap();
        }
        let files = "[inventory]\nlisten = \"0.0.0.0:1\"\ncertificate = \"/c\"\nkey = \"/k\"\n";
        check(files, "inventory.listen");
        for proof in ["client_ca = \"/ca\"", "tokens = true", "insecure = true"] {
            Config::parse(&format!("{files}{proof}")).unwrap();
        }
    }
}
