//! Where metrics are sent.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Uri};

use crate::config::value::size;
use crate::config::{Error, file, quoted, span, wrong};
use crate::http::{Fetch, Resolve, Speech};
use crate::section;
use crate::tls::{self, Files};

section!(Otlp {
    /// Where metrics are sent by OTLP, such as "http://collector.monitoring.svc:4317"; empty: nowhere.
    endpoint: String = "",
    /// "grpc", or "http/protobuf": to the endpoint's path and /v1/metrics.
    protocol: String = "grpc",
    /// How often.
    interval: String = "60s",
    /// Attributes of the resource, besides those that Amphipod knows, such as "k8s.cluster.name=blue".
    attributes: Vec<String> = Vec::<String>::new(),
    /// Headers of each request, such as "x-tenant: blue".
    headers: Vec<String> = Vec::<String>::new(),
    /// File with more of them, one a line, read for each request: for secrets.
    headers_file: String = "",
    /// PEM file with the authorities that may vouch for the receiver; empty: those of the system.
    ca: String = "",
    /// PEM file with a certificate to show, and the chain below it; empty: none is shown.
    certificate: String = "",
    /// PEM file with the certificate's key.
    key: String = "",
    /// Allow http:// to other hosts: names and headers then travel in the clear.
    insecure: bool = false,
    /// Memory for what could not be sent yet. The oldest makes room, and is counted.
    queue: String = "8MiB",
});
section!(RemoteWrite {
    /// Where metrics are sent by Prometheus' remote write 1.0, such as "https://prometheus.monitoring.svc:9090/api/v1/write";
    /// empty: nowhere.
    url: String = "",
    /// How often.
    interval: String = "30s",
    /// Labels of each series, besides job, instance and its own, such as "cluster=blue".
    labels: Vec<String> = Vec::<String>::new(),
    /// Headers of each request, such as "x-scope-orgid: blue".
    headers: Vec<String> = Vec::<String>::new(),
    /// File with more of them, one a line, read for each request: for secrets.
    headers_file: String = "",
    /// PEM file with the authorities that may vouch for the receiver; empty: those of the system.
    ca: String = "",
    /// PEM file with a certificate to show, and the chain below it; empty: none is shown.
    certificate: String = "",
    /// PEM file with the certificate's key.
    key: String = "",
    /// Allow http:// to other hosts: names and headers then travel in the clear.
    insecure: bool = false,
    /// Memory for what could not be sent yet. The oldest makes room, and is counted.
    queue: String = "8MiB",
});

#[derive(Clone, Debug, Default)]
pub struct Config {
    otlp: Option<Target>,
    remote_write: Option<Target>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    OtlpGrpc,
    OtlpHttp,
    RemoteWrite,
}

impl Protocol {
    /// The section's name, and the value of the label `exporter`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtlpGrpc | Self::OtlpHttp => "otlp",
            Self::RemoteWrite => "remote_write",
        }
    }

    fn speech(self) -> Speech {
        match self {
            Self::OtlpGrpc => Speech::Http2,
            Self::OtlpHttp | Self::RemoteWrite => Speech::Http1,
        }
    }
}

/// One receiver.
#[derive(Clone, Debug)]
pub struct Target {
    pub protocol: Protocol,
    pub uri: Uri,
    /// The same for people: as it was given, without what may be a secret.
    pub shown: String,
    pub interval: Duration,
    /// Attributes of the resource, or labels of each series.
    pub added: Vec<(String, String)>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub headers_file: Option<PathBuf>,
    pub queue_bytes: usize,
    ca: Option<PathBuf>,
    own: Option<Files>,
}

impl Target {
    pub fn fetch(&self, resolve: Resolve) -> Result<Fetch, tls::Error> {
        Fetch::new(self.ca.as_deref(), self.own.clone(), self.protocol.speech(), resolve)
    }
}

impl Config {
    /// # Errors
    /// What cannot be; the message names the key.
    pub fn check(otlp: Otlp, remote_write: RemoteWrite) -> Result<Self, Error> {
        Ok(Self { otlp: otlp.check()?, remote_write: remote_write.check()? })
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.otlp.iter().chain(&self.remote_write)
    }
}

impl Otlp {
    fn check(self) -> Result<Option<Target>, Error> {
        let protocol = match self.protocol.as_str() {
            "grpc" => Protocol::OtlpGrpc,
            "http/protobuf" => Protocol::OtlpHttp,
            other => {
                return Err(wrong("otlp.protocol", quoted(other), "\"grpc\" or \"http/protobuf\""));
            }
        };
        let path = match protocol {
            Protocol::OtlpGrpc => super::answer::EXPORT,
            _ => "/v1/metrics",
        };
        target(
            Keys {
                section: "otlp",
                url: ("endpoint", self.endpoint, "http://collector.monitoring.svc:4317"),
                path,
                interval: self.interval,
                added: ("attributes", self.attributes),
                headers: self.headers,
                headers_file: self.headers_file,
                ca: self.ca,
                certificate: self.certificate,
                key: self.key,
                insecure: self.insecure,
                queue: self.queue,
            },
            protocol,
        )
    }
}

impl RemoteWrite {
    fn check(self) -> Result<Option<Target>, Error> {
        let target = target(
            Keys {
                section: "remote_write",
                url: ("url", self.url, "https://prometheus:9090/api/v1/write"),
                path: "",
                interval: self.interval,
                added: ("labels", self.labels),
                headers: self.headers,
                headers_file: self.headers_file,
                ca: self.ca,
                certificate: self.certificate,
                key: self.key,
                insecure: self.insecure,
                queue: self.queue,
            },
            Protocol::RemoteWrite,
        )?;
        let label = |name: &str| {
            let first = name.chars().next().is_some_and(|it| it.is_ascii_alphabetic() || it == '_');
            first && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
        };
        let wrong_one = target.iter().flat_map(|it| &it.added).find(|(name, _)| !label(name));
        match wrong_one {
            Some((name, _)) => {
                Err(wrong("remote_write.labels", quoted(name), "a name of letters, digits and `_`"))
            }
            None => Ok(target),
        }
    }
}

/// What both sections have.
struct Keys {
    section: &'static str,
    /// Key, value and an example.
    url: (&'static str, String, &'static str),
    /// Put behind what is given.
    path: &'static str,
    interval: String,
    added: (&'static str, Vec<String>),
    headers: Vec<String>,
    headers_file: String,
    ca: String,
    certificate: String,
    key: String,
    insecure: bool,
    queue: String,
}

fn target(keys: Keys, protocol: Protocol) -> Result<Option<Target>, Error> {
    let name = |key: &str| format!("{}.{key}", keys.section);
    let second = Duration::from_secs(1);
    let interval = span(&name("interval"), &keys.interval, second..=3600 * second)?;
    let bytes = size(&keys.queue).filter(|it| (1 << 20..=1 << 30).contains(it));
    let expected = "a size from 1MiB to 1GiB, such as \"8MiB\"";
    let bytes = bytes.ok_or_else(|| wrong(&name("queue"), quoted(&keys.queue), expected))?;
    let (key, values) = keys.added;
    let added = values.iter().map(|text| pair(&name(key), text)).collect::<Result<_, _>>()?;
    let headers = keys.headers.iter().map(|text| {
        let expected = "a header, such as \"x-tenant: blue\"";
        header(text).ok_or_else(|| wrong(&name("headers"), quoted(text), expected))
    });
    let headers = headers.collect::<Result<_, _>>()?;
    let files = (
        file(&name("certificate"), &keys.certificate)?,
        file(&name("key"), &keys.key)?,
        file(&name("ca"), &keys.ca)?,
        file(&name("headers_file"), &keys.headers_file)?,
    );
    let (own, ca, headers_file) = match files {
        (Some(certificate), Some(key), ca, headers) => {
            (Some(Files { certificate, key }), ca, headers)
        }
        (None, None, ca, headers) => (None, ca, headers),
        (Some(_), None, ..) => {
            return Err(wrong(&name("key"), quoted(""), "the certificate's key"));
        }
        (None, Some(_), ..) => {
            return Err(wrong(&name("certificate"), quoted(""), "the key's certificate"));
        }
    };
    let (key, url, example) = keys.url;
    if url.is_empty() {
        return Ok(None);
    }
    let key = name(key);
    let uri = address(&url, keys.path)
        .ok_or_else(|| wrong(&key, quoted(&url), format!("a URL such as {example:?}")))?;
    if uri.scheme_str() == Some("http") && !keys.insecure && !is_here(&uri) {
        let expected = format!(
            "https://, or {} = true to let names and headers travel in the clear",
            name("insecure")
        );
        return Err(wrong(&key, quoted(&url), expected));
    }
    let shown = url.split('?').next().unwrap_or_default().to_owned();
    let queue_bytes = bytes as usize;
    Ok(Some(Target {
        shown,
        protocol,
        uri,
        interval,
        added,
        headers,
        headers_file,
        queue_bytes,
        ca,
        own,
    }))
}

/// Without a user: secrets go into headers.
fn address(url: &str, path: &str) -> Option<Uri> {
    let whole = url.trim_end_matches('/');
    let whole = format!("{}{path}", whole.strip_suffix(path).unwrap_or(whole));
    let uri: Uri = whole.parse().ok()?;
    let spoken = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri.authority().is_some_and(|it| !it.as_str().contains('@'));
    (spoken && plain && uri.host().is_some_and(|it| !it.is_empty())).then_some(uri)
}

/// Of this host for certain: what is sent there leaves it not.
fn is_here(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn pair(key: &str, text: &str) -> Result<(String, String), Error> {
    let parts = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
    match parts.filter(|(name, value)| !name.is_empty() && !value.is_empty()) {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(wrong(key, quoted(text), "a name and a value, such as \"cluster=blue\"")),
    }
}

/// `name: value`. What requests need for themselves is not to be given.
pub fn header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    const OURS: [&str; 8] = [
        "content-encoding",
        "content-length",
        "content-type",
        "grpc-encoding",
        "host",
        "te",
        "transfer-encoding",
        "x-prometheus-remote-write-version",
    ];
    let (name, value) = text.split_once(':')?;
    let name = HeaderName::try_from(name.trim()).ok().filter(|it| !OURS.contains(&it.as_str()))?;
    let mut value = HeaderValue::try_from(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}
