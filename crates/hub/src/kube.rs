//! From the API server to the inventory: one watch for each resource, however many agents there are.

use std::sync::Arc;
use std::time::Duration;

use reflector::{Access, Allowed, Client, Counters, Error, Event, Options, Resource};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Inventory;
use crate::config::Kube;

/// Events of one watch that may wait.
const EVENTS: usize = 64;
/// Events that are taken in one go: readers wait meanwhile.
const AT_ONCE: usize = 256;
/// Between two tries to read the configuration.
const PAUSE: Duration = Duration::from_secs(5);

/// What each watch has done so far.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    pub counters: [Arc<Counters>; Resource::ALL.len()],
}

impl Watches {
    /// With what the watches counted together.
    pub fn of(&self, resource: Resource) -> &Arc<Counters> {
        &self.counters[resource as usize]
    }

    pub fn options(&self, resource: Resource, config: &Kube) -> Options {
        Options {
            labels: Allowed::new(&config.labels),
            annotations: Allowed::new(&config.annotations),
            streamed: config.streamed,
            counters: self.of(resource).clone(),
            ..Options::default()
        }
    }
}

pub fn access(config: &Kube) -> Access {
    Access { kubeconfig: config.kubeconfig.clone(), context: config.context.clone() }
}

/// The API server's client, as soon as its configuration can be read; until then tells what is wrong.
pub async fn connect(config: &Kube) -> Client {
    loop {
        match Client::new(access(config)).await {
            Ok(client) => return client,
            Err(error) => tracing::warn!(%error, "cannot watch the cluster"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Keeps the inventory at the cluster's state until cancelled.
pub async fn follow(
    client: Client,
    config: Kube,
    inventory: Arc<Inventory>,
    watches: Watches,
    cancel: CancellationToken,
) {
    let (out, mut events) = mpsc::channel(EVENTS);
    // Also when this future is dropped.
    let _stop = cancel.child_token().drop_guard();
    for resource in Resource::ALL {
        let options = watches.options(resource, &config);
        let watch =
            reflector::watch(client.clone(), resource, options, out.clone(), cancel.clone());
        tokio::spawn(watch);
    }
    drop(out);
    let mut taken = Vec::with_capacity(AT_ONCE);
    let mut told = Told::default();
    while events.recv_many(&mut taken, AT_ONCE).await > 0 {
        taken.iter().for_each(|event| told.of(event));
        inventory.apply(taken.drain(..));
    }
}

/// What the log has said: each failure once, and its end.
#[derive(Default)]
struct Told {
    failed: [Option<String>; Resource::ALL.len()],
}

impl Told {
    fn of(&mut self, event: &Event) {
        match event {
            Event::Failed { resource, error } => self.failure(*resource, error),
            Event::Listed(resource) => {
                self.failed[*resource as usize] = None;
                tracing::info!(%resource, "listed");
            }
            Event::Applied(object) => self.recovery(object.resource()),
            Event::Deleted(key) => self.recovery(key.resource),
            Event::Resumed(resource) => self.recovery(*resource),
            Event::Relisting(_) => {}
        }
    }

    fn failure(&mut self, resource: Resource, error: &Error) {
        let told = &mut self.failed[resource as usize];
        let text = error.to_string();
        if told.as_ref() != Some(&text) {
            tracing::warn!(%resource, error = text, "the watch does not go on");
            *told = Some(text);
        }
    }

    fn recovery(&mut self, resource: Resource) {
        if self.failed[resource as usize].take().is_some() {
            tracing::info!(%resource, "the watch goes on");
        }
    }
}
