//! Short TCP connections, one after the other: the most that a host's bookkeeping can be asked for.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Counts, Pace, Totals, add, first};

/// What the client sends and gets; different, so that a mix-up would show.
const QUESTION: [u8; 100] = [b'?'; 100];
const ANSWER: [u8; 300] = [b'!'; 300];
/// A connection that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// One thread per listener: with as many clients, nobody waits for a turn.
pub fn serve(address: Ipv4Addr, listeners: usize, totals: &Arc<Totals>) -> Result<Vec<SocketAddr>> {
    (0..listeners)
        .map(|_| {
            let listener = TcpListener::bind((address, 0)).context("listen")?;
            // std's backlog of 128 would turn away clients that are only unlucky.
            rustix::net::listen(&listener, 4096).context("listen")?;
            let at = listener.local_addr().context("listen")?;
            let totals = totals.clone();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    match stream.and_then(|stream| answer(stream, &totals)) {
                        Ok(()) => add(&totals.connections, 1),
                        Err(_) => add(&totals.failed, 1),
                    }
                }
            });
            Ok(at)
        })
        .collect()
}

/// Closes first, so that the client's ports are free at once.
fn answer(mut stream: TcpStream, totals: &Totals) -> std::io::Result<()> {
    let mut question = QUESTION;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.read_exact(&mut question)?;
    add(&totals.bytes_received, question.len() as u64);
    stream.write_all(&ANSWER)?;
    add(&totals.bytes_sent, ANSWER.len() as u64);
    Ok(())
}

pub fn connect(
    targets: &[SocketAddr],
    threads: usize,
    seconds: f64,
    per_second: Option<f64>,
) -> Result<Counts> {
    first(targets)?;
    let totals = Totals::default();
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let share = per_second.map(|rate| rate / threads as f64);
    thread::scope(|scope| {
        for (_, target) in (0..threads).zip(targets.iter().cycle()) {
            let totals = &totals;
            scope.spawn(move || {
                let mut pace = Pace::new(share);
                while Instant::now() < end {
                    pace.wait();
                    match ask(*target, totals) {
                        Ok(()) => totals.connections.fetch_add(1, Ordering::Relaxed),
                        Err(_) => totals.failed.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
    });
    Ok(totals.counts(begin.elapsed().as_secs_f64()))
}

fn ask(target: SocketAddr, totals: &Totals) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(target)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&QUESTION)?;
    add(&totals.bytes_sent, QUESTION.len() as u64);
    let mut answer = ANSWER;
    stream.read_exact(&mut answer)?;
    add(&totals.bytes_received, answer.len() as u64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_count_the_same() {
        let served = Arc::new(Totals::default());
        let targets = serve(Ipv4Addr::LOCALHOST, 2, &served).unwrap();
        let asked = connect(&targets, 2, 0.05, None).unwrap();
        assert!(asked.connections > 0 && asked.failed == 0, "{asked:?}");
        // The server counts its last connections after the client has its answers.
        while served.connections.load(Ordering::Relaxed) < asked.connections {
            thread::yield_now();
        }
        let served = served.counts(asked.seconds);
        assert_eq!(served.connections, asked.connections);
        assert_eq!(served.bytes_received, asked.bytes_sent);
        assert_eq!(served.bytes_sent, asked.bytes_received);
    }

    #[test]
    fn a_pace_is_kept() {
        let served = Arc::new(Totals::default());
        let targets = serve(Ipv4Addr::LOCALHOST, 1, &served).unwrap();
        let asked = connect(&targets, 1, 0.2, Some(100.0)).unwrap();
        assert!((15..=22).contains(&asked.connections), "{asked:?}");
    }
}
