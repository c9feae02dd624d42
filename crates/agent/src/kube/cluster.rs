//! Without a hub: this node's pods and all services, from the API server itself.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use model::Change;
use reflector::{Access, Allowed, Client, Event, Object, ObjectKey, Options, Patience, Resource};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::State;
use super::error::Remedy;
use super::feed::{Closed, Feed};
use super::pause::Pause;
use super::pods::{HASH, MAX_PODS, pod};
use crate::config::Metadata;

/// Events that wait for the pipeline; beyond, nothing is read from the API server.
const EVENTS: usize = 256;
const MAX_SERVICES: usize = 65_536;
/// Between two tries while the API server is out of reach: every node comes back.
const UNREACHABLE: Duration = Duration::from_secs(1);

/// Until cancelled.
pub async fn follow(node: Arc<str>, config: Metadata, feed: Feed, cancel: CancellationToken) {
    let mut pause = Pause::default();
    let access = Access { kubeconfig: config.kubeconfig, context: config.context };
    let followed = async {
        let client = loop {
            match Client::new(access.clone()).await {
                Ok(client) => break client,
                Err(error) => feed.lost(error.to_string()).await?,
            }
            tokio::time::sleep(pause.next(Remedy::Later)).await;
        };
        let server = client.server();
        feed.link.change(|facts| facts.peer = server);
        watch(&node, client, &feed).await
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        _ = followed => {}
    }
}

async fn watch(node: &str, client: Client, feed: &Feed) -> Result<(), Closed> {
    let (out, mut events) = mpsc::channel(EVENTS);
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let patience = Patience { unreachable: UNREACHABLE, ..Patience::default() };
    let services = Options { patience, ..Options::default() };
    let of_node = Options {
        selector: Some(format!("spec.nodeName={node}")),
        labels: Allowed::new([HASH]),
        ..services.clone()
    };
    for (resource, options) in [(Resource::Pods, of_node), (Resource::Services, services)] {
        let watch =
            reflector::watch(client.clone(), resource, options, out.clone(), cancel.clone());
        tokio::spawn(watch);
    }
    drop(out);
    let mut view = View::default();
    while let Some(event) = events.recv().await {
        view.take(event, &client, feed).await?;
    }
    Ok(())
}

/// What was told, to know what a new list leaves out, and a pod's uid by its name.
#[derive(Default)]
struct View {
    pods: Known,
    services: Known,
    synced: bool,
}

/// Namespace and name.
type Name = (Arc<str>, Arc<str>);

/// The objects of one resource by name, each with its uid and the list that told of it last.
#[derive(Default)]
struct Known {
    objects: HashMap<Name, (Arc<str>, u64)>,
    list: u64,
    listed: bool,
    failed: bool,
}

impl View {
    async fn take(&mut self, event: Event, client: &Client, feed: &Feed) -> Result<(), Closed> {
        match event {
            Event::Relisting(resource) => self.of(resource).list += 1,
            Event::Listed(resource) => {
                let known = self.of(resource);
                let list = known.list;
                (known.listed, known.failed) = (true, false);
                let gone = known.objects.extract_if(|_, (_, told)| *told != list);
                for ((namespace, name), (uid, _)) in gone.collect::<Vec<_>>() {
                    feed.send(ended(resource, namespace, name, uid)).await?;
                }
                self.settle(client, feed).await?;
            }
            Event::Applied(object) => {
                self.apply(object, feed).await?;
                self.settle(client, feed).await?;
            }
            Event::Deleted(ObjectKey { resource, namespace, name }) => {
                let key = (namespace, name);
                if let Some((uid, _)) = self.of(resource).objects.remove(&key) {
                    feed.send(ended(resource, key.0, key.1, uid)).await?;
                }
            }
            Event::Failed { resource, error } => {
                self.of(resource).failed = true;
                feed.lost(error.to_string()).await?;
            }
            Event::Resumed(resource) => {
                self.of(resource).failed = false;
                self.settle(client, feed).await?;
            }
        }
        Ok(())
    }

    async fn apply(&mut self, object: Object, feed: &Feed) -> Result<(), Closed> {
        let resource = object.resource();
        let (namespace, name, uid, change, limit) = match object {
            Object::Pod(pod) => (
                pod.namespace.clone(),
                pod.name.clone(),
                pod.uid.clone(),
                Change::Pod(self::pod(pod)),
                MAX_PODS,
            ),
            Object::Service(it) => (
                it.namespace.clone(),
                it.name.clone(),
                it.uid.clone(),
                Change::Service(service(it)),
                MAX_SERVICES,
            ),
            _ => return Ok(()),
        };
        let known = self.of(resource);
        known.failed = false;
        let key = (namespace.clone(), name.clone());
        if known.objects.len() >= limit && !known.objects.contains_key(&key) {
            feed.link.change(|facts| facts.malformed += 1);
            return Ok(());
        }
        let before = known.objects.insert(key, (uid.clone(), known.list));
        if let Some((before, _)) = before.filter(|(before, _)| *before != uid) {
            feed.send(ended(resource, namespace, name, before)).await?;
        }
        feed.send(change).await
    }

    /// Says that all is there, once it is.
    async fn settle(&mut self, client: &Client, feed: &Feed) -> Result<(), Closed> {
        let all = [&self.pods, &self.services];
        if !all.iter().all(|known| known.listed && !known.failed) {
            return Ok(());
        }
        if !std::mem::replace(&mut self.synced, true) {
            feed.send(Change::Synced).await?;
        }
        if feed.link.facts().state != State::Fresh {
            let server = client.server();
            feed.link.change(|facts| facts.peer = server);
            feed.fresh().await?;
        }
        Ok(())
    }

    fn of(&mut self, resource: Resource) -> &mut Known {
        if resource == Resource::Pods { &mut self.pods } else { &mut self.services }
    }
}

fn ended(resource: Resource, namespace: Arc<str>, name: Arc<str>, uid: Arc<str>) -> Change {
    match resource {
        Resource::Pods => Change::PodGone { uid },
        _ => Change::ServiceGone { namespace, name },
    }
}

fn service(service: reflector::Service) -> model::Service {
    let ips = service.cluster_ips.into_iter().chain(service.external_ips).collect();
    model::Service { namespace: service.namespace, name: service.name, ips }
}
