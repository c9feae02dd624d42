//! Many live connections, in as many processes as their descriptors need.

use anyhow::{Result, bail};

use super::lab::Lab;
use super::load::Request;
use super::worker::Worker;

/// Both ends of each connection are on this host: two sockets for the agent to follow. Dropping it closes them all.
pub struct Crowd<'a> {
    lab: &'a Lab,
    workers: Vec<(Worker<'a>, usize)>,
}

impl<'a> Crowd<'a> {
    pub fn new(lab: &'a Lab) -> Self {
        Self { lab, workers: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.workers.iter().map(|(_, connections)| connections).sum()
    }

    /// Opens connections until there are so many.
    pub fn grow(&mut self, connections: usize) -> Result<()> {
        while self.len() < connections {
            let mut worker = Worker::client(self.lab)?;
            let wanted = connections - self.len();
            let held = worker.run(&Request::Hold { connections: wanted })?.connections as usize;
            if held == 0 {
                bail!("no descriptors for connections: raise the limit (ulimit -n)");
            }
            self.workers.push((worker, held));
        }
        Ok(())
    }

    /// Sends something through each connection, one way.
    pub fn touch(&mut self) -> Result<()> {
        for (worker, _) in &mut self.workers {
            worker.run(&Request::Touch)?;
        }
        Ok(())
    }
}
