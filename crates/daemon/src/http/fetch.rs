//! Requests of a daemon to others: one connection for each, everything with a limit.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::{self, Files};

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

/// The file of authorities that this system trusts.
pub fn system() -> Option<PathBuf> {
    SYSTEM.iter().map(PathBuf::from).find(|path| path.exists())
}

/// Finds the addresses of a name; what fails is told on one line. A static executable must not ask glibc.
pub type Resolve = Arc<dyn Fn(String) -> Resolving + Send + Sync>;
pub type Resolving = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Http1,
    /// Known to be spoken: nothing is negotiated but by TLS.
    Http2,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Fetch {
    /// Without one only plain HTTP is spoken.
    tls: Option<tls::Client>,
    speech: Speech,
    resolve: Resolve,
    within: Duration,
    answer_bytes: usize,
}

pub struct Answer {
    pub status: StatusCode,
    /// Those at the end put among those at the beginning.
    pub headers: HeaderMap,
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
    /// `ca`: the authorities that may vouch for servers; without, the system's. `own`: what is shown to servers that ask.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn new(
        ca: Option<&Path>,
        own: Option<Files>,
        speech: Speech,
        resolve: Resolve,
    ) -> Result<Self, tls::Error> {
        let authorities = ca.map(Path::to_path_buf).or_else(system);
        let protocols: &[&[u8]] = match speech {
            Speech::Http1 => &[tls::HTTP1],
            Speech::Http2 => &[tls::HTTP2],
        };
        let client = |path| tls::Client::new(path, own, protocols);
        let tls = authorities.map(client).transpose()?;
        Ok(Self { tls, speech, resolve, within: WITHIN, answer_bytes: ANSWER_BYTES })
    }

    /// For longer answers than usual: how long one may take, and how many bytes it may have.
    #[must_use]
    pub fn with_limits(self, within: Duration, answer_bytes: usize) -> Self {
        Self { within, answer_bytes, ..self }
    }

    /// What follows the files, if there are any.
    pub fn tls(&self) -> Option<&tls::Client> {
        self.tls.as_ref()
    }

    /// # Errors
    /// Nobody answered, on one line.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let sent = tokio::time::timeout(self.within, self.exchange(request)).await;
        sent.map_err(|_| format!("no answer within {:?}", self.within))?
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
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(NAME));
        if self.speech == Speech::Http1 {
            self.address(&mut request, &uri).map_err(|error| text(&error))?;
        }
        if !secure {
            return self.speak(tcp, request).await.map_err(|error| text(&error));
        }
        let tls = self.tls.as_ref();
        let tls = tls.ok_or("the system names no authorities; give a file with them (ca)")?;
        let name = ServerName::try_from(host.clone()).map_err(|error| text(&error))?;
        let stream = TlsConnector::from(tls.config()).connect(name, tcp).await;
        let stream = stream.map_err(|error| text(&error))?;
        self.speak(stream, request).await.map_err(|error| text(&error))
    }

    /// HTTP/1.1 names the host in a header and only the path in its line.
    fn address(&self, request: &mut Request<Full<Bytes>>, uri: &Uri) -> Result<(), String> {
        let authority = uri.authority().map_or("", |it| it.as_str());
        let value = HeaderValue::from_str(authority).map_err(|error| error.to_string())?;
        request.headers_mut().insert(header::HOST, value);
        let path = uri.path_and_query().map_or("/", |it| it.as_str());
        *request.uri_mut() =
            path.parse().map_err(|error: axum::http::uri::InvalidUri| error.to_string())?;
        Ok(())
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let addresses = match host.parse() {
            Ok(ip) => vec![ip],
            Err(_) => {
                let found = (self.resolve)(host.to_owned()).await;
                found.map_err(|error| format!("{host}: {error}"))?
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

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Answer, String> {
        let failed = |error: hyper::Error| causes(&error);
        let most = self.answer_bytes;
        let stream = TokioIo::new(stream);
        match self.speech {
            Speech::Http1 => {
                let (mut sender, connection) = http1::handshake(stream).await.map_err(failed)?;
                beside(
                    connection,
                    async move { read(sender.send_request(request).await, most).await },
                )
                .await
            }
            Speech::Http2 => {
                *request.version_mut() = Version::HTTP_2;
                let handshake = http2::handshake(TokioExecutor::new(), stream).await;
                let (mut sender, connection) = handshake.map_err(failed)?;
                beside(
                    connection,
                    async move { read(sender.send_request(request).await, most).await },
                )
                .await
            }
        }
    }
}

async fn read(response: hyper::Result<Response<Incoming>>, most: usize) -> Result<Answer, String> {
    let (head, body) = response.map_err(|error| causes(&error))?.into_parts();
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(|error| causes(&*error))?;
    let mut headers = head.headers;
    headers.extend(body.trailers().cloned().unwrap_or_default());
    Ok(Answer { status: head.status, headers, body: body.to_bytes() })
}

/// Drives the connection until there is an answer.
async fn beside(
    connection: impl Future<Output = hyper::Result<()>>,
    exchange: impl Future<Output = Result<Answer, String>>,
) -> Result<Answer, String> {
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // It may have ended with the answer.
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(causes(&error)),
        },
    }
}

/// An error with what is below it, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text += &format!(": {error}");
        below = error.source();
    }
    text
}
