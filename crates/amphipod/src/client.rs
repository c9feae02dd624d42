//! The API of an agent, over its unix socket, or of a hub, over the network.

mod hub;
mod peer;
mod records;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use model::status::Status;
use serde::de::DeserializeOwned;

pub use peer::Peer;
pub use records::{Item, Records};

/// Of an answer that is no stream: 20,000 nodes with their probes have less.
const MAX_BODY: usize = 64 << 20;

#[derive(clap::Args, Default)]
#[group(skip)]
#[command(next_help_heading = "Whom to ask")]
pub struct Args {
    /// Socket of this node's agent [default: /run/amphipod/agent.sock]
    #[arg(long, value_name = "PATH", conflicts_with = "hub")]
    socket: Option<PathBuf>,
    /// A hub, for the whole cluster: http://HOST:PORT, https://HOST:PORT [default: AMPHIPOD_HUB, if it is set]
    #[arg(long, value_name = "URL")]
    hub: Option<String>,
    /// File with the token that the hub wants to see [default: the token itself in AMPHIPOD_TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of the authorities that may vouch for the hub [default: those of the system]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

pub struct Client {
    peer: Peer,
}

impl Client {
    /// # Errors
    /// It is not said whom to ask, or not in a way that can be.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let variable = |name: &str| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
            Some(value.to_string_lossy().into_owned())
        };
        Ok(Self { peer: Peer::new(args, variable)? })
    }

    pub fn of_agent(socket: PathBuf) -> Self {
        Self { peer: Peer::Agent(socket) }
    }

    pub fn is_of_hub(&self) -> bool {
        matches!(self.peer, Peer::Hub(_))
    }

    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The status of an agent. `measure`: how long the kernel measures the programs' run time before the answer.
    pub async fn status(&self, measure: Duration) -> anyhow::Result<Status> {
        let measure = measure.as_millis().to_string();
        self.ask("status", [("measure_ms", measure.as_str())].into_iter()).await
    }

    /// What `/api/v1/WHAT` answers; `query` is encoded here.
    pub async fn ask<'a, T: DeserializeOwned>(
        &self,
        what: &str,
        query: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> anyhow::Result<T> {
        let body = self.get(what, query).await?.into_body();
        let whole = Limited::new(body, MAX_BODY).collect();
        let bytes = tokio::time::timeout(self.peer.patience(), whole)
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| anyhow!("{}: the {what} ended early ({error}); try again", self.peer))?
            .to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| {
            anyhow!(
                "{}: its {what} cannot be read ({error}); {}",
                self.peer,
                self.peer.is_it_right()
            )
        })
    }

    /// Streams records; `query` is in order, and encoded here.
    pub async fn records<'a>(
        &self,
        query: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> anyhow::Result<Records> {
        let response = self.get("records", query).await?;
        let kind = response.headers().get(header::CONTENT_TYPE);
        // A page of something else would be taken for a record that cannot be read.
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
            return Err(anyhow!(
                "{}: answers with a page and no records; {}",
                self.peer,
                self.peer.is_it_right()
            ));
        }
        Ok(Records::new(self.peer.to_string(), response.into_body()))
    }

    async fn get<'a>(
        &self,
        what: &str,
        query: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> anyhow::Result<Response<Incoming>> {
        let path = format!("{}/api/v1/{what}{}", self.peer.prefix(), records::encode(query));
        let answer = async {
            let stream = self.peer.connect().await?;
            let talk = async {
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                let mut request = Request::get(path)
                    .header(header::HOST, self.peer.host())
                    .header(header::USER_AGENT, concat!("amphipod/", env!("CARGO_PKG_VERSION")));
                if let Some(token) = self.peer.token() {
                    request = request.header(header::AUTHORIZATION, token);
                }
                let request = request.body(Empty::<Bytes>::new())?;
                Ok::<_, anyhow::Error>(sender.send_request(request).await?)
            };
            talk.await.map_err(|error| {
                let wrong = self.peer.is_it_right();
                anyhow!("{}: no answer ({error:#}); {wrong}", self.peer)
            })
        };
        let response = tokio::time::timeout(self.peer.patience(), answer)
            .await
            .map_err(|_| self.silent())??;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response).await);
        }
        Ok(response)
    }

    /// What is said of a request that is refused: problem details (RFC 9457), else the bare status.
    async fn refusal(&self, response: Response<Incoming>) -> anyhow::Error {
        let status = response.status();
        let location = response.headers().get(header::LOCATION).cloned();
        let body = Limited::new(response.into_body(), MAX_BODY).collect();
        let bytes = match tokio::time::timeout(self.peer.patience(), body).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::new(),
        };
        let problem: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let said = ["detail", "title"].iter().find_map(|key| problem.get(key)?.as_str());
        let location = location.as_ref().and_then(|it| it.to_str().ok());
        let why = self.peer.refusal(status, said, location);
        anyhow!("{}: {why}", self.peer)
    }

    fn silent(&self) -> anyhow::Error {
        anyhow!("{}: no answer within {} s; see its log", self.peer, self.peer.patience().as_secs())
    }
}

#[cfg(test)]
mod tests;
