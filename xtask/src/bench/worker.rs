//! A process of [`load`](super::load), from this side.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sim::{Cgroup, Netns};

use super::child::Child;
use super::lab::Lab;
use super::load::{Counts, Reply, Request};

/// More than any request takes beyond the time that it asks for.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Worker<'a> {
    child: Child,
    lab: &'a Lab,
}

impl<'a> Worker<'a> {
    /// Starts a load's process; what it makes belongs to `cgroup` and `netns`.
    pub fn start(lab: &'a Lab, cgroup: &Cgroup, netns: &Netns, name: &str) -> Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let arguments = ["bench".to_owned(), super::LOAD.to_owned()];
        let log = lab.site.file(&format!("{name}.log"));
        let child = Child::start(program, &arguments, cgroup, Some(netns), log)?;
        Ok(Self { child, lab })
    }

    /// In the client's place.
    pub fn client(lab: &'a Lab) -> Result<Self> {
        Self::start(lab, &lab.site.client.cgroup, &lab.site.client.netns, "client")
    }

    /// In the server's place, across the link from the client.
    pub fn server(lab: &'a Lab) -> Result<Self> {
        Self::start(lab, &lab.site.server.cgroup, &lab.site.server.netns, "server")
    }

    /// In the server's cgroup, but beside the client: reached over loopback.
    pub fn neighbour(lab: &'a Lab) -> Result<Self> {
        Self::start(lab, &lab.site.server.cgroup, &lab.site.client.netns, "neighbour")
    }

    /// Sends a request; [`Self::counts`] or [`Self::addresses`] takes the reply.
    pub fn tell(&mut self, request: &Request) -> Result<()> {
        self.child.tell(&serde_json::to_string(request).context("request")?)
    }

    pub fn counts(&mut self) -> Result<Counts> {
        match self.reply()? {
            Reply::Counts(counts) => Ok(counts),
            other => bail!("a load answered {other:?}"),
        }
    }

    pub fn addresses(&mut self) -> Result<Vec<SocketAddr>> {
        match self.reply()? {
            Reply::Addresses(addresses) => Ok(addresses),
            other => bail!("a load answered {other:?}"),
        }
    }

    fn reply(&mut self) -> Result<Reply> {
        let line = self.child.line(&self.lab.interrupt, PATIENCE)?;
        let reply = serde_json::from_str(&line).with_context(|| format!("a load said {line}"))?;
        match reply {
            Reply::Failed(error) => bail!("load: {error}"),
            reply => Ok(reply),
        }
    }

    /// The request of a client, to its end.
    pub fn run(&mut self, request: &Request) -> Result<Counts> {
        self.tell(request)?;
        self.counts()
    }

    /// The request of a server: where it can be reached.
    pub fn listen(&mut self, request: &Request) -> Result<Vec<SocketAddr>> {
        self.tell(request)?;
        self.addresses()
    }

    /// What its servers have counted.
    pub fn count(&mut self) -> Result<Counts> {
        self.run(&Request::Count)
    }
}
