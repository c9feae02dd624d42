//! Metrics that are sent where others are kept: by OTLP, and by Prometheus' remote write. They are those of `/metrics`.
//!
//! Each way has one task. It puts what is measured into parcels at its interval and sends them one after the other, in order.
//! What waits is bounded in bytes; what makes room, and what the other side refuses, is counted.

mod answer;
mod config;
mod facts;
mod otlp;
mod parcel;
mod queue;
mod remote_write;
mod request;
mod sender;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

pub use config::{Config, Otlp, RemoteWrite};
pub use facts::Facts;

use crate::http::Resolve;
use crate::metrics::View;
use crate::{Backoff, Policy, Supervisor, tls};
use config::Target;
use facts::Ledger;
use sender::Sender;

/// Whose metrics they are.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `amphipod-agent` or `amphipod-hub`: OTLP's `service.name`, Prometheus' `job`.
    pub service: &'static str,
    /// Which of them: OTLP's `service.instance.id`, Prometheus' `instance`.
    pub instance: String,
    pub version: &'static str,
    /// More of OTLP's attributes of the resource, such as `k8s.node.name`.
    pub attributes: Vec<(&'static str, String)>,
}

/// All ways on which metrics are sent, if there are any.
#[derive(Default)]
pub struct Exports {
    ways: Vec<Way>,
}

#[derive(Clone)]
struct Way {
    target: Arc<Target>,
    ledger: Arc<Ledger>,
    fetch: crate::http::Fetch,
}

impl Exports {
    /// # Errors
    /// A file with certificates cannot be used.
    pub fn new(config: &Config, resolve: &Resolve) -> Result<Self, tls::Error> {
        let way = |target: &Target| {
            Ok(Way {
                fetch: target.fetch(resolve.clone())?,
                ledger: Arc::new(Ledger::new(target.queue_bytes)),
                target: Arc::new(target.clone()),
            })
        };
        let ways = config.targets().map(way).collect::<Result<_, _>>()?;
        Ok(Self { ways })
    }

    /// How each fares, for `/metrics` and status.
    pub fn facts(&self) -> Vec<Facts> {
        self.ways.iter().map(|it| it.ledger.facts(&it.target)).collect()
    }

    /// Sends what `collect` gives until the supervisor stops, and once more then.
    pub fn start<V: View>(
        &self,
        supervisor: &mut Supervisor,
        origin: &Origin,
        collect: impl Fn() -> V + Send + Sync + 'static,
    ) {
        let (collect, since) = (Arc::new(collect), SystemTime::now());
        for way in self.ways.iter().cloned() {
            let again = Policy::Restart(Backoff::default());
            if let Some(tls) = way.fetch.tls() {
                let tls = Arc::clone(tls);
                supervisor.task("export certificates", again, move |cancel| {
                    let tls = tls.clone();
                    async move {
                        tls.watch(cancel).await;
                        Ok::<_, Infallible>(())
                    }
                });
            }
            let (origin, collect) = (Arc::new(origin.clone()), collect.clone());
            supervisor.task(way.target.protocol.name(), again, move |cancel| {
                let sender = Sender::new(way.clone(), origin.clone(), collect.clone(), since);
                async move {
                    sender.run(cancel).await;
                    Ok::<_, Infallible>(())
                }
            });
        }
    }
}
