//! Without hub and API server: this node's pods, from its kubelet, which is asked again and again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use daemon::tls;
use hashbrown::{HashMap, HashSet};
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use model::Change;
use reflector::{Allowed, Listing, Object, Options, Resource};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::State;
use super::connection::Connector;
use super::error::{Error, Peer, causes};
use super::feed::{Closed, Feed};
use super::pause::Pause;
use super::pods::{HASH, MAX_PODS, pod};
use crate::config::Metadata;

/// For the whole of an answer, from the connection on.
const ANSWER: Duration = Duration::from_secs(30);

/// Until cancelled.
pub async fn follow(node: Arc<str>, config: Metadata, feed: Feed, cancel: CancellationToken) {
    tokio::select! {
        () = cancel.cancelled() => {}
        _ = ask(&node, &config, &feed) => {}
    }
}

async fn ask(node: &Arc<str>, config: &Metadata, feed: &Feed) -> Result<(), Closed> {
    let mut pause = Pause::default();
    let options = Options { labels: Allowed::new([HASH]), ..Options::default() };
    let mut connector = None;
    let mut view = View::default();
    loop {
        match told(&mut connector, config, feed, &options).await {
            Ok(told) => {
                pause.reset();
                view.take(told, node, feed).await?;
                sleep(config.kubelet_interval).await;
            }
            Err(error) => {
                feed.lost(error.to_string()).await?;
                sleep(pause.next(error.remedy()).min(config.kubelet_interval)).await;
            }
        }
    }
}

/// One answer.
struct Told {
    peer: Peer,
    pods: Vec<model::Pod>,
    /// Objects that were left out.
    malformed: u64,
}

async fn told(
    connector: &mut Option<Connector>,
    config: &Metadata,
    feed: &Feed,
    options: &Options,
) -> Result<Told, Error> {
    let connector = match connector {
        Some(connector) => connector,
        none => none.insert(Connector::new(config, &[tls::HTTP1], &feed.link)?),
    };
    let server = &config.kubelet;
    let mut failed = Error::Name { server: server.clone(), reason: "there is none".to_owned() };
    for address in connector.addresses(server).await? {
        let peer = Peer { server: server.clone(), address };
        match timeout(ANSWER, pods(connector, &peer, options)).await {
            Ok(Ok(told)) => return Ok(told),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = Error::Silent { peer, after: ANSWER },
        }
    }
    Err(failed)
}

async fn pods(connector: &Connector, peer: &Peer, options: &Options) -> Result<Told, Error> {
    let broken = |reason: String| Error::Broken { peer: peer.clone(), reason };
    let wrong = |reason: String| Error::Wrong { peer: peer.clone(), reason };
    let mut request = Request::get("/pods")
        .header(header::HOST, format!("{}:{}", peer.server.host, peer.server.port))
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("amphipod/", env!("CARGO_PKG_VERSION")));
    if let Some(value) = connector.authorization().await? {
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| wrong(error.to_string()))?;
    let stream = TokioIo::new(connector.open(peer).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(|error| broken(causes(&error)))?;
    let read = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| broken(causes(&error)))?;
        let status = response.status();
        if !status.is_success() {
            return Err(Error::Kubelet { peer: peer.clone(), status });
        }
        let mut listing = Listing::new(Resource::Pods, options);
        let mut told = Told { peer: peer.clone(), pods: Vec::new(), malformed: 0 };
        let before = options.counters.malformed.load(Ordering::Relaxed);
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(causes(&error)))?;
            let Ok(chunk) = frame.into_data() else { continue };
            let read = listing.read(chunk, |object| match object {
                Object::Pod(it) if told.pods.len() < MAX_PODS => told.pods.push(pod(it)),
                _ => told.malformed += 1,
            });
            read.map_err(|error| wrong(error.to_string()))?;
        }
        if !listing.complete() {
            return Err(broken("the answer is not complete".to_owned()));
        }
        told.malformed += options.counters.malformed.load(Ordering::Relaxed) - before;
        Ok(told)
    };
    // The connection ends with the answer: certificates and tokens are those of the moment.
    let drive = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        told = read => told,
        never = drive => never,
    }
}

/// What was told before.
#[derive(Default)]
struct View {
    pods: HashMap<Arc<str>, model::Pod>,
    synced: bool,
}

impl View {
    async fn take(&mut self, told: Told, node: &Arc<str>, feed: &Feed) -> Result<(), Closed> {
        let Told { peer, pods, malformed } = told;
        feed.link.change(|facts| facts.malformed += malformed);
        let mut present = HashSet::new();
        for mut pod in pods {
            // A static pod may not say where it runs.
            pod.node = node.clone();
            present.insert(pod.uid.clone());
            if self.pods.get(&pod.uid) != Some(&pod) {
                self.pods.insert(pod.uid.clone(), pod.clone());
                feed.send(Change::Pod(pod)).await?;
            }
        }
        // What was left out may be one that is known.
        if malformed == 0 {
            let gone = self.pods.extract_if(|uid, _| !present.contains(uid));
            for (uid, _) in gone.collect::<Vec<_>>() {
                feed.send(Change::PodGone { uid }).await?;
            }
        }
        if !std::mem::replace(&mut self.synced, true) {
            feed.link.change(|facts| facts.resyncs += 1);
            feed.send(Change::Synced).await?;
        }
        feed.link.change(|facts| facts.peer = peer.to_string());
        if feed.link.facts().state != State::Fresh { feed.fresh().await } else { Ok(()) }
    }
}
