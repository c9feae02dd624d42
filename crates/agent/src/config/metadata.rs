//! Where names come from.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use daemon::config::{Error, count, file, quoted, span, wrong};

use super::raw;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Hub,
    Kube,
    Kubelet,
    None,
}

impl Source {
    /// As it is configured, and the value of the label `source`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Kube => "kube",
            Self::Kubelet => "kubelet",
            Self::None => "none",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Metadata {
    pub source: Source,
    /// In the order in which they are tried first.
    pub hubs: Vec<Hub>,
    pub ca: Option<PathBuf>,
    /// The certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    pub token: Option<PathBuf>,
    /// How long a record waits for the name of one of its ends.
    pub patience: Duration,
    /// Addresses that can be asked for at once.
    pub max_addresses: usize,
    pub address_expiry: Duration,
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub kubelet: Hub,
    pub kubelet_interval: Duration,
}

/// Where a server listens; a name may have several addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hub {
    pub tls: bool,
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
}

impl Hub {
    /// `https://HOST:PORT` or `http://HOST:PORT`; without a port it is the scheme's.
    fn parse(text: &str) -> Option<Self> {
        let (tls, rest) = match text.split_once("://")? {
            ("https", rest) => (true, rest),
            ("http", rest) => (false, rest),
            _ => return None,
        };
        let authority: http::uri::Authority = rest.trim_end_matches('/').parse().ok()?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => Some(if tls { 443 } else { 80 }),
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0),
        };
        let written = host.chars().all(|it| it.is_ascii_alphanumeric() || "-._:".contains(it));
        (written && !host.is_empty()).then_some(Self { tls, host: host.to_owned(), port: port? })
    }

    /// Of this host for certain: what is sent there leaves it not.
    fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port } = self;
        let scheme = if *tls { "https" } else { "http" };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

pub(super) fn check(raw: raw::Metadata) -> Result<Metadata, Error> {
    let second = Duration::from_secs(1);
    let source = source(&raw.source)?;
    if raw.hubs.is_empty() || raw.hubs.len() > 16 {
        let expected = "from 1 to 16 URLs, such as [\"https://amphipod-hub:7173\"]";
        return Err(wrong("metadata.hubs", format!("{:?}", raw.hubs), expected));
    }
    let hubs: Vec<Hub> = raw
        .hubs
        .iter()
        .map(|text| url("metadata.hubs", text, raw.insecure))
        .collect::<Result<_, _>>()?;
    let ca = file("metadata.ca", &raw.ca)?;
    let kubelet = url("metadata.kubelet", &raw.kubelet, raw.insecure)?;
    let (secured, whom) = match source {
        Source::Hub => (hubs.iter().any(|hub| hub.tls), "hub"),
        Source::Kubelet => (kubelet.tls, "kubelet"),
        Source::Kube | Source::None => (false, ""),
    };
    if secured && ca.is_none() {
        let expected = format!("the PEM file of the authority that vouches for the {whom}");
        return Err(wrong("metadata.ca", quoted(""), expected));
    }
    let certificate =
        match (file("metadata.certificate", &raw.certificate)?, file("metadata.key", &raw.key)?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(wrong("metadata.key", quoted(""), "the certificate's key"));
            }
            (None, Some(_)) => {
                return Err(wrong("metadata.certificate", quoted(""), "the key's certificate"));
            }
        };
    let limit = second / 10..=60 * second;
    let addresses = count("metadata.max_addresses", raw.max_addresses, 16..=1 << 18)?;
    let expiry = span("metadata.address_expiry", &raw.address_expiry, second..=86_400 * second)?;
    let interval = span("metadata.kubelet_interval", &raw.kubelet_interval, second..=600 * second)?;
    Ok(Metadata {
        source,
        hubs,
        ca,
        certificate,
        token: file("metadata.token", &raw.token)?,
        patience: span("metadata.patience", &raw.patience, limit)?,
        max_addresses: addresses as usize,
        address_expiry: expiry,
        kubeconfig: file("metadata.kubeconfig", &raw.kubeconfig)?,
        context: Some(raw.context).filter(|context| !context.is_empty()),
        kubelet,
        kubelet_interval: interval,
    })
}

fn source(text: &str) -> Result<Source, Error> {
    let sources = [Source::Hub, Source::Kube, Source::Kubelet, Source::None];
    sources.into_iter().find(|source| source.name() == text).ok_or_else(|| {
        wrong("metadata.source", quoted(text), "\"hub\", \"kube\", \"kubelet\" or \"none\"")
    })
}

fn url(key: &str, text: &str, insecure: bool) -> Result<Hub, Error> {
    let hub = Hub::parse(text)
        .ok_or_else(|| wrong(key, quoted(text), "a URL such as \"https://amphipod-hub:7173\""))?;
    if !hub.tls && !insecure && !hub.is_here() {
        let expected =
            "https://, or metadata.insecure = true to let names and tokens travel in the clear";
        return Err(wrong(key, quoted(text), expected));
    }
    Ok(hub)
}
