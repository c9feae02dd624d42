//! The four loads that others are compared by, from one namespace to the other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};

use super::exposition::Exposition;
use super::lab::Lab;
use super::load::Request;
use super::processor::{self, Machine};
use super::service::{self, Service};
use super::subject::Subject;
use super::worker::Worker;
use super::wrk;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// HTTP requests through a few connections.
    KeepAlive,
    /// HTTP requests, each through a connection of its own.
    PerRequest,
    /// UDP datagrams of 64 bytes.
    Datagrams,
    /// One TCP connection, filled.
    Bulk,
}

impl Traffic {
    pub const ALL: [Self; 4] = [Self::KeepAlive, Self::PerRequest, Self::Datagrams, Self::Bulk];

    pub fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "HTTP keep-alive",
            Self::PerRequest => "HTTP connection per request",
            Self::Datagrams => "UDP 64 B",
            Self::Bulk => "TCP bulk",
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Requests, received datagrams or received megabytes.
    pub per_second: f64,
    /// NaN where there are no requests.
    pub p50_us: f64,
    pub p99_us: f64,
    /// Processor time of everything that took part, the agent included, for each of these.
    pub cpu_us: f64,
    /// Processors' use in percent: of the machine, and of one core by all that runs at either end.
    pub machine_percent: f64,
    pub client_percent: f64,
    pub server_percent: f64,
}

/// What a load itself counted.
struct Told {
    events: f64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    /// Payload that the agent must have seen, and where.
    bytes: f64,
    seen: Seen,
}

/// At which end, which way.
#[derive(Clone, Copy)]
enum Seen {
    SentByClient,
    ReceivedByClient,
}

/// Servers that stay up through all measurements.
pub struct Stage<'a> {
    lab: &'a Lab,
    client: Worker<'a>,
    server: Worker<'a>,
    nginx: Service,
    datagrams: SocketAddr,
    bulk: SocketAddr,
}

/// Requests at once.
const CONNECTIONS: usize = 16;
/// The part of the payload that must be seen for a figure to count; wrk does not tell the last answers.
const SEEN: f64 = 0.99;

impl<'a> Stage<'a> {
    pub fn build(lab: &'a Lab) -> Result<Self> {
        let nginx = service::nginx(lab)?;
        let mut server = Worker::server(lab)?;
        let address = lab.site.server.address;
        let datagrams = server.listen(&Request::Receive { address })?;
        let bulk = server.listen(&Request::Sink { address })?;
        let (Some(&datagrams), Some(&bulk)) = (datagrams.first(), bulk.first()) else {
            bail!("a load listens nowhere");
        };
        Ok(Self { lab, client: Worker::client(lab)?, server, nginx, datagrams, bulk })
    }

    /// Where the web server is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.nginx.address)
    }

    /// Measures once. With a subject, fails unless that has seen what was sent.
    pub fn measure(
        &mut self,
        traffic: Traffic,
        seconds: f64,
        subject: Option<&Subject<'_>>,
    ) -> Result<Sample> {
        let url = self.url();
        self.measure_at(traffic, &url, seconds, subject)
    }

    /// As [`Self::measure`], with another way to the web server.
    pub fn measure_at(
        &mut self,
        traffic: Traffic,
        url: &str,
        seconds: f64,
        subject: Option<&Subject<'_>>,
    ) -> Result<Sample> {
        let (lab, workload) = (self.lab, &self.lab.site.client.workload);
        let before = subject.map(Subject::metrics).transpose()?;
        let usage = Usage::now(lab)?;
        let told = self.run(traffic, url, seconds)?;
        let usage = usage.until_now(lab)?;
        if let (Some(subject), Some(before)) = (subject, before) {
            let expected = told.seen.bytes(&before, workload) + SEEN * told.bytes;
            let seen = subject.await_value(expected, |now| told.seen.bytes(now, workload))?;
            if seen < expected {
                let part = 100.0 * (1.0 - (expected - seen) / (SEEN * told.bytes));
                bail!("{}: the agent saw only {part:.1} % of the payload", traffic.name());
            }
        }
        Ok(Sample {
            per_second: told.events / told.seconds,
            p50_us: told.p50_us,
            p99_us: told.p99_us,
            cpu_us: usage.all.as_secs_f64() * 1e6 / told.events,
            machine_percent: usage.machine_percent,
            client_percent: 100.0 * usage.client.as_secs_f64() / usage.seconds,
            server_percent: 100.0 * usage.server.as_secs_f64() / usage.seconds,
        })
    }

    fn run(&mut self, traffic: Traffic, url: &str, seconds: f64) -> Result<Told> {
        let (p50_us, p99_us) = (f64::NAN, f64::NAN);
        match traffic {
            Traffic::KeepAlive | Traffic::PerRequest => {
                let close = traffic == Traffic::PerRequest;
                // Making connections is more work for the client than for the server.
                let threads = if close { 2 } else { 1 };
                let (url, connections) = (url.to_owned(), CONNECTIONS);
                let plan = wrk::Plan { url, connections, threads, seconds, close };
                let outcome = wrk::run(self.lab, &plan)?;
                Ok(Told {
                    events: outcome.requests as f64,
                    seconds: outcome.requests as f64 / outcome.per_second(),
                    p50_us: outcome.p50_us,
                    p99_us: outcome.p99_us,
                    bytes: outcome.bytes as f64,
                    seen: Seen::ReceivedByClient,
                })
            }
            Traffic::Datagrams => {
                let target = self.datagrams;
                let request = Request::Send { target, sockets: 1, seconds, per_second: None };
                let (sent, received) = self.exchange(&request)?;
                let seen = Seen::SentByClient;
                let (events, bytes) = (received.datagrams as f64, sent.bytes_sent as f64);
                Ok(Told { events, seconds: sent.seconds, p50_us, p99_us, bytes, seen })
            }
            Traffic::Bulk => {
                let request = Request::Flood { target: self.bulk, seconds };
                let (sent, received) = self.exchange(&request)?;
                let seen = Seen::SentByClient;
                let events = received.bytes_received as f64 / f64::from(1 << 20);
                let bytes = sent.bytes_sent as f64;
                Ok(Told { events, seconds: sent.seconds, p50_us, p99_us, bytes, seen })
            }
        }
    }

    /// Runs the client's request; what it counted, and what the server counted meanwhile.
    fn exchange(
        &mut self,
        request: &Request,
    ) -> Result<(super::load::Counts, super::load::Counts)> {
        let before = self.server.count()?;
        let sent = self.client.run(request)?;
        let mut received = self.server.count()?;
        received.datagrams -= before.datagrams;
        received.bytes_received -= before.bytes_received;
        Ok((sent, received))
    }
}

impl Seen {
    fn bytes(self, metrics: &Exposition, workload: &str) -> f64 {
        let labels = match self {
            Self::SentByClient => [("direction", "egress"), ("source_workload", workload)],
            Self::ReceivedByClient => {
                [("direction", "ingress"), ("destination_workload", workload)]
            }
        };
        metrics.sum("amphipod_flow_bytes_total", &labels)
    }
}

/// Processor time from a moment on.
struct Usage {
    machine: Machine,
    all: Duration,
    client: Duration,
    server: Duration,
}

struct Used {
    all: Duration,
    client: Duration,
    server: Duration,
    machine_percent: f64,
    seconds: f64,
}

impl Usage {
    fn now(lab: &Lab) -> Result<Self> {
        let site = &lab.site;
        Ok(Self {
            machine: Machine::now()?,
            all: processor::used_by(site.instance.cgroup())?,
            client: processor::used_by(site.client.cgroup.path())?,
            server: processor::used_by(site.server.cgroup.path())?,
        })
    }

    fn until_now(&self, lab: &Lab) -> Result<Used> {
        let now = Self::now(lab)?;
        let (busy, time) = now.machine.since(&self.machine);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let seconds = time.as_secs_f64();
        Ok(Used {
            all: now.all.saturating_sub(self.all),
            client: now.client.saturating_sub(self.client),
            server: now.server.saturating_sub(self.server),
            machine_percent: 100.0 * busy.as_secs_f64() / seconds / processors as f64,
            seconds,
        })
    }
}
