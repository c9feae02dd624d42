//! Requests of the hub to others: one connection for each, everything with a limit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{HeaderValue, Request, StatusCode, header};
use bytes::Bytes;
use daemon::tls;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use reflector::Resolver;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const WITHIN: Duration = Duration::from_secs(15);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES: usize = 1 << 20;
const NAME: &str = concat!("amphipod/", env!("CARGO_PKG_VERSION"));
/// Where distributions have the authorities that their system trusts.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Cheap to clone.
#[derive(Clone)]
pub struct Fetch {
    /// Without one only plain HTTP is spoken.
    tls: Option<tls::Client>,
    resolver: Resolver,
}

pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Answer {
    /// Why it is no success, on one line.
    pub fn refusal(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]);
        format!("{} {}", self.status, model::text::printable(text.trim().as_bytes()))
    }
}

impl Fetch {
    /// `ca`: the authorities that may vouch for servers; without, the system's.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn new(ca: Option<&Path>) -> Result<Self, tls::Error> {
        let system = || SYSTEM.iter().map(PathBuf::from).find(|path| path.exists());
        let authorities = ca.map(Path::to_path_buf).or_else(system);
        let client = |path| tls::Client::new(path, None, &[tls::HTTP1]);
        Ok(Self { tls: authorities.map(client).transpose()?, resolver: Resolver::default() })
    }

    /// What follows the file of authorities, if there is one.
    pub fn tls(&self) -> Option<&tls::Client> {
        self.tls.as_ref()
    }

    /// # Errors
    /// Nobody answered, on one line.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let sent = tokio::time::timeout(WITHIN, self.exchange(request)).await;
        sent.map_err(|_| format!("no answer within {WITHIN:?}"))?
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let uri = request.uri().clone();
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = tokio::time::timeout(CONNECT_WITHIN, self.connect(&host, port)).await;
        let tcp =
            tcp.map_err(|_| format!("{host}:{port} cannot be reached within {CONNECT_WITHIN:?}"))??;
        let text = |error: &dyn std::fmt::Display| format!("{host}:{port}: {error}");
        let authority = uri.authority().map_or("", |it| it.as_str());
        let value = HeaderValue::from_str(authority).map_err(|error| text(&error))?;
        request.headers_mut().insert(header::HOST, value);
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(NAME));
        let path = uri.path_and_query().map_or("/", |it| it.as_str());
        *request.uri_mut() = path.parse().map_err(|error| text(&error))?;
        if !secure {
            return speak(tcp, request).await;
        }
        let tls = self.tls.as_ref();
        let tls = tls.ok_or("the system names no authorities; give a file with them (ca)")?;
        let name = ServerName::try_from(host.clone()).map_err(|error| text(&error))?;
        let stream = TlsConnector::from(tls.config()).connect(name, tcp).await;
        speak(stream.map_err(|error| text(&error))?, request).await
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let addresses = match host.parse() {
            Ok(ip) => vec![ip],
            Err(_) => {
                self.resolver.addresses(host).await.map_err(|error| format!("{host}: {error}"))?
            }
        };
        let mut failed = format!("{host} has no address");
        for ip in addresses {
            match TcpStream::connect((ip, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = format!("{ip}:{port}: {error}"),
            }
        }
        Err(failed)
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let failed = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answer { status: head.status, body })
    };
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // It may have ended with the answer.
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
