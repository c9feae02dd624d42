//! `amphipod demo`: a shop of real processes in pods on this host, an API server that knows them, a hub and an agent.

mod control_plane;
mod first;
mod guide;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::agent::export::LocalSocket;
use ::agent::{App, Config};
use anyhow::Context;
use clap::builder::RangedI64ValueParser;
use sim::{Cluster, Lag};
use tokio_util::sync::CancellationToken;

use crate::agent::stop_on_signal;
use crate::failure::Usage;
use crate::output;
use control_plane::ControlPlane;

const ZONE: &str = "zone-a";
/// Where Hubble's clients look without being told.
const HUBBLE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4245);
/// Requests per second beyond which the shop, and not its observer, would be tested.
const MAX_LOAD: f64 = 10_000.0;
/// A year.
const MAX_SECONDS: i64 = 366 * 86_400;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  amphipod demo                                            until Ctrl-C
  amphipod demo --seconds 60 --load 200                    a busy minute")]
pub struct Args {
    /// Serve the hub's pages and API here
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7171")]
    listen: SocketAddr,
    /// Serve Cilium's Hubble clients here [default: 127.0.0.1:4245; another port if that is taken]
    #[arg(long, value_name = "ADDRESS:PORT")]
    hubble: Option<SocketAddr>,
    /// Serve the local command line here [default: /run/amphipod/agent.sock; another if an agent has that]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// End by itself after so many seconds [default: at Ctrl-C]
    #[arg(long, value_name = "N", value_parser = RangedI64ValueParser::<u64>::new().range(1..=MAX_SECONDS), allow_negative_numbers = true)]
    seconds: Option<u64>,
    /// Requests per second at the shop's front end
    #[arg(long, value_name = "RATE", default_value = "20", value_parser = rate, allow_negative_numbers = true)]
    load: f64,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let start = Instant::now();
    // From here on a signal ends it in order.
    let cancel = CancellationToken::new();
    stop_on_signal(cancel.clone())?;
    probes::check()?;
    let mut config = Config::load(None)?;
    config.listen = Some(control_plane::LOOPBACK);

    let (cluster, changes) = Cluster::start(sim::Config {
        // Not the file's name: the file may be replaced while the demo runs.
        program: PathBuf::from(format!("/proc/{}/exe", std::process::id())),
        arguments: vec!["shop".to_owned()],
        node: config.node.to_string(),
        zone: ZONE.to_owned(),
        rate: args.load,
        churn: true,
        lag: Lag::default(),
    })?;
    config.socket = match args.socket {
        Some(socket) if socket.is_absolute() => socket,
        Some(socket) => {
            let socket = socket.display();
            return Err(Usage(format!("--socket {socket}: expected an absolute path")).into());
        }
        None => free_socket(cluster.node().instance().place()),
    };
    config.cgroup = subtree(&cluster)?;
    let socket = config.socket.clone();
    let directory = cluster.node().instance().directory();
    let hubble = args.hubble.unwrap_or_else(|| free(HUBBLE));
    let control_plane = ControlPlane::start(changes, &directory, args.listen, hubble)?;
    control_plane.tell(&mut config.metadata);
    let app = App::start(config, None)?;
    let agent = app.address().context("the agent listens nowhere")?;
    output::print(&guide::text(&cluster, &control_plane, agent, &socket))?;

    let watch = first::watch(socket, start, cancel.clone())?;
    let timer = args.seconds.map(|seconds| Timer::start(seconds, cancel.clone())).transpose()?;
    let ended = app.run_until(cancel.clone());
    // It may have ended for a reason of its own.
    cancel.cancel();
    drop(timer);
    cluster.stop();
    let _ = watch.join();
    ended?;
    control_plane.stop()
}

/// The cluster's part of the hierarchy: pods of another demo, or of a real kubelet, are not its agent's.
fn subtree(cluster: &Cluster) -> anyhow::Result<String> {
    let cgroup = cluster.node().instance().cgroup();
    let mount = sim::cgroup_mount()?;
    let below = cgroup.strip_prefix(&mount).with_context(|| {
        format!("cgroup {}: expected it below {}", cgroup.display(), mount.display())
    })?;
    Ok(format!("/{}", below.display()))
}

/// The usual socket, or one of the demo's own if an agent has that.
fn free_socket(place: u16) -> PathBuf {
    match LocalSocket::lock(Path::new(Config::SOCKET)) {
        Err(::agent::Error::Running { .. }) => {
            PathBuf::from(format!("/run/amphipod/demo-{place}.sock"))
        }
        // Any other fault is told by the agent when it starts.
        _ => PathBuf::from(Config::SOCKET),
    }
}

/// This address, or another port of its.
fn free(usual: SocketAddr) -> SocketAddr {
    match std::net::TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::new(usual.ip(), 0),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= MAX_LOAD => Ok(rate),
        _ => Err(format!("requests per second, more than 0 and at most {MAX_LOAD}")),
    }
}

/// Cancels when its time is up. Dropping it stops it.
struct Timer {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Timer {
    fn start(seconds: u64, cancel: CancellationToken) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::sync_channel(0);
        let time = Duration::from_secs(seconds);
        let thread = thread::Builder::new()
            .name("timer".to_owned())
            .spawn(move || {
                if stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                    cancel.cancel();
                }
            })
            .context("cannot start a timer")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_positive_number() {
        let check = |text, expected: Option<f64>| assert_eq!(rate(text).ok(), expected, "{text}");
        check("20", Some(20.0));
        check("0.5", Some(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "1e9", "many", ""] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_port_that_is_taken_is_left_alone() {
        let taken = std::net::TcpListener::bind(control_plane::LOOPBACK).unwrap();
        assert_eq!(free(taken.local_addr().unwrap()).port(), 0);
    }

    #[test]
    fn a_timer_cancels_in_time_or_not_at_all() {
        let cancel = CancellationToken::new();
        drop(Timer::start(3600, cancel.clone()).unwrap());
        assert!(!cancel.is_cancelled());
        let timer = Timer::start(0, cancel.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(cancel.cancelled());
        drop(timer);
    }
}
