//! Names as OpenTelemetry writes them. Where its semantic conventions have one it is theirs; all others are such that a
//! receiver which makes Prometheus' names of them gets those of `/metrics`.

use std::borrow::Cow;

use crate::metrics::{Family, Kind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Gauge,
    Sum { is_monotonic: bool },
    Histogram,
}

/// Those of the semantic conventions that the rule below does not make: what is scraped, its name and its unit there. A
/// gauge is one that can be added up there.
const CONVENTIONS: [(&str, &str, &str); 3] = [
    ("process_cpu_seconds_total", "process.cpu.time", "s"),
    ("process_resident_memory_bytes", "process.memory.usage", "By"),
    ("amphipod_uptime_seconds", "process.uptime", "s"),
];
/// At the end of a name, and the unit that says it.
const UNITS: [(&str, &str); 4] =
    [("_seconds", "s"), ("_bytes", "By"), ("_ratio", "1"), ("_joules", "J")];
/// Before names that nobody else gives.
const OURS: [(&str, &str); 2] = [("amphipod_hub_", "amphipod.hub."), ("amphipod_", "amphipod.")];
/// Before labels of an end.
const ENDS: [(&str, &str); 2] = [("source_", "source."), ("destination_", "destination.")];

/// Name, unit and shape.
pub fn convention(family: Family<'_>) -> (String, &'static str, Shape) {
    let shape = match family.kind {
        Kind::Counter => Shape::Sum { is_monotonic: true },
        Kind::Gauge => Shape::Gauge,
        Kind::Histogram => Shape::Histogram,
    };
    if let Some((_, name, unit)) = CONVENTIONS.iter().find(|(it, ..)| *it == family.name) {
        let adds_up = *unit == "By" && shape == Shape::Gauge;
        let shape = if adds_up { Shape::Sum { is_monotonic: false } } else { shape };
        return ((*name).to_owned(), unit, shape);
    }
    let whole = family.name.strip_suffix("_total").unwrap_or(family.name);
    let measured = UNITS.iter().find_map(|(end, unit)| Some((whole.strip_suffix(end)?, *unit)));
    let (bare, unit) = measured.unwrap_or((whole, ""));
    let ours = OURS.iter().find_map(|(start, own)| Some((*own, bare.strip_prefix(start)?)));
    let name = match ours {
        Some((own, rest)) => format!("{own}{rest}"),
        None => bare.replace('_', "."),
    };
    (name, unit, shape)
}

/// Name and value; `None`: it says nothing there. `family`: as it is scraped.
pub fn attribute<'a>(
    family: &str,
    name: &'static str,
    value: &'a str,
) -> Option<(Cow<'static, str>, Cow<'a, str>)> {
    let end = || ENDS.iter().find_map(|(start, own)| Some((*own, name.strip_prefix(start)?)));
    Some(match name {
        "protocol" => ("network.transport".into(), value.to_ascii_lowercase().into()),
        // What went well has no error.
        "rcode" if family == "dns_lookup_duration_seconds" => {
            (value != "NOERROR").then_some(("error.type".into(), value.into()))?
        }
        _ => match end() {
            Some((own, rest)) => (format!("{own}{rest}").into(), value.into()),
            None => (name.into(), value.into()),
        },
    })
}
