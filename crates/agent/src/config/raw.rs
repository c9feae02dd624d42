//! The file as it is written. The defaults here are the one list of valid keys and the reference.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::Error;

/// One section: its keys, each with its explanation, type and default.
macro_rules! section {
    ($name:ident { $($(#[doc = $help:literal])+ $key:ident: $type:ty = $default:expr),* $(,)? }) => {
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub(super) struct $name { $($(#[doc = $help])+ pub(super) $key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default.into(),)* }
            }
        }

        impl $name {
            const HELP: &[(&str, &[&str])] = &[$((stringify!($key), &[$($help),+])),*];
        }
    };
}

/// The sections, in the order of the reference.
macro_rules! sections {
    ($($(#[doc = $help:literal])+ $key:ident: $type:ident),* $(,)?) => {
        #[derive(Debug, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub(super) struct Raw { $($(#[doc = $help])+ pub(super) $key: $type,)* }

        impl Raw {
            /// Section, its explanation, its keys and theirs.
            const HELP: &[(&str, &[&str], &[(&str, &[&str])])] =
                &[$((stringify!($key), &[$($help),+], $type::HELP)),*];
        }
    };
}

sections! {
    /// The agent as a whole.
    agent: Agent,
    /// Connections: opened, accepted, failed, closed.
    tcp: Tcp,
    /// Bytes, packets, round trips and retransmissions of live sockets.
    flow: Flow,
    /// Packets that the kernel discards.
    drop: Drop,
    /// Containers that come and go.
    cgroup: Cgroup,
    /// Who names pods, services and other nodes' addresses.
    metadata: Metadata,
    /// Prometheus.
    metrics: Metrics,
    /// Live records, for `amphipod observe` and `top`.
    records: Records,
    /// Between the probes and everything else.
    pipeline: Pipeline,
}

section!(Agent {
    /// Name of this node; empty: the environment's NODE_NAME, else the host's name.
    node: String = "",
    /// "kubernetes", or "standalone" for a host without it: cgroups, containers and systemd units instead of pods.
    mode: String = "kubernetes",
    /// Only pods below this cgroup are this agent's, as /proc/PID/cgroup has it; "/": all pods. What others do is
    /// left out, and counted in amphipod_out_of_scope_total.
    cgroup: String = "/",
    /// Address and port of /metrics, /healthz, /readyz and /api/v1/status; "off": nowhere.
    listen: String = "127.0.0.1:7172",
    /// Socket of the local command line: who may use it sees all records.
    socket: String = super::Config::SOCKET,
    /// How long a stop may take.
    drain: String = "5s",
    /// Let the kernel measure the run time of BPF programs; costs about 30 ns for each run, of every program on the
    /// host.
    run_time: bool = false,
});
section!(Tcp {
    /// Whether the probe runs.
    enabled: bool = true,
    /// Live sockets that can be followed at once.
    max_sockets: u64 = 262_144_u32,
    /// Size of the ring buffer from the kernel: a power of two.
    ring_bytes: String = "4MiB",
});
section!(Flow {
    /// Whether the probe runs.
    enabled: bool = true,
    /// How often counters are read and flows reported.
    interval: String = "5s",
    /// Peers of unconnected UDP sockets, beyond the first of each, that can be followed at once.
    max_peers: u64 = 65_536_u32,
});
section!(Drop {
    /// Whether the probe runs.
    enabled: bool = true,
    /// How often counters are read and drops reported.
    interval: String = "5s",
    /// Different reasons and ends that can be counted within one interval.
    max_entries: u64 = 16_384_u32,
});
section!(Cgroup {
    /// Whether the probe runs. Without it new containers are found by walking the hierarchy.
    enabled: bool = true,
});
section!(Metadata {
    /// "hub": pods of this node, services, and the addresses that its pods talk to, from a hub; "kube": this node's pods
    /// and all services, from the API server; "kubelet": this node's pods, from its kubelet; "none": pods go by the uid in
    /// their cgroup's path.
    source: String = "none",
    /// Hubs, tried in turn: https://HOST:PORT; http:// only to this host, unless insecure is set.
    hubs: Vec<String> = vec!["https://amphipod-hub.amphipod.svc:7173".to_owned()],
    /// PEM file with the authorities that may vouch for the hub (for source = "kubelet": for the kubelet). All these
    /// files are read again when they change.
    ca: String = "",
    /// PEM file with this agent's certificate, and the chain below it; empty: none is shown.
    certificate: String = "",
    /// PEM file with the certificate's key.
    key: String = "",
    /// File with a token to show, such as a projected service account's; empty: none.
    token: String = "",
    /// Allow http:// to other hosts: names and tokens then travel in the clear.
    insecure: bool = false,
    /// How long a record waits for the name of one of its ends.
    patience: String = "2s",
    /// Addresses that can be asked for at once.
    max_addresses: u64 = 16_384_u32,
    /// After so long without a record an address is no longer asked for.
    address_expiry: String = "10m",
    /// For source = "kube": the kubeconfig; empty: KUBECONFIG, ~/.kube/config or the pod's service account.
    kubeconfig: String = "",
    /// Its context; empty: the current one.
    context: String = "",
    /// For source = "kubelet": its URL.
    kubelet: String = "https://127.0.0.1:10250",
    /// How often the kubelet is asked.
    kubelet_interval: String = "10s",
});
section!(Metrics {
    /// Label sets that one metric can have; what comes beyond is counted under the workload __overflow__.
    max_series: u64 = 10_000_u32,
    /// After so long without a change a series is forgotten, unless it counts live connections.
    expiry: String = "15m",
    /// Add the labels source_pod and destination_pod: many more series.
    pod_labels: bool = false,
});
section!(Records {
    /// Newest records, kept for `observe --last`.
    buffer: u64 = 8_192_u32,
    /// Records kept at most for a reader that falls behind; beyond it loses the oldest and is told how many.
    backlog: u64 = 65_536_u32,
    /// Readers at once.
    max_readers: u64 = 16_u32,
});
section!(Pipeline {
    /// Batches of at most about a thousand observations that can wait; what has no room is shed and counted.
    queue: u64 = 16_u32,
    /// Live connections that amphipod_active_connections can count.
    max_connections: u64 = 262_144_u32,
});

impl Raw {
    /// Every key with its explanation and default, as TOML.
    pub(super) fn reference() -> String {
        let defaults = Table::try_from(Self::default()).unwrap_or_default();
        let mut text = String::new();
        let comment = |text: &mut String, help: &[&str]| {
            help.iter().for_each(|line| *text += &format!("#{line}\n"))
        };
        for (section, help, keys) in Self::HELP {
            comment(&mut text, help);
            text += &format!("[{section}]\n");
            for (key, help) in *keys {
                comment(&mut text, help);
                let default = defaults.get(*section).and_then(|section| section.get(*key));
                text += &default.map(|default| format!("{key} = {default}\n")).unwrap_or_default();
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len() + 1);
        text
    }

    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let given: Table =
            text.parse().map_err(|error: toml::de::Error| Error::Syntax(one_line(&error, text)))?;
        let valid =
            Table::try_from(Self::default()).map_err(|error| Error::Syntax(error.to_string()))?;
        compare(&given, &valid, "", &valid)?;
        given.try_into().map_err(|error: toml::de::Error| Error::Syntax(error.message().to_owned()))
    }
}

/// Every given key must exist among the valid ones, with a value of the same type.
fn compare(given: &Table, valid: &Table, above: &str, all: &Table) -> Result<(), Error> {
    for (name, value) in given {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match (value, valid.get(name)) {
            (_, None) => return Err(Error::Unknown { nearest: nearest(&key, name, all), key }),
            (Value::Table(value), Some(Value::Table(valid))) => compare(value, valid, &key, all)?,
            (value, Some(default))
                if !value.same_type(default)
                    || value.as_integer().is_some_and(i64::is_negative) =>
            {
                let expected = expected(default);
                return Err(Error::Value { key, value: quoted(value), expected });
            }
            _ => {}
        }
    }
    Ok(())
}

/// On one line.
fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        value => value.to_string().replace('\n', " "),
    }
}

fn expected(default: &Value) -> String {
    match default {
        Value::Table(_) => "a section with keys of its own".into(),
        Value::Boolean(_) => "true or false".into(),
        Value::Array(_) => format!("a list, such as {default}"),
        Value::Integer(_) => format!("a whole number, such as {default}"),
        default => format!("text in quotes, such as {default}"),
    }
}

/// The valid key whose last part is written most like `name`, one of the same section first; `None` if none is near.
fn nearest(key: &str, name: &str, all: &Table) -> Option<String> {
    let section = key.strip_suffix(name).unwrap_or_default().trim_end_matches('.');
    let sections = all.keys().map(|last| ("", last)).filter(|_| section.is_empty());
    let keys = all.iter().flat_map(|(section, keys)| {
        keys.as_table().into_iter().flatten().map(move |(last, _)| (section.as_str(), last))
    });
    let (distance, _, (above, last)) = sections
        .chain(keys)
        .map(|(above, last)| {
            (strsim::damerau_levenshtein(name, last), above != section, (above, last))
        })
        .min()?;
    let near = distance <= 1.max(name.len() / 3);
    near.then(|| if above.is_empty() { last.clone() } else { format!("{above}.{last}") })
}

fn one_line(error: &toml::de::Error, text: &str) -> String {
    let line =
        error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    let message = error.message().replace('\n', ", ");
    line.map_or(message.clone(), |line| format!("line {line}: {message}"))
}
