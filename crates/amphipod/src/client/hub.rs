//! A hub: where it is, what is shown to it, and what goes wrong on the way there.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::IpAddr;
use std::path::Path;

use anyhow::anyhow;
use daemon::http::{Dial, Io, Unreachable, system};
use daemon::tls;
use hyper::header::HeaderValue;
use hyper::{StatusCode, Uri};
use reflector::Resolver;
use rustls::CertificateError;

use crate::failure::Usage;

/// Of a token.
const MAX_TOKEN: u64 = 64 << 10;

pub struct Hub {
    /// Without a slash at its end.
    url: String,
    authority: String,
    host: String,
    port: u16,
    secure: bool,
    prefix: String,
    token: Option<HeaderValue>,
    dial: Dial,
}

impl Hub {
    /// `given`: what named the URL, for errors. `token`: a whole value of the header `Authorization`.
    ///
    /// # Errors
    /// It is no URL of a hub; a file cannot be used; or the token would be seen by others.
    pub fn new(
        url: &str,
        given: &str,
        token: Option<HeaderValue>,
        ca: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let wrong = |expected: &str| {
            // It may hold a password.
            let shown = if url.contains('@') { "..." } else { url };
            Usage(format!(
                "{given} {shown:?}: expected {expected}, such as https://hub.example.com:7171"
            ))
        };
        let uri: Uri = url.parse().map_err(|_| wrong("a URL"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("http:// or https:// and a host").into()),
        };
        let authority = uri.authority().ok_or_else(|| wrong("a URL with a host"))?;
        if authority.as_str().contains('@') {
            let expected = "no password in it; give a token: --token-file FILE";
            return Err(wrong(expected).into());
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(wrong("a URL without ? and #").into());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if token.is_some() && !secure && !is_loopback(&host) {
            return Err(Usage(format!(
                "{given} {url:?}: a token would travel in plain text; use https://, or a tunnel to this host \
                 (kubectl port-forward), or no token"
            ))
            .into());
        }
        if let (Some(ca), false) = (ca, secure) {
            let what = format!("--ca {}: {url} is without TLS; use https://", ca.display());
            return Err(Usage(what).into());
        }
        let tls = match (secure, ca.map(Path::to_path_buf).or_else(system)) {
            (true, Some(authorities)) => Some(tls::Client::new(authorities, None, &[tls::HTTP1])?),
            _ => None,
        };
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            authority: authority.to_string(),
            host,
            port,
            secure,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            token,
            dial: Dial { tls, resolve: Resolver::default().function() },
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn token(&self) -> Option<HeaderValue> {
        self.token.clone()
    }

    pub async fn connect(&self) -> anyhow::Result<Box<dyn Io>> {
        let connected = self.dial.connect(&self.host, self.port, self.secure).await;
        connected.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &Unreachable) -> anyhow::Error {
        let url = &self.url;
        match error {
            Unreachable::Refused { source, .. }
                if source.kind() == ErrorKind::ConnectionRefused =>
            {
                anyhow!(
                    "no hub at {url} ({error}); start it, forward its port (kubectl port-forward), or name another: --hub"
                )
            }
            Unreachable::Unknown { .. } | Unreachable::Nowhere { .. } => {
                anyhow!("hub at {url}: {error}; check the name, or give an address: --hub")
            }
            Unreachable::Late { .. } | Unreachable::Refused { .. } => {
                anyhow!(
                    "hub at {url}: {error}; is there a way to it (network policy, firewall, port)?"
                )
            }
            Unreachable::NoAuthorities => {
                anyhow!("hub at {url}: this system names no authorities; give the hub's: --ca FILE")
            }
            Unreachable::Tls { source, .. } => {
                let cause = source.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
                anyhow!("hub at {url}: {source}; {}", distrust(cause))
            }
        }
    }

    pub fn is_it_right(&self) -> &'static str {
        if self.secure {
            "is this the address of a hub, and of this version? (--hub)"
        } else {
            "is this the address of a hub, and of this version? With TLS it begins with https:// (--hub)"
        }
    }

    pub fn refusal(
        &self,
        status: StatusCode,
        said: Option<&str>,
        location: Option<&str>,
    ) -> String {
        let said = said.map(str::to_owned);
        match status {
            StatusCode::UNAUTHORIZED if self.token.is_none() => {
                "wants to know who asks (401); give a token: --token-file FILE, or AMPHIPOD_TOKEN \
                 (kubectl create token NAME)"
                    .to_owned()
            }
            StatusCode::UNAUTHORIZED => {
                let why = said.unwrap_or_else(|| "the token is not accepted".to_owned());
                format!("{why} (401); give a new one of this cluster (kubectl create token NAME)")
            }
            StatusCode::FORBIDDEN => match said {
                Some(said) => format!("{said} (403)"),
                None => {
                    "you may not see this (403); ask for the right to list pods in its namespace"
                        .to_owned()
                }
            },
            it if it.is_redirection() => match location {
                Some(to) => {
                    format!("sends elsewhere ({status}), to {to}; is that the hub? Name it: --hub")
                }
                None => format!("sends elsewhere ({status}); {}", self.is_it_right()),
            },
            StatusCode::NOT_FOUND => format!("there is no API here (404); {}", self.is_it_right()),
            _ => match said {
                Some(said) => said,
                None if status.is_server_error() => {
                    format!("refused with {status}; try again, and see its log")
                }
                None => format!("refused with {status}; {}", self.is_it_right()),
            },
        }
    }
}

/// What to do about TLS that fails.
fn distrust(error: Option<&rustls::Error>) -> &'static str {
    match error {
        Some(rustls::Error::InvalidCertificate(error)) => match error {
            CertificateError::UnknownIssuer => {
                "an authority that is not trusted here vouches for it; give that authority's file: --ca FILE"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for other names; use one of those: --hub"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired; renew it"
            }
            _ => "its certificate cannot be used; make a new one",
        },
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS; is it http://? (--hub)",
        _ => "see its log, and whether it speaks TLS at this address",
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The header's value for the token in a file.
///
/// # Errors
/// There is none.
pub fn token_from(path: &Path) -> anyhow::Result<HeaderValue> {
    let given = format!("--token-file {}", path.display());
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_TOKEN + 1).read_to_string(&mut text))
        .map_err(|error| anyhow!("{given}: {error}; give a file with a token that you may read"))?;
    bearer(&text, &given)
}

/// The same for a token itself. It is never told.
pub fn bearer(token: &str, given: &str) -> anyhow::Result<HeaderValue> {
    let token = token.trim();
    let plain = token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    match value {
        Ok(mut value) if plain && !token.is_empty() && token.len() as u64 <= MAX_TOKEN => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => Err(anyhow!("{given}: there is no token in it; make one: kubectl create token NAME")),
    }
}
