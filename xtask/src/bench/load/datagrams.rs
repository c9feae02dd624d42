//! Small datagrams, as many as possible: the most that a cost per packet can be asked for.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Counts, Pace, Totals, add};

/// Payload bytes.
pub const SIZE: usize = 64;
/// Datagrams between two looks at the clock.
const BURST: u64 = 64;
/// Holds what comes while the receiver does not run.
const BUFFER: usize = 8 << 20;

pub fn receive(address: Ipv4Addr, totals: &Arc<Totals>) -> Result<Vec<SocketAddr>> {
    let socket = UdpSocket::bind((address, 0)).context("bind")?;
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER)
        .context("receive buffer")?;
    let at = socket.local_addr().context("bind")?;
    let totals = totals.clone();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok(size) = socket.recv(&mut buffer) {
            add(&totals.datagrams, 1);
            add(&totals.bytes_received, size as u64);
        }
    });
    Ok(vec![at])
}

pub fn send(
    target: SocketAddr,
    sockets: usize,
    seconds: f64,
    per_second: Option<f64>,
) -> Result<Counts> {
    let sockets = (0..sockets)
        .map(|_| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(target)?;
            Ok(socket)
        })
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(|| format!("connect to {target}"))?;
    let (begin, length) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut pace = Pace::new(per_second.map(|rate| rate / BURST as f64));
    let mut counts = Counts::default();
    let mut turn = sockets.iter().cycle();
    while begin.elapsed() < length {
        pace.wait();
        for socket in turn.by_ref().take(BURST as usize) {
            match socket.send(&[b'.'; SIZE]) {
                Ok(size) => {
                    counts.datagrams += 1;
                    counts.bytes_sent += size as u64;
                }
                Err(_) => counts.failed += 1,
            }
        }
    }
    counts.seconds = begin.elapsed().as_secs_f64();
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_is_sent_slowly_arrives() {
        let totals = Arc::new(Totals::default());
        let target = receive(Ipv4Addr::LOCALHOST, &totals).unwrap()[0];
        let sent = send(target, 3, 0.05, Some(10_000.0)).unwrap();
        assert!(sent.datagrams > 0 && sent.failed == 0, "{sent:?}");
        assert_eq!(sent.bytes_sent, sent.datagrams * SIZE as u64);
        while totals.datagrams.load(Ordering::Relaxed) < sent.datagrams {
            thread::yield_now();
        }
    }
}
