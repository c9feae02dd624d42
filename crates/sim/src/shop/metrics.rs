//! Those who measure: counters over UDP, and scrapes over HTTP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::http::{Client, Response, listen, serve};
use super::lookup::{Family, Resolver};
use super::settings::Settings;
use crate::names;

const STATSD_PORT: u16 = 8125;
const STATSD_METRICS_PORT: u16 = 9102;
const SCRAPE_INTERVAL: Duration = Duration::from_secs(2);
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a looked-up address of the collector is used.
const ADDRESS_LIFE: Duration = Duration::from_secs(10);

/// Sends counters to statsd, one datagram each. What is lost is lost.
#[derive(Debug)]
pub struct Meter {
    resolver: Resolver,
    family: Family,
    socket: UdpSocket,
    collector: Mutex<Option<(SocketAddr, Instant)>>,
}

impl Meter {
    pub fn new(resolver: Resolver, family: Family) -> io::Result<Self> {
        let local: IpAddr = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        Ok(Self {
            resolver,
            family,
            socket: UdpSocket::bind((local, 0))?,
            collector: Mutex::default(),
        })
    }

    pub fn count(&self, name: &str) {
        if let Ok(collector) = self.collector() {
            let _ = self.socket.send_to(format!("{name}:1|c").as_bytes(), collector);
        }
    }

    fn collector(&self) -> io::Result<SocketAddr> {
        let mut known = self.collector.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((address, since)) = *known
            && since.elapsed() < ADDRESS_LIFE
        {
            return Ok(address);
        }
        let found = self.resolver.lookup(names::STATSD, self.family)?;
        let ip = *found.first().ok_or(io::ErrorKind::NotFound)?;
        let address = SocketAddr::new(ip, STATSD_PORT);
        *known = Some((address, Instant::now()));
        Ok(address)
    }
}

/// Collects counters over UDP, offers their sum over HTTP.
pub fn statsd(_: &Settings) -> io::Result<()> {
    let socket = UdpSocket::bind((IpAddr::from(Ipv6Addr::UNSPECIFIED), STATSD_PORT))
        .or_else(|_| UdpSocket::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), STATSD_PORT)))?;
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    thread::Builder::new().spawn(move || {
        let mut datagram = [0; 1500];
        while socket.recv(&mut datagram).is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    serve(&listen(STATSD_METRICS_PORT)?, move |_| {
        Response::ok(format!("statsd_datagrams_total {}\n", received.load(Ordering::Relaxed)))
    })
}

/// In the host's network: offers figures of the host, and looks after the front end as a kubelet does.
pub fn node_exporter(settings: &Settings) -> io::Result<()> {
    let ip = settings.listen.first().copied().unwrap_or(Ipv4Addr::LOCALHOST.into());
    let listener = TcpListener::bind((ip, settings.port))?;
    let frontend = Client::new(settings.resolver(), names::FRONTEND, 8080).without_keep_alive();
    let meter = Meter::new(settings.resolver(), Family::V4)?;
    thread::Builder::new().spawn(move || {
        loop {
            meter.count("node.alive");
            // A kubelet would count failures; here the attempt is what matters.
            let _ = frontend.get("/healthz");
            thread::sleep(PROBE_INTERVAL);
        }
    })?;
    serve(&listener, |_| Response::ok(std::fs::read("/proc/loadavg").unwrap_or_default()))
}

/// Scrapes the exporters, over kept connections.
pub fn prometheus(settings: &Settings) -> io::Result<()> {
    let exporter = Client::new(settings.resolver(), names::NODE_EXPORTER, settings.port);
    let statsd = Client::new(settings.resolver(), names::STATSD, STATSD_METRICS_PORT);
    loop {
        for target in [&exporter, &statsd] {
            // A target that is down is down; the next round tries again.
            let _ = target.get("/metrics");
        }
        thread::sleep(SCRAPE_INTERVAL);
    }
}
