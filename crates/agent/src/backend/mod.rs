//! Which backend a service's address stood for, asked of the kernel's connection tracking: once for each connection to
//! a service, in the host's network namespace, where kube-proxy translates.
//!
//! The pipeline's directory writes [`Question`]s and is told [`Answer`]s; a thread of its own asks the kernel through
//! [`Conntrack`], as many at once as there are. Nobody waits for it: a question that finds no room is given back.

mod desk;
mod kernel;
mod message;
mod unavailable;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use daemon::{Backoff, Policy, Supervisor};
use model::{Observation, Protocol};

use crate::Error;

pub use desk::Desk;
pub use kernel::Kernel;
pub use unavailable::Unavailable;

/// Who called which address of a service: the connection before it was translated. IPv4-mapped addresses as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dial {
    pub client: SocketAddr,
    pub service: SocketAddr,
    pub protocol: Protocol,
}

impl Dial {
    /// `None` where there are no ports to tell connections apart.
    pub fn new(observation: &Observation) -> Option<Self> {
        let Observation { protocol, local, remote, .. } = observation;
        let plain = |end: &SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        let (client, service) = (plain(local), plain(remote));
        let ports = matches!(*protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP)
            && client.port() != 0
            && service.port() != 0;
        let family = client.is_ipv4() == service.is_ipv4();
        (ports && family).then_some(Self { client, service, protocol: *protocol })
    }
}

/// The connection after it was translated: its ends as the backend sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub backend: SocketAddr,
    /// Another address than the client's own where it was translated, too.
    pub client: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub number: u64,
    pub dial: Dial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of the question.
    pub number: u64,
    pub dial: Dial,
    pub finding: Finding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Found(Choice),
    /// The kernel knows no such connection, or did not translate it.
    None,
    /// The kernel cannot be asked.
    Unavailable,
    /// Too many questions were waiting.
    NoRoom,
}

/// What knows where connections went.
pub trait Conntrack: Send {
    /// Adds to `found` one entry for each of `dials`, in their order, unless it fails.
    fn look_up(
        &mut self,
        dials: &[Dial],
        found: &mut Vec<Option<Choice>>,
    ) -> Result<(), Unavailable>;
}

/// Why the kernel could not be asked; empty while it can, or was not asked yet.
#[derive(Debug, Default)]
pub struct Obstacle(Mutex<String>);

impl Obstacle {
    pub fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// Starts the thread that asks the kernel. It ends with the desk.
pub fn start(
    supervisor: &mut Supervisor,
    proc_root: PathBuf,
    obstacle: std::sync::Arc<Obstacle>,
) -> Result<Desk, Error> {
    let (desk, clerk) = desk::open();
    let mut kernel = Kernel::of_host(proc_root);
    supervisor.thread("backends", Policy::Restart(Backoff::default()), move |_| {
        clerk.serve(&mut kernel, &obstacle);
        Ok::<_, std::convert::Infallible>(())
    })?;
    Ok(desk)
}
