//! Which records somebody wants to see: the filters of `amphipod observe` and of `/api/v1/records`.
//!
//! The same key repeated is OR, different keys are AND, `not` inverts the key that follows it. Keys that speak of
//! either end (`pod`, `namespace`, `ip`, ...) hold together of one end: `pod=cart&namespace=shop` is a pod `cart` in
//! `shop`, at either end. All of that as in Hubble.

mod moment;
mod network;
mod term;

pub use network::Network;
pub use term::is_label;

use crate::{Record, Scope, Timestamp};
use term::{Side, Term};

/// One filter key: how it is written in a query. The command line's flag is the same with `-` for `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    /// What its value is called in a synopsis; empty for `not`, which has none.
    pub value: &'static str,
    pub help: &'static str,
}

const fn key(name: &'static str, value: &'static str, help: &'static str) -> Key {
    Key { name, value, help }
}

/// Every key that [`Filter::parse`] takes. Flags, help and messages derive from it.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("not", "", "Invert the filter that follows"),
    key("namespace", "NAMESPACE", "Either end in this namespace"),
    key("from_namespace", "NAMESPACE", "Source in this namespace"),
    key("to_namespace", "NAMESPACE", "Destination in this namespace"),
    key("pod", "[NAMESPACE/]PREFIX", "Either end a pod whose name begins so"),
    key("from_pod", "[NAMESPACE/]PREFIX", "Source a pod whose name begins so"),
    key("to_pod", "[NAMESPACE/]PREFIX", "Destination a pod whose name begins so"),
    key("workload", "[KIND/]NAME", "Either end of this workload (kind as in kubectl: deploy/cart; SystemdUnit/nginx.service)"),
    key("from_workload", "[KIND/]NAME", "Source of this workload"),
    key("to_workload", "[KIND/]NAME", "Destination of this workload"),
    key("service", "[NAMESPACE/]PREFIX", "Either end a service whose name begins so"),
    key("from_service", "[NAMESPACE/]PREFIX", "Source a service whose name begins so"),
    key("to_service", "[NAMESPACE/]PREFIX", "Destination a service whose name begins so"),
    key("label", "SELECTOR", "Either end with these labels: app=cart,tier!=db,!canary"),
    key("from_label", "SELECTOR", "Source with these labels"),
    key("to_label", "SELECTOR", "Destination with these labels"),
    key("ip", "ADDRESS[/BITS]", "Either end at this address or in this network"),
    key("from_ip", "ADDRESS[/BITS]", "Source at this address or in this network"),
    key("to_ip", "ADDRESS[/BITS]", "Destination at this address or in this network"),
    key("port", "PORT", "Either end at this port"),
    key("from_port", "PORT", "Source at this port"),
    key("to_port", "PORT", "Destination at this port"),
    key("protocol", "PROTOCOL", "tcp, udp, icmp, icmpv6, sctp, or an IP protocol number"),
    key("kind", "KIND", "connection, flow, drop, dns"),
    key("verdict", "VERDICT", "opened, accepted, failed (of lookups: no answer, or a code other than NOERROR and NXDOMAIN), closed; forwarded, dropped; error (anything with an errno, or a code other than NOERROR)"),
    key("since", "TIME", "Not older than this: 5m ago, or RFC 3339"),
    key("until", "TIME", "Not newer than this: 5m ago, or RFC 3339"),
];

/// Why a filter cannot be: names the key, the value and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("unknown filter {key:?}; known are {}", known())]
    Key { key: String },
    #[error("filter {key}: {value:?} is not allowed; give {allowed}")]
    Value { key: &'static str, value: String, allowed: &'static str },
    #[error("filter {key}: given more than once; give it once")]
    Repeated { key: &'static str },
    #[error("filter not: {0}")]
    Not(&'static str),
}

fn known() -> String {
    KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

/// A parsed filter; the default one matches every record. Matching does not allocate
/// where all may be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One entry per key: any of its terms must hold.
    fixed: Vec<(&'static str, Vec<Term>)>,
    /// The same for keys of either end, all of which must hold for one and the same end.
    either: Vec<(&'static str, Vec<Term>)>,
    /// None of these may hold.
    denied: Vec<Term>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    scope: Scope,
}

impl Filter {
    /// Parses key and value pairs in the order in which they were given; times are relative to now. `-` in a key
    /// counts as `_`. Keys of the request that are no filters (`follow`, `last`) must have been taken out.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        Self::parse_at(pairs, Timestamp::now())
    }

    /// [`Filter::parse`] with `5m` meaning five minutes before `now`.
    pub fn parse_at<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut filter = Self::default();
        let mut not = false;
        for (name, value) in pairs {
            let key = find(name)?;
            match key.name {
                "not" => {
                    if std::mem::replace(&mut not, truth(value)?) {
                        return Err(Error::Not(
                            "given twice in a row; give it once before the filter that it inverts",
                        ));
                    }
                    continue;
                }
                "since" | "until" if not => {
                    return Err(Error::Not(
                        "since and until cannot be inverted; use the other one",
                    ));
                }
                "since" => filter.since = Some(once(key.name, filter.since, value, now)?),
                "until" => filter.until = Some(once(key.name, filter.until, value, now)?),
                _ => filter.add(key.name, value, std::mem::take(&mut not))?,
            }
        }
        if not {
            return Err(Error::Not("nothing follows it; put it before the filter that it inverts"));
        }
        Ok(filter)
    }

    fn add(&mut self, key: &'static str, value: &str, not: bool) -> Result<(), Error> {
        let terms = Term::parse(key, value)?;
        let list = match terms.first() {
            _ if not => {
                self.denied.extend(terms);
                return Ok(());
            }
            Some(Term::End(Side::Either, _)) => &mut self.either,
            _ => &mut self.fixed,
        };
        match list.iter_mut().find(|(name, _)| *name == key) {
            Some((_, alternatives)) => alternatives.extend(terms),
            None => list.push((key, terms)),
        }
        Ok(())
    }

    /// The earliest time that can match.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// The latest time that can match: a stream with it ends there.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Compared is what may be seen of a record.
    #[must_use]
    pub fn within(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    pub fn matches(&self, record: &Record) -> bool {
        self.scope.record(record).is_some_and(|record| self.holds(&record))
    }

    fn holds(&self, record: &Record) -> bool {
        self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time <= until)
            && self.fixed.iter().all(|(_, terms)| terms.iter().any(|term| term.matches(record)))
            && (self.either.is_empty()
                || [&record.source, &record.destination].into_iter().any(|end| {
                    self.either
                        .iter()
                        .all(|(_, terms)| terms.iter().any(|term| term.matches_end(end)))
                }))
            && !self.denied.iter().any(|term| term.matches(record))
    }
}

fn find(name: &str) -> Result<&'static Key, Error> {
    let same = |key: &&Key| {
        key.name.len() == name.len()
            && key.name.bytes().zip(name.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
    };
    KEYS.iter()
        .find(same)
        .ok_or_else(|| Error::Key { key: crate::text::printable(name.as_bytes()) })
}

fn truth(value: &str) -> Result<bool, Error> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(refused("not", value, "nothing, 1 or true")),
    }
}

fn once(
    key: &'static str,
    before: Option<Timestamp>,
    value: &str,
    now: Timestamp,
) -> Result<Timestamp, Error> {
    match before {
        Some(_) => Err(Error::Repeated { key }),
        None => moment::parse(value, now).ok_or_else(|| refused(key, value, moment::ALLOWED)),
    }
}

fn refused(key: &'static str, value: &str, allowed: &'static str) -> Error {
    Error::Value { key, value: value.to_owned(), allowed }
}

#[cfg(test)]
mod tests;
