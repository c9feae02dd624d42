//! One stream: says who this is, what it knows and what it wants, and takes in what comes.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use proto::wire::{Drain, Hello, Interest, ToAgent, ToHub, to_agent, to_hub};
use proto::{InventoryClient, ip_bytes};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::Follower;
use super::witness::{Cause, Witness};
use crate::kube::connection::{Connector, Stream};
use crate::kube::error::{Error, Peer, causes};
use crate::kube::feed::Closed;
use crate::kube::pause::jitter;
use crate::kube::wanted::{All, Told};
use crate::kube::{State, Wanted};
use crate::report::{self, Opened, Reporter};

/// Between two pings, and until one of them is missed: a hub that stands still is noticed within 20 s; one that is out of
/// reach, by its connection.
const PING: Duration = Duration::from_secs(10);
/// What may pass without a word until all has been told. Afterwards only what changes is told.
const ANSWER: Duration = Duration::from_secs(15);
/// What comes within this time of a wish is told together with it.
const GATHER: Duration = Duration::from_millis(10);
/// A message of the hub that is larger is not taken, also after decompression.
const MOST_BYTES: usize = 8 << 20;
/// What the hub may have sent ahead.
const WINDOW_BYTES: u32 = 1 << 20;
/// Messages to the hub that wait until it takes them.
const MESSAGES: usize = 8;
/// Of one message.
const MOST_ADDRESSES: usize = 1024;
/// Of the first message: what is beyond is told in those that follow.
const MOST_AT_FIRST: usize = 65_536;
/// However long the hub asks to wait.
const LONGEST_DRAIN: Duration = Duration::from_secs(60);

/// How a stream ended.
pub struct End {
    /// When all had been told; none if it never was.
    pub synced: Option<Instant>,
    /// Before this the hub does not want to be asked again.
    pub again: Option<Instant>,
    pub error: Error,
}

impl Follower {
    pub(super) async fn stream(
        &mut self,
        connector: &Connector,
        peer: &Peer,
    ) -> Result<End, Closed> {
        let mut end = End { synced: None, again: None, error: Error::Later { peer: peer.clone() } };
        let (opened, told, rest, messages) = match self.open(connector, peer).await {
            Ok(opened) => opened,
            Err(error) => return Ok(End { error, ..end }),
        };
        self.feed.link.change(|facts| {
            facts.peer = peer.to_string();
            facts.state = State::Syncing;
            facts.reconnects = self.streams;
        });
        self.streams += 1;
        let wanted = self.wanted.clone();
        let reporter = self.reporter.clone();
        let error = tokio::select! {
            error = self.listen(peer, messages, &mut end) => error?,
            () = tell(&wanted, rest, told) => Error::Later { peer: peer.clone() },
            _ = report(reporter, opened) => Error::Later { peer: peer.clone() },
        };
        Ok(End { error, ..end })
    }

    /// Also gives the addresses for which the first message had no room.
    async fn open(
        &mut self,
        connector: &Connector,
        peer: &Peer,
    ) -> Result<(Opened, mpsc::Sender<ToHub>, Vec<IpAddr>, Streaming<ToAgent>), Error> {
        let authorization = connector.authorization().await?;
        let cause = Cause::default();
        let stream = Witness { stream: connector.open(peer).await?, cause: cause.clone() };
        // TLS says better than HTTP/2 what broke it.
        let told = |error| match cause.get() {
            Some(reason) => Error::Tls { peer: peer.clone(), reason: reason.to_owned() },
            None => error,
        };
        let channel = channel(peer, stream).await.map_err(told)?;
        let opened = Opened { channel: channel.clone(), authorization };
        let mut client = InventoryClient::new(channel)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(MOST_BYTES);
        self.place.start();
        let (hello, rest) = self.hello();
        let (out, messages) = mpsc::channel(MESSAGES);
        // There is room: it is the first one.
        let _ = out.try_send(ToHub { kind: Some(to_hub::Kind::Hello(hello)) });
        let request = opened.request(ReceiverStream::new(messages));
        let request = request.map_err(|status| wrong(peer, &status))?;
        let response = timeout(ANSWER, client.follow(request)).await;
        let response = response.map_err(|_| silent(peer))?;
        let response = response.map_err(|status| told(failed(peer, &status)))?;
        Ok((opened, out, rest, response.into_inner()))
    }

    fn hello(&self) -> (Hello, Vec<IpAddr>) {
        let (epoch, sequence) = self.place.reached();
        let All { mut answered, mut others } = self.wanted.all();
        if sequence == 0 {
            others.append(&mut answered);
        }
        let rest = others.split_off(others.len().min(MOST_AT_FIRST.saturating_sub(answered.len())));
        let hello = Hello {
            node: self.node.to_string(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch,
            sequence,
            answered: answered.into_iter().map(ip_bytes).collect(),
            wanted: others.into_iter().map(ip_bytes).collect(),
            unpacks: true,
        };
        (hello, rest)
    }

    async fn listen(
        &mut self,
        peer: &Peer,
        mut messages: Streaming<ToAgent>,
        end: &mut End,
    ) -> Result<Error, Closed> {
        loop {
            let message = tokio::select! {
                message = messages.message() => message,
                () = until(end.again) => return Ok(Error::Later { peer: peer.clone() }),
                () = sleep(ANSWER), if end.synced.is_none() => return Ok(silent(peer)),
            };
            let kind = match message {
                Ok(Some(message)) => message.kind,
                Ok(None) => return Ok(broken(peer, "the hub ended it")),
                Err(status) => return Ok(failed(peer, &status)),
            };
            match kind {
                Some(to_agent::Kind::Batch(batch)) => {
                    match self.place.apply(batch, &self.feed, &self.wanted).await? {
                        Ok(true) => end.synced = end.synced.or(Some(Instant::now())),
                        Ok(false) => {}
                        Err(error) => return Ok(wrong(peer, &error)),
                    }
                }
                Some(to_agent::Kind::Drain(Drain { reconnect_after_ms })) => {
                    let asked = Duration::from_millis(reconnect_after_ms).min(LONGEST_DRAIN);
                    end.again = Some(Instant::now() + jitter(asked));
                }
                // Of a version to come.
                None => self.feed.link.change(|facts| facts.malformed += 1),
            }
        }
    }
}

/// Reports on the same connection, if that is to be, without end.
async fn report(reporter: Option<Arc<Reporter>>, opened: Opened) -> Infallible {
    match reporter {
        Some(reporter) => report::run(reporter, opened).await,
        None => pending().await,
    }
}

/// Tells what is wanted, without end.
async fn tell(wanted: &Wanted, rest: Vec<IpAddr>, out: mpsc::Sender<ToHub>) {
    let mut told = Told { drop: Vec::new(), add: rest };
    loop {
        for message in interest(&told) {
            if out.send(message).await.is_err() {
                // It is over; who listens will hear of it.
                return pending().await;
            }
        }
        wanted.changed().await;
        sleep(GATHER).await;
        told = wanted.news();
    }
}

/// What is dropped goes first, in messages of its own: an address may be dropped and added.
fn interest(told: &Told) -> impl Iterator<Item = ToHub> {
    let bytes = |ips: &[IpAddr]| ips.iter().copied().map(ip_bytes).collect();
    let drop = told.drop.chunks(MOST_ADDRESSES);
    let drop = drop.map(move |ips| Interest { add: Vec::new(), drop: bytes(ips) });
    let add = told.add.chunks(MOST_ADDRESSES);
    let add = add.map(move |ips| Interest { add: bytes(ips), drop: Vec::new() });
    drop.chain(add).map(|interest| ToHub { kind: Some(to_hub::Kind::Interest(interest)) })
}

/// HTTP/2 over what is connected already.
async fn channel(peer: &Peer, stream: impl Stream + 'static) -> Result<Channel, Error> {
    let parse = |text: String| text.parse::<Uri>().map_err(|error| wrong(peer, &error));
    let origin = parse(peer.server.to_string())?;
    // The scheme is for who connects, which is done.
    let endpoint = Endpoint::from(parse(format!("http://{}", peer.address))?)
        .origin(origin)
        .user_agent(concat!("amphipod/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| wrong(peer, &error))?
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    let mut stream = Some(stream);
    let once = tower::service_fn(move |_: Uri| {
        let stream = stream.take().map(TokioIo::new);
        async { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    let connected = endpoint.connect_with_connector(once).await;
    connected.map_err(|error| broken(peer, &causes(&error)))
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

fn silent(peer: &Peer) -> Error {
    Error::Silent { peer: peer.clone(), after: ANSWER }
}

fn broken(peer: &Peer, reason: &str) -> Error {
    Error::Broken { peer: peer.clone(), reason: reason.to_owned() }
}

fn wrong(peer: &Peer, error: &dyn std::error::Error) -> Error {
    Error::Wrong { peer: peer.clone(), reason: causes(error) }
}

fn failed(peer: &Peer, status: &Status) -> Error {
    let source = std::error::Error::source(status).map(causes);
    let reason = source.unwrap_or_else(|| format!("{}: {}", status.code(), status.message()));
    let peer = peer.clone();
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument => {
            Error::Refused { peer, reason }
        }
        Code::ResourceExhausted => Error::Busy { peer, reason },
        Code::Unimplemented | Code::OutOfRange => Error::Wrong { peer, reason },
        _ => Error::Broken { peer, reason },
    }
}
