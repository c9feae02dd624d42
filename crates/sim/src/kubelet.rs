//! What starts, watches, restarts and ends the pods of the simulated node.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{Change, Service};

use crate::cluster::Config;
use crate::feed::Feed;
use crate::member::{Launch, Member, Outsider};
use crate::workload::{Access, DNS_NUMBER, Kind, Namer, WORKLOADS, Workload, cron_job, scaled};
use crate::zone::Zone;
use crate::{Error, Node, OUTSIDE_V4, PodSpec, names};

const JOB_INTERVAL: Duration = Duration::from_secs(4);
const SCALE_INTERVAL: Duration = Duration::from_secs(15);
/// Where exporters of node metrics listen; another port if the host has one already.
const EXPORTER_PORT: u16 = 9100;

pub(crate) struct Kubelet {
    node: Node,
    config: Config,
    feed: Feed,
    /// For those who ask for the truth.
    shown: Arc<Mutex<Vec<model::Pod>>>,
    namers: HashMap<&'static str, Namer>,
    members: Vec<Member>,
    outsider: Option<Outsider>,
    zone: Zone,
    exporter_port: u16,
    /// Pods made so far.
    count: u32,
    next_job: Instant,
    next_scale: Instant,
}

impl Kubelet {
    pub fn new(node: Node, config: Config, feed: Feed, shown: Arc<Mutex<Vec<model::Pod>>>) -> Self {
        let (zone, now) = (Zone::new(&node.instance().directory()), Instant::now());
        Self {
            node,
            config,
            feed,
            shown,
            namers: HashMap::new(),
            members: Vec::new(),
            outsider: None,
            zone,
            exporter_port: EXPORTER_PORT,
            count: 0,
            next_job: now + JOB_INTERVAL / 4,
            next_scale: now + SCALE_INTERVAL,
        }
    }

    /// Makes and starts everything that is there from the start.
    pub fn launch(&mut self) -> Result<(), Error> {
        fs::create_dir_all(self.logs()).map_err(Error::file("create", self.logs()))?;
        self.exporter_port = self.free_port()?;
        self.outsider = Some(Outsider::start(&self.node, "bank", &self.launch_settings())?);
        let now = Instant::now();
        for workload in WORKLOADS {
            if let Some(service) = self.service(workload) {
                self.feed.announce_next(Change::Service(service), now);
            }
        }
        let wanted = WORKLOADS
            .iter()
            .flat_map(|workload| (0..workload.replicas).map(move |_| workload))
            .collect();
        self.start(wanted, now)?;
        self.feed.announce_next(Change::Synced, now);
        Ok(())
    }

    /// Looks after the processes, lets pods come and go, and tells of what happened.
    pub fn tick(&mut self, now: Instant) {
        self.reap(now);
        if self.config.churn && !self.feed.is_crowded() {
            if now >= self.next_job {
                self.next_job = now + JOB_INTERVAL;
                self.start_or_warn(cron_job(), now);
            }
            if now >= self.next_scale {
                self.next_scale = now + SCALE_INTERVAL;
                self.scale(now);
            }
        }
        self.feed.send_due(now);
    }

    /// Ends everything at once.
    pub fn end(&mut self) {
        if let Err(error) = self.node.dismantle() {
            tracing::warn!(%error, "the simulated cluster left something; the next start removes it");
        }
        self.members.clear();
        self.outsider = None;
    }

    fn start(&mut self, wanted: Vec<&'static Workload>, now: Instant) -> Result<(), Error> {
        let specs = wanted.iter().map(|workload| self.spec(workload)).collect();
        let first = self.members.len();
        let pods = self.node.pods(specs)?;
        tracing::debug!(pods = pods.len(), elapsed = ?now.elapsed(), "networks and cgroups are made");
        for (workload, pod) in wanted.into_iter().zip(pods) {
            let (name, labels) =
                self.namers.entry(workload.role).or_insert_with(Namer::new).next(workload);
            let metadata = model::Pod {
                uid: pod.spec().uid.as_str().into(),
                namespace: workload.namespace.into(),
                name: name.into(),
                node: self.config.node.as_str().into(),
                ips: pod.ips(),
                host_network: workload.host_network,
                workload: Some(model::Workload {
                    kind: workload.kind.name().into(),
                    name: workload.role.into(),
                }),
                containers: Vec::new(),
                labels,
                zone: Some(self.config.zone.as_str().into()),
            };
            self.members.push(Member::new(workload, pod, metadata)?);
        }
        // Before anybody asks for it.
        self.publish_addresses()?;
        let launch = self.launch_settings();
        for member in self.members.iter_mut().skip(first) {
            // The API server knows that a pod is scheduled before it has an address.
            let scheduled = model::Pod { ips: Vec::new(), ..member.metadata.clone() };
            self.feed.announce_next(Change::Pod(scheduled), now);
            member.start_container(&launch)?;
            self.feed.announce(Change::Pod(member.metadata.clone()), now);
        }
        tracing::debug!(elapsed = ?now.elapsed(), "containers are started");
        self.show();
        Ok(())
    }

    fn start_or_warn(&mut self, workload: Option<&'static Workload>, now: Instant) {
        let Some(workload) = workload else { return };
        if let Err(error) = self.start(vec![workload], now) {
            tracing::warn!(%error, workload = workload.role, "no new pod");
        }
    }

    fn spec(&mut self, workload: &Workload) -> PodSpec {
        self.count += 1;
        let service_ips = match workload.service {
            Some(Access::ClusterIp(number)) => vec![self.node.plan().service_v4(number)],
            _ => Vec::new(),
        };
        PodSpec {
            layout: workload.layout,
            qos: workload.qos,
            host_network: workload.host_network,
            service_ips,
            ..PodSpec::new(format!("{}-{}", workload.role, self.count))
        }
    }

    fn scale(&mut self, now: Instant) {
        let Some(workload) = scaled() else { return };
        let mut replicas =
            (0..self.members.len()).filter(|i| self.members[*i].workload.role == workload.role);
        if replicas.clone().count() > workload.replicas as usize {
            if let Some(last) = replicas.next_back() {
                let member = self.members.remove(last);
                self.remove(member, now);
            }
        } else {
            self.start_or_warn(Some(workload), now);
        }
    }

    /// Takes the pod out of its service, then ends it.
    fn remove(&mut self, member: Member, now: Instant) {
        if let Err(error) = self.publish_addresses() {
            tracing::warn!(%error, "names or routes of services are out of date");
        }
        let uid = member.metadata.uid.clone();
        // Not gone for good in the log of a pod that nobody can name any more.
        let _ = fs::remove_file(member.log(&self.logs()));
        drop(member);
        self.feed.announce(Change::PodGone { uid }, now);
        self.show();
    }

    fn reap(&mut self, now: Instant) {
        let launch = self.launch_settings();
        let mut ended = Vec::new();
        let mut changed = false;
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.reap(now, &launch) && member.workload.kind == Kind::CronJob {
                ended.push(index);
            } else if member.is_due(now) {
                match member.start_container(&launch) {
                    Ok(()) => self.feed.announce(Change::Pod(member.metadata.clone()), now),
                    Err(error) => tracing::warn!(%error, "container not restarted"),
                }
                changed = true;
            }
        }
        for index in ended.into_iter().rev() {
            let member = self.members.remove(index);
            self.remove(member, now);
        }
        if changed {
            self.show();
        }
    }

    /// Brings names and routes of services in line with the pods.
    fn publish_addresses(&mut self) -> Result<(), Error> {
        let mut known = BTreeSet::from([(names::BANK.to_owned(), OUTSIDE_V4.into())]);
        let mut routes = Vec::new();
        for workload in WORKLOADS {
            let name = names::service(service_name(workload), workload.namespace);
            let pods = self.members.iter().filter(|member| member.workload.role == workload.role);
            match workload.service {
                None => {}
                Some(Access::Headless) => {
                    known.extend(
                        pods.flat_map(|member| &member.metadata.ips).map(|ip| (name.clone(), *ip)),
                    );
                }
                Some(Access::ClusterIp(number)) => {
                    let ip = self.node.plan().service_v4(number);
                    known.insert((name, ip.into()));
                    routes.push((
                        ip,
                        pods.filter_map(|member| member.pod.v4()).collect::<Vec<Ipv4Addr>>(),
                    ));
                }
            }
        }
        self.zone.write(known)?;
        self.node.route_services(&routes)
    }

    fn service(&self, workload: &Workload) -> Option<Service> {
        let ips = match workload.service? {
            Access::ClusterIp(number) => vec![self.node.plan().service_v4(number).into()],
            Access::Headless => Vec::new(),
        };
        Some(Service {
            namespace: workload.namespace.into(),
            name: service_name(workload).into(),
            ips,
        })
    }

    fn launch_settings(&self) -> Launch {
        Launch {
            program: self.config.program.clone(),
            arguments: self.config.arguments.clone(),
            logs: self.logs(),
            dns: SocketAddr::from((self.node.plan().service_v4(DNS_NUMBER), 53)),
            exporter: (self.node.plan().node_v4(), self.exporter_port),
            zone: self.zone.file().to_owned(),
            rate: self.config.rate,
        }
    }

    fn logs(&self) -> PathBuf {
        self.node.instance().directory().join("logs")
    }

    fn free_port(&self) -> Result<u16, Error> {
        let ip = self.node.plan().node_v4();
        let port =
            |wanted| TcpListener::bind((ip, wanted)).and_then(|listener| listener.local_addr());
        let address = port(EXPORTER_PORT).or_else(|_| port(0));
        Ok(address.map_err(|e| Error::Cluster(format!("no free port on {ip}: {e}")))?.port())
    }

    fn show(&self) {
        let pods = self.members.iter().map(|member| member.metadata.clone()).collect();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = pods;
    }
}

/// As Kubernetes calls it.
fn service_name(workload: &Workload) -> &'static str {
    if workload.role == "coredns" { "kube-dns" } else { workload.role }
}
