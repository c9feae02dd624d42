//! The simulated cluster as a whole: one node full of pods that come and go, and the feed that tells of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use model::{Change, Pod};

use crate::feed::{Feed, Lag, QUEUE};
use crate::kubelet::Kubelet;
use crate::workload::FRONTEND_NUMBER;
use crate::{Error, Node};

#[derive(Clone, Debug)]
pub struct Config {
    /// The binary that carries the shop's programs.
    pub program: PathBuf,
    /// What stands before the role on its command line.
    pub arguments: Vec<String>,
    /// Name of the node.
    pub node: String,
    pub zone: String,
    /// Requests per second at the front end.
    pub rate: f64,
    /// Whether pods come and go after the start. Crashing ones crash in any case.
    pub churn: bool,
    /// How late the feed is.
    pub lag: Lag,
}

/// Dropping it ends all its processes and removes whatever it made.
#[derive(Debug)]
pub struct Cluster {
    node: Node,
    pods: Arc<Mutex<Vec<Pod>>>,
    /// Dropping it is the signal.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How often the cluster looks at its processes and its plans.
const TICK: Duration = Duration::from_millis(20);

impl Cluster {
    /// Starts all pods; returns when their processes run. The changes must be received, or the cluster stands still.
    pub fn start(config: Config) -> Result<(Self, Receiver<Change>), Error> {
        let node = Node::start()?;
        let pods = Arc::new(Mutex::new(Vec::new()));
        let (out, changes) = sync_channel(QUEUE);
        let (stop, stopped) = sync_channel(0);
        let (ready, started) = sync_channel(1);
        let feed = Feed::new(out, config.lag);
        let mut kubelet = Kubelet::new(node.clone(), config, feed, Arc::clone(&pods));
        // One thread starts every process, and lives as long as they may: they ask the kernel to be killed when
        // the thread that started them ends.
        let thread = thread::Builder::new()
            .name("kubelet".to_owned())
            .spawn(move || {
                let launched = kubelet.launch();
                let runs = launched.is_ok();
                let _ = ready.send(launched);
                while runs && stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    kubelet.tick(Instant::now());
                }
                kubelet.end();
            })
            .map_err(|source| Error::Thread { name: "kubelet", source })?;
        let cluster = Self { node, pods, stop: Some(stop), thread: Some(thread) };
        match started.recv() {
            Ok(launched) => launched.map(|()| (cluster, changes)),
            Err(_) => Err(Error::Cluster("its thread ended; see the log".to_owned())),
        }
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The shop's front end, as this host reaches it.
    pub fn frontend(&self) -> SocketAddr {
        (self.node.plan().service_v4(FRONTEND_NUMBER), 8080).into()
    }

    /// The pods that exist now, whether or not the feed has told of them.
    pub fn pods(&self) -> Vec<Pod> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it, and waits until everything is gone.
    pub fn stop(self) {}
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the simulated cluster's thread panicked");
        }
    }
}
