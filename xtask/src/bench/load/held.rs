//! Many live connections, both ends of each in this process, over loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};

use super::Counts;

/// Connections to one port: fewer than there are ports to come from.
const PER_LISTENER: usize = 20_000;
/// Descriptors for everything else: listeners, pipes.
const SPARE_FILES: u64 = 200;
const MESSAGE: [u8; 100] = [b'.'; 100];

#[derive(Default)]
pub struct Held {
    listeners: Vec<TcpListener>,
    pairs: Vec<(TcpStream, TcpStream)>,
}

impl Held {
    /// Opens connections until there are so many, or as many as this process may have descriptors for.
    pub fn grow(&mut self, connections: usize) -> Result<Counts> {
        let begin = Instant::now();
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(files.saturating_sub(SPARE_FILES) / 2).unwrap_or(usize::MAX);
        while self.pairs.len() < connections.min(most) {
            let number = self.pairs.len();
            self.open().with_context(|| format!("connection {number}"))?;
        }
        Ok(self.counts(begin, 0))
    }

    /// One after the other, so that the connection that is accepted is the one that was opened.
    fn open(&mut self) -> std::io::Result<()> {
        let at = self.pairs.len() / PER_LISTENER;
        if self.listeners.len() <= at {
            self.listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
        }
        let near = TcpStream::connect(self.listeners[at].local_addr()?)?;
        let (far, _) = self.listeners[at].accept()?;
        self.pairs.push((near, far));
        Ok(())
    }

    pub fn touch(&mut self) -> Result<Counts> {
        let begin = Instant::now();
        let mut message = MESSAGE;
        for (near, far) in &mut self.pairs {
            near.write_all(&MESSAGE)
                .and_then(|()| far.read_exact(&mut message))
                .context("touch")?;
        }
        Ok(self.counts(begin, (self.pairs.len() * MESSAGE.len()) as u64))
    }

    fn counts(&self, begin: Instant, bytes: u64) -> Counts {
        Counts {
            connections: self.pairs.len() as u64,
            bytes_sent: bytes,
            bytes_received: bytes,
            seconds: begin.elapsed().as_secs_f64(),
            ..Counts::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_stay_open() {
        let mut held = Held::default();
        assert_eq!(held.grow(3).unwrap().connections, 3);
        assert_eq!(held.grow(5).unwrap().connections, 5);
        assert_eq!(held.touch().unwrap().bytes_sent, 500);
    }
}
