//! What runs in the simulated cluster: the shop, what serves it, and what goes wrong in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::layout::{Layout, Qos};
use crate::random;

/// What made a pod. For a Job that is the CronJob behind it, as a person would name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    CronJob,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::CronJob => "CronJob",
        }
    }
}

/// How others reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// By an address of the service, which has this number in the service network.
    ClusterIp(u8),
    /// By the pods' own addresses.
    Headless,
}

#[derive(Clone, Copy, Debug)]
pub struct Workload {
    pub namespace: &'static str,
    /// Name of the workload, its container, its service and its program.
    pub role: &'static str,
    pub kind: Kind,
    pub replicas: u32,
    pub layout: Layout,
    pub qos: Qos,
    pub service: Option<Access>,
    pub host_network: bool,
}

const SHOP: Workload = Workload {
    namespace: "shop",
    role: "",
    kind: Kind::Deployment,
    replicas: 1,
    layout: Layout::Containerd,
    qos: Qos::Burstable,
    service: None,
    host_network: false,
};
const MONITORING: Workload = Workload { namespace: "monitoring", ..SHOP };

const fn cluster_ip(number: u8) -> Option<Access> {
    Some(Access::ClusterIp(number))
}

/// Number of the name server's address in the service network.
pub const DNS_NUMBER: u8 = 10;
/// Also where people look first.
pub const FRONTEND_NUMBER: u8 = 20;

/// In the order of starting: those that others need come first. The layouts vary although a real node has one, so that
/// each meets real processes.
pub const WORKLOADS: &[Workload] = &[
    Workload { namespace: "kube-system", role: "coredns", service: cluster_ip(DNS_NUMBER), ..SHOP },
    Workload {
        role: "postgres",
        kind: Kind::StatefulSet,
        qos: Qos::Guaranteed,
        service: Some(Access::Headless),
        ..SHOP
    },
    Workload {
        role: "redis",
        kind: Kind::StatefulSet,
        qos: Qos::Guaranteed,
        layout: Layout::Cgroupfs,
        service: cluster_ip(24),
        ..SHOP
    },
    Workload {
        role: "statsd",
        service: Some(Access::Headless),
        layout: Layout::Docker,
        ..MONITORING
    },
    Workload { role: "payment", service: Some(Access::Headless), layout: Layout::Crio, ..SHOP },
    Workload { role: "catalogue", service: cluster_ip(22), layout: Layout::Cgroupfs, ..SHOP },
    Workload { role: "cart", service: cluster_ip(21), ..SHOP },
    Workload { role: "checkout", service: cluster_ip(23), layout: Layout::Kind, ..SHOP },
    Workload { role: "frontend", replicas: 2, service: cluster_ip(FRONTEND_NUMBER), ..SHOP },
    Workload {
        role: "node-exporter",
        kind: Kind::DaemonSet,
        service: Some(Access::Headless),
        host_network: true,
        ..MONITORING
    },
    Workload { role: "prometheus", kind: Kind::StatefulSet, ..MONITORING },
    Workload { role: "recommender", qos: Qos::BestEffort, ..SHOP },
    Workload { role: "email", qos: Qos::BestEffort, layout: Layout::Crio, ..SHOP },
    Workload { namespace: "load", role: "loadgen", qos: Qos::BestEffort, ..SHOP },
    Workload { role: "invoice", kind: Kind::CronJob, replicas: 0, qos: Qos::BestEffort, ..SHOP },
];

/// The workload whose pods are made and ended all the time.
pub fn cron_job() -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.kind == Kind::CronJob)
}

/// The workload that is scaled up and down.
pub fn scaled() -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.role == "frontend")
}

/// Draws the names of one workload's pods.
#[derive(Debug)]
pub struct Namer {
    /// Hash of the pod template: the same for all pods of one revision.
    revision: String,
    /// Pods named so far.
    count: u32,
}

impl Namer {
    pub fn new() -> Self {
        Self { revision: random::suffix(10), count: 0 }
    }

    /// The next pod's name and labels.
    pub fn next(&mut self, workload: &Workload) -> (String, BTreeMap<Arc<str>, Arc<str>>) {
        let (role, number) = (workload.role, self.count);
        self.count += 1;
        let mut labels = BTreeMap::from([
            ("app.kubernetes.io/name".into(), Arc::from(role)),
            ("app".into(), role.into()),
        ]);
        let name = match workload.kind {
            Kind::Deployment => {
                labels.insert("pod-template-hash".into(), self.revision.as_str().into());
                format!("{role}-{}-{}", self.revision, random::suffix(5))
            }
            Kind::StatefulSet => {
                labels.insert("apps.kubernetes.io/pod-index".into(), number.to_string().into());
                format!("{role}-{number}")
            }
            Kind::DaemonSet => {
                labels.insert("controller-revision-hash".into(), self.revision.as_str().into());
                format!("{role}-{}", random::suffix(5))
            }
            Kind::CronJob => {
                // A CronJob names its Jobs by the minute for which they were due.
                let job = format!("{role}-{}", 28_900_000 + number);
                labels.insert("batch.kubernetes.io/job-name".into(), job.as_str().into());
                format!("{job}-{}", random::suffix(5))
            }
        };
        (name, labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_named_as_their_controllers_do() {
        let check = |kind, expected: &[usize]| {
            let workload = Workload { role: "cart", kind, ..SHOP };
            let mut namer = Namer::new();
            let (name, labels) = namer.next(&workload);
            let parts: Vec<usize> = name.split('-').map(str::len).collect();
            assert_eq!(parts, expected, "{name}");
            assert_eq!(labels.get("app").map(|label| &**label), Some("cart"));
            assert_ne!(namer.next(&workload).0, name);
        };
        check(Kind::Deployment, &[4, 10, 5]);
        check(Kind::StatefulSet, &[4, 1]);
        check(Kind::DaemonSet, &[4, 5]);
        check(Kind::CronJob, &[4, 8, 5]);
    }

    #[test]
    fn every_workload_has_a_program() {
        for workload in WORKLOADS {
            assert!(crate::shop::roles().any(|role| role == workload.role), "{}", workload.role);
        }
    }
}
