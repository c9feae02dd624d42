//! One end of a pair, at every grain at which pairs can be grouped.

use std::net::IpAddr;
use std::sync::Arc;

use model::line::End;

use crate::paint::printable;

/// By what ends are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    Pod,
    #[default]
    Workload,
    Namespace,
}

impl Group {
    /// A hub knows no pods.
    pub fn next(self, of_hub: bool) -> Self {
        match self {
            Self::Workload => Self::Namespace,
            Self::Namespace if !of_hub => Self::Pod,
            Self::Namespace | Self::Pod => Self::Workload,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Workload => "workload",
            Self::Namespace => "namespace",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Party {
    namespace: Option<Arc<str>>,
    workload: Option<Arc<str>>,
    pod: Option<Arc<str>>,
    /// What there is where neither pod nor workload is known.
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Unknown,
    Service(Arc<str>),
    Name(Arc<str>),
    Address(IpAddr),
}

impl From<&End> for Party {
    fn from(end: &End) -> Self {
        let outside = end.workload_kind.as_deref() == Some("External");
        let workload = end.workload.clone().filter(|_| !outside);
        let known = workload.is_some() || end.pod.is_some();
        let place = match (known, &end.service, end.names.first(), end.ip) {
            (true, ..) => Place::Unknown,
            (_, Some(service), ..) => Place::Service(service.clone()),
            (_, _, Some(name), _) => Place::Name(name.clone()),
            (_, _, _, Some(ip)) => Place::Address(ip.to_canonical()),
            _ => Place::Unknown,
        };
        Self { namespace: end.namespace.clone(), workload, pod: end.pod.clone(), place }
    }
}

impl Party {
    pub fn label(&self, group: Group) -> String {
        let name = match group {
            Group::Namespace => {
                let namespace = self.namespace.as_deref().or(self.workload.as_deref());
                return printable(namespace.unwrap_or("(outside)")).into_owned();
            }
            Group::Workload => self.workload.as_deref().or(self.pod.as_deref()),
            Group::Pod => self.pod.as_deref().or(self.workload.as_deref()),
        };
        let name = match (name, &self.place) {
            (Some(name), _) => name.to_owned(),
            (None, Place::Service(service)) => format!("svc/{service}"),
            (None, Place::Name(name)) => name.to_string(),
            (None, Place::Address(ip)) => ip.to_string(),
            (None, Place::Unknown) => "?".to_owned(),
        };
        let label = match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        };
        printable(&label).into_owned()
    }
}
