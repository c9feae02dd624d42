//! One pod of the cluster with its container: the process, how it started, how it ended.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::workload::{Kind, Workload};
use crate::{Cgroup, Container, Error, Node, Pod, random};

/// What every process of the shop is started with.
pub(crate) struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Directory for what they say when they fail.
    pub logs: PathBuf,
    pub dns: SocketAddr,
    /// Where the exporter of the node listens.
    pub exporter: (Ipv4Addr, u16),
    pub zone: PathBuf,
    pub rate: f64,
}

/// Life of a container that is to end: from, to.
const LIFE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1800));
/// Pause before a container is started again.
const BACK_OFF: Duration = Duration::from_millis(1500);

pub(crate) struct Member {
    pub workload: &'static Workload,
    pub metadata: model::Pod,
    // Drop order: the process is awaited, then its pod goes.
    running: Option<Running>,
    /// The runtime's own container of the pod, which the API server does not list.
    _sandbox: Container,
    pub pod: Pod,
    restart: Option<Instant>,
}

struct Running {
    process: Process,
    _container: Container,
}

impl Member {
    pub fn new(workload: &'static Workload, pod: Pod, metadata: model::Pod) -> Result<Self, Error> {
        let sandbox = pod.container(random::container_id())?;
        Ok(Self { workload, metadata, running: None, _sandbox: sandbox, pod, restart: None })
    }

    /// Starts the pod's container under a new id, which `metadata` then names.
    pub fn start_container(&mut self, launch: &Launch) -> Result<(), Error> {
        self.restart = None;
        let container = self.pod.container(random::container_id())?;
        let mut command = container.command(&launch.program);
        launch.complete(
            &mut command,
            self.workload.role,
            &self.settings(launch),
            &self.log(&launch.logs),
        )?;
        let child = self.pod.spawn(&mut command)?;
        self.metadata.containers =
            vec![model::Container { id: container.id().into(), name: self.workload.role.into() }];
        self.running = Some(Running { process: Process(child), _container: container });
        Ok(())
    }

    /// Whether its container has ended, just now or before. If so its cgroup is gone, and it will be due for a restart.
    pub fn reap(&mut self, now: Instant, launch: &Launch) -> bool {
        let Some(running) = &mut self.running else { return true };
        let Ok(Some(status)) = running.process.0.try_wait() else { return false };
        self.running = None;
        self.restart = Some(now + BACK_OFF);
        if !self.is_mortal() {
            let log = fs::read_to_string(self.log(&launch.logs)).unwrap_or_default();
            let reason = log.lines().last().unwrap_or_default();
            tracing::warn!(pod = &*self.metadata.name, %status, reason, "container ended; it will be restarted");
        }
        true
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.restart.is_some_and(|due| due <= now)
    }

    /// What the container says when it fails.
    pub fn log(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.log", self.metadata.name))
    }

    /// Meant to end by itself.
    fn is_mortal(&self) -> bool {
        self.workload.kind == Kind::CronJob || self.workload.role == "email"
    }

    fn settings(&self, launch: &Launch) -> Vec<String> {
        let mut settings = Vec::new();
        let listen = |ips: &[IpAddr]| {
            let ips: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
            format!("listen={}", ips.join(","))
        };
        match self.workload.role {
            "coredns" => {
                let services = self.pod.spec().service_ips.iter().map(|ip| IpAddr::V4(*ip));
                settings.push(listen(
                    &self.metadata.ips.iter().copied().chain(services).collect::<Vec<_>>(),
                ));
                settings.push("port=53".to_owned());
            }
            "node-exporter" => {
                settings.push(listen(&[launch.exporter.0.into()]));
                settings.push(format!("port={}", launch.exporter.1));
            }
            "prometheus" => settings.push(format!("port={}", launch.exporter.1)),
            _ if self.is_mortal() => settings.push(format!("life_ms={}", life().as_millis())),
            _ => {}
        }
        settings
    }
}

fn life() -> Duration {
    let (least, most) = LIFE;
    least + (most - least).mul_f64((random::number() % 100) as f64 / 100.0)
}

impl Launch {
    fn complete(
        &self,
        command: &mut Command,
        role: &str,
        settings: &[String],
        log: &Path,
    ) -> Result<(), Error> {
        let log_file = File::create(log).map_err(Error::file("create", log))?;
        command
            .args(&self.arguments)
            .arg(role)
            .args(settings)
            .arg(format!("parent={}", std::process::id()))
            .arg(format!("dns={}", self.dns))
            .arg(format!("rate={}", self.rate))
            .arg(format!("zone={}", self.zone.display()))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file);
        Ok(())
    }
}

/// A server outside of the cluster, which for want of a second machine runs on this one, as a service of systemd might.
pub(crate) struct Outsider {
    _process: Process,
    _cgroup: Cgroup,
}

impl Outsider {
    pub fn start(node: &Node, role: &str, launch: &Launch) -> Result<Self, Error> {
        let path = node.instance().cgroup().join("system.slice").join(format!("{role}.service"));
        let cgroup = Cgroup::create(path)?;
        let mut command = cgroup.command(&launch.program);
        launch.complete(&mut command, role, &[], &launch.logs.join(format!("{role}.log")))?;
        let child = node.outside().spawn(&mut command)?;
        Ok(Self { _process: Process(child), _cgroup: cgroup })
    }
}

/// Killed and awaited when dropped, so that it leaves no zombie.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has been awaited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
