//! The agent's API over its unix socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::line::Line;
use model::status::{Lost, Status};
use tokio::net::UnixStream;

/// Until the answer begins.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of an answer that is no stream.
const MAX_BODY: usize = 16 << 20;
/// Of one record; real ones have less than 4 KiB.
const MAX_LINE: usize = 1 << 20;

#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// Socket of the agent
    #[arg(long, value_name = "PATH", default_value = ::agent::Config::SOCKET)]
    pub socket: PathBuf,
}

pub struct Client {
    socket: PathBuf,
}

impl Client {
    pub fn new(args: Args) -> Self {
        Self { socket: args.socket }
    }

    /// `measure`: how long the kernel measures the programs' run time before the answer.
    pub async fn status(&self, measure: Duration) -> anyhow::Result<Status> {
        let path = format!("/api/v1/status?measure_ms={}", measure.as_millis());
        let body = self.get(&path).await?.into_body();
        let whole = Limited::new(body, MAX_BODY).collect();
        let bytes = tokio::time::timeout(PATIENCE, whole)
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| {
                anyhow!("agent at {}: the status ended early ({error}); try again", self.name())
            })?
            .to_bytes();
        serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "agent at {}: its status cannot be read; use an amphipod of the agent's version",
                self.name()
            )
        })
    }

    /// Streams records; `query` is in order, and encoded here.
    pub async fn records<'a>(
        &self,
        query: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> anyhow::Result<Records> {
        let body = self.get(&format!("/api/v1/records{}", encode(query))).await?.into_body();
        Ok(Records { socket: self.socket.clone(), body, buffer: BytesMut::new(), searched: 0 })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| unreachable(&self.socket, &error))?;
        let answer = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let request = Request::get(path)
                .header("host", "agent")
                .header("user-agent", concat!("amphipod/", env!("CARGO_PKG_VERSION")))
                .body(Empty::<Bytes>::new())
                .context("request")?;
            Ok::<_, anyhow::Error>(sender.send_request(request).await?)
        };
        let response = tokio::time::timeout(PATIENCE, answer)
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| {
                anyhow!(
                    "agent at {}: no answer ({error:#}); is this the socket of an agent?",
                    self.name()
                )
            })?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response).await);
        }
        Ok(response)
    }

    /// What the agent says of a request that it refuses: problem details (RFC 9457), else the bare status.
    async fn refusal(&self, response: Response<Incoming>) -> anyhow::Error {
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY).collect();
        let bytes = match tokio::time::timeout(PATIENCE, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::new(),
        };
        let problem: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let said = ["detail", "title"].iter().find_map(|key| problem.get(key)?.as_str());
        match said {
            Some(said) => anyhow!("agent at {}: {said}", self.name()),
            None => anyhow!(
                "agent at {}: refused with {status}; use an amphipod of the agent's version",
                self.name()
            ),
        }
    }

    fn silent(&self) -> anyhow::Error {
        anyhow!("agent at {}: no answer within {} s; see its log", self.name(), PATIENCE.as_secs())
    }

    fn name(&self) -> std::path::Display<'_> {
        self.socket.display()
    }
}

fn unreachable(socket: &Path, error: &std::io::Error) -> anyhow::Error {
    let name = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            anyhow!("no agent at {name}; start one: amphipod agent, or name its socket: --socket")
        }
        ErrorKind::PermissionDenied => {
            anyhow!(
                "agent at {name}: permission denied; run as root, or as a member of the socket's group"
            )
        }
        _ => anyhow!("agent at {name}: {error}; name a socket: --socket"),
    }
}

/// What comes on a stream of records.
#[derive(Debug, PartialEq)]
pub enum Item {
    Record(Box<Line>),
    /// So many are missing here, because this reader was too slow.
    Lost(u64),
}

impl Item {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        // No record is so short, and few lines are no records.
        if text.len() < 64
            && let Ok(Lost { lost }) = serde_json::from_str(text)
        {
            return Ok(Self::Lost(lost));
        }
        let line = serde_json::from_str(text).with_context(|| {
            format!("record {text:.80}: cannot be read; use an amphipod of the agent's version")
        })?;
        Ok(Self::Record(Box::new(line)))
    }
}

/// A stream of records, as lines of JSON.
pub struct Records {
    socket: PathBuf,
    body: Incoming,
    buffer: BytesMut,
    /// So much of the buffer has no line feed.
    searched: usize,
}

impl Records {
    /// The next line without its line feed; `None` when the agent ends the stream. Safe to cancel.
    pub async fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(Some(line));
            }
            if self.buffer.len() > MAX_LINE {
                bail!(
                    "agent at {}: a record of more than {MAX_LINE} bytes; is this an agent?",
                    self.socket.display()
                );
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => bail!(
                    "agent at {}: gone in the middle of the stream ({error}); it was stopped or killed: see its log",
                    self.socket.display()
                ),
                None => return Ok(None),
            }
        }
    }

    /// The next line, if it has already arrived.
    pub fn buffered(&mut self) -> Option<String> {
        match self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
            Some(offset) => {
                let line = self.buffer.split_to(self.searched + offset);
                self.buffer.advance(1);
                self.searched = 0;
                Some(String::from_utf8_lossy(&line).into_owned())
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }
}

/// `?key=value&...`, percent-encoded; empty for no pairs.
fn encode<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    use std::fmt::Write;
    let mut query = String::new();
    for (key, value) in pairs {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(key);
        query.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/:,".contains(&byte) {
                query.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(query, "%{byte:02X}");
            }
        }
    }
    query
}

#[cfg(test)]
mod tests;
