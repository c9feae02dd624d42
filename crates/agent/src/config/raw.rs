//! The file as it is written. The defaults here are the one list of valid keys and the reference.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::Error;

macro_rules! section {
    ($name:ident { $($key:ident: $type:ty = $default:expr),* $(,)? }) => {
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub(super) struct $name { $(pub(super) $key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default.into(),)* }
            }
        }
    };
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Raw {
    pub(super) agent: Agent,
    pub(super) tcp: Tcp,
    pub(super) flow: Flow,
    pub(super) drop: Drop,
    pub(super) cgroup: Cgroup,
    pub(super) metrics: Metrics,
    pub(super) records: Records,
    pub(super) pipeline: Pipeline,
}

section!(Agent {
    node: String = "",
    mode: String = "kubernetes",
    listen: String = "127.0.0.1:7172",
    socket: String = super::Config::SOCKET,
    drain: String = "5s",
    run_time: bool = false,
});
section!(Tcp { enabled: bool = true, max_sockets: u64 = 262_144_u32, ring_bytes: String = "8MiB" });
section!(Flow { enabled: bool = true, interval: String = "5s", max_peers: u64 = 65_536_u32 });
section!(Drop { enabled: bool = true, interval: String = "5s", max_entries: u64 = 16_384_u32 });
section!(Cgroup { enabled: bool = true });
section!(Metrics {
    max_series: u64 = 10_000_u32,
    expiry: String = "15m",
    pod_labels: bool = false,
});
section!(Records { buffer: u64 = 8_192_u32, backlog: u64 = 65_536_u32, max_readers: u64 = 16_u32 });
section!(Pipeline { queue: u64 = 32_u32, max_connections: u64 = 262_144_u32 });

impl Raw {
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
