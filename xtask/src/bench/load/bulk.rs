//! One TCP connection, filled.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Counts, Totals, add};

const CHUNK: usize = 128 << 10;

pub fn sink(address: Ipv4Addr, totals: &Arc<Totals>) -> Result<Vec<SocketAddr>> {
    let listener = TcpListener::bind((address, 0)).context("listen")?;
    let at = listener.local_addr().context("listen")?;
    let totals = totals.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            add(&totals.connections, 1);
            let mut buffer = vec![0; 2 * CHUNK];
            while let Ok(size) = stream.read(&mut buffer) {
                if size == 0 {
                    break;
                }
                add(&totals.bytes_received, size as u64);
            }
        }
    });
    Ok(vec![at])
}

pub fn flood(target: SocketAddr, seconds: f64) -> Result<Counts> {
    let mut stream = TcpStream::connect(target).with_context(|| format!("connect to {target}"))?;
    let (begin, length) = (Instant::now(), Duration::from_secs_f64(seconds));
    let chunk = vec![0; CHUNK];
    let mut counts = Counts { connections: 1, ..Counts::default() };
    while begin.elapsed() < length {
        stream.write_all(&chunk).context("send")?;
        counts.bytes_sent += CHUNK as u64;
    }
    counts.seconds = begin.elapsed().as_secs_f64();
    Ok(counts)
}
