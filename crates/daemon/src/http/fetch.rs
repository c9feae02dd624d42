//! Requests of a daemon to others: one connection for each, everything with a limit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::dial::{Dial, Io, Resolve};
use crate::tls::{self, Files};

const WITHIN: Duration = Duration::from_secs(15);
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Http1,
    /// Known to be spoken: nothing is negotiated but by TLS.
    Http2,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Fetch {
    dial: Dial,
    speech: Speech,
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
        let dial = Dial { tls, resolve };
        Ok(Self { dial, speech, within: WITHIN, answer_bytes: ANSWER_BYTES })
    }

    /// For longer answers than usual: how long one may take, and how many bytes it may have.
    #[must_use]
    pub fn with_limits(self, within: Duration, answer_bytes: usize) -> Self {
        Self { within, answer_bytes, ..self }
    }

    /// What follows the files, if there are any.
    pub fn tls(&self) -> Option<&tls::Client> {
        self.dial.tls.as_ref()
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
        let stream = self.dial.connect(&host, port, secure).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let text = |error: &dyn std::fmt::Display| format!("{host}:{port}: {error}");
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(NAME));
        if self.speech == Speech::Http1 {
            self.address(&mut request, &uri).map_err(|error| text(&error))?;
        }
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

    async fn speak(
        &self,
        stream: Box<dyn Io>,
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
