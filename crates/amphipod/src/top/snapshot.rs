//! The window at one moment: grouped, sorted, in rates.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Instant;

use serde::Serialize;

use super::party::Group;
use super::window::{Counts, Window};
use crate::paint::printable;
use crate::units::{bytes, plural, rate, span_us};

/// Of [`Snapshot::text`].
const MOST_PAIRS: usize = 20;
const MOST_FAILURES: usize = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    #[default]
    Bytes,
    Connections,
    Failures,
    Drops,
    Rtt,
    Retransmits,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// How long the rates were measured.
    pub seconds: f64,
    pub group: Group,
    pub sort: Sort,
    pub pairs: Vec<Row>,
    /// What found no room among the pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<Rates>,
    pub failures: Vec<Failures>,
    /// Absent: it is made of sums.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_per_second: Option<f64>,
    /// Since the start.
    pub records_lost: u64,
    /// What it lacks besides, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub source: String,
    pub destination: String,
    #[serde(flatten)]
    pub rates: Rates,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Payload, both ways.
    pub bytes_per_second: f64,
    pub connections_per_second: f64,
    pub failures_per_second: f64,
    /// Packets that the kernel discarded.
    pub drops_per_second: f64,
    pub retransmits_per_second: f64,
    /// Mean of the smoothed round-trip times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failures {
    pub source: String,
    pub destination: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub port: u16,
    /// Packets that the kernel discarded; else connections that failed.
    pub dropped: bool,
    /// Empty: it is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Within the window.
    pub count: u64,
}

fn more(text: &mut String, hidden: usize, noun: &str) {
    if hidden > 0 {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "... and {}; -o json has all", plural(hidden as u64, noun));
    }
}

fn is_zero(port: &u16) -> bool {
    *port == 0
}

impl Snapshot {
    /// `search`: only pairs whose names contain it, in whatever case.
    pub fn new(window: &Window, now: Instant, group: Group, sort: Sort, search: &str) -> Self {
        let seconds = window.seconds(now);
        let wanted = wanted(search);
        let mut sums = HashMap::<(String, String), Counts>::new();
        for (source, destination, counts) in window.pairs() {
            *sums.entry((source.label(group), destination.label(group))).or_default() += counts;
        }
        let mut pairs: Vec<_> = sums
            .into_iter()
            .filter(|((source, destination), _)| wanted(source, destination))
            .map(|((source, destination), counts)| Row {
                source,
                destination,
                rates: Rates::new(counts, seconds),
            })
            .collect();
        sort.apply(&mut pairs);
        let others = Some(window.others()).filter(|others| *others != Counts::default());
        Self {
            seconds,
            group,
            sort,
            pairs,
            others: others.map(|others| Rates::new(others, seconds)),
            failures: failures(window, group, &wanted),
            records_per_second: Some(window.records() as f64 / seconds),
            records_lost: window.lost(),
            missing: Vec::new(),
        }
    }

    /// For a reader without a terminal: a screenful.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let pairs = &self.pairs[..self.pairs.len().min(MOST_PAIRS)];
        let failures = &self.failures[..self.failures.len().min(MOST_FAILURES)];
        let widest = |end: fn(&Row) -> &String| {
            pairs.iter().map(|row| end(row).chars().count()).max().unwrap_or(0)
        };
        let source = widest(|row| &row.source).max(6);
        let destination = widest(|row| &row.destination).max(11);
        let mut line = |from: &str, to: &str, cells: [&str; 6]| {
            let [bytes, connections, failures, drops, rtt, retransmits] = cells;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{from:source$}  {to:destination$}  {bytes:>7}  {connections:>6}  {failures:>6}  {drops:>6}  {rtt:>7}  {retransmits:>6}"
            );
        };
        line("SOURCE", "DESTINATION", ["BYTES/s", "CONN/s", "FAIL/s", "DROP/s", "RTT", "RETX/s"]);
        let others = self.others.map(|rates| Row {
            source: "(others)".to_owned(),
            destination: String::new(),
            rates,
        });
        for row in pairs.iter().chain(&others) {
            let cells = row.rates.cells();
            line(&row.source, &row.destination, cells.each_ref().map(String::as_str));
        }
        more(&mut text, self.pairs.len() - pairs.len(), "more pair");
        for failure in failures {
            let _ = writeln!(text, "{}", failure.text());
        }
        more(&mut text, self.failures.len() - failures.len(), "more failure");
        if self.records_lost > 0 {
            let _ = writeln!(text, "... {} records lost: reader too slow", self.records_lost);
        }
        for missing in &self.missing {
            let _ = writeln!(text, "... {missing}");
        }
        text
    }
}

/// Whether the names of a pair contain the text, in whatever case.
pub fn wanted(search: &str) -> impl Fn(&str, &str) -> bool {
    let search = search.to_lowercase();
    move |source, destination| {
        search.is_empty() || format!("{source} -> {destination}").to_lowercase().contains(&search)
    }
}

impl Rates {
    pub fn new(counts: Counts, seconds: f64) -> Self {
        let rate = |count: u64| count as f64 / seconds;
        Self {
            bytes_per_second: rate(counts.bytes),
            connections_per_second: rate(counts.connections),
            failures_per_second: rate(counts.failures),
            drops_per_second: rate(counts.drops),
            retransmits_per_second: rate(counts.retransmits),
            rtt_us: counts.rtt_us.checked_div(counts.rtt_samples),
        }
    }

    /// Bytes, connections, failures, drops, RTT, retransmits.
    pub fn cells(&self) -> [String; 6] {
        [
            bytes(self.bytes_per_second as u64),
            rate(self.connections_per_second),
            rate(self.failures_per_second),
            rate(self.drops_per_second),
            self.rtt_us.map_or_else(|| "-".to_owned(), span_us),
            rate(self.retransmits_per_second),
        ]
    }
}

impl Sort {
    /// The most of it first.
    pub fn apply(self, rows: &mut [Row]) {
        rows.sort_by(|a, b| {
            let by_rate =
                self.key(&b.rates).partial_cmp(&self.key(&a.rates)).unwrap_or(Ordering::Equal);
            by_rate.then_with(|| (&a.source, &a.destination).cmp(&(&b.source, &b.destination)))
        });
    }

    fn key(self, rates: &Rates) -> f64 {
        match self {
            Self::Bytes => rates.bytes_per_second,
            Self::Connections => rates.connections_per_second,
            Self::Failures => rates.failures_per_second,
            Self::Drops => rates.drops_per_second,
            Self::Rtt => rates.rtt_us.unwrap_or(0) as f64,
            Self::Retransmits => rates.retransmits_per_second,
        }
    }
}

impl Failures {
    pub fn text(&self) -> String {
        let port = if self.port == 0 { String::new() } else { format!(":{}", self.port) };
        let what = match (self.dropped, self.error.as_str()) {
            (true, "") => "dropped".to_owned(),
            (true, reason) => format!("dropped: {reason}"),
            (false, "") => "failed".to_owned(),
            (false, error) => error.to_owned(),
        };
        let meaning = crate::observe::explain(&self.error)
            .map(|meaning| format!(" ({meaning})"))
            .unwrap_or_default();
        format!("{}x  {} -> {}{port}  {what}{meaning}", self.count, self.source, self.destination)
    }
}

fn failures(window: &Window, group: Group, wanted: &impl Fn(&str, &str) -> bool) -> Vec<Failures> {
    let mut sums = HashMap::<(bool, String, String, u16, String), u64>::new();
    for (failure, count) in window.failures().filter(|(_, count)| *count > 0) {
        let source = failure.source.label(group);
        let destination = failure.destination.label(group);
        if wanted(&source, &destination) {
            let what = printable(&failure.what).into_owned();
            *sums.entry((failure.dropped, source, destination, failure.port, what)).or_default() +=
                count;
        }
    }
    let mut failures: Vec<_> = sums
        .into_iter()
        .map(|((dropped, source, destination, port, error), count)| Failures {
            source,
            destination,
            port,
            dropped,
            error,
            count,
        })
        .collect();
    sort_failures(&mut failures);
    failures
}

pub fn sort_failures(failures: &mut [Failures]) {
    failures.sort_by(|a, b| {
        let name = |failure: &Failures| {
            (failure.source.clone(), failure.destination.clone(), failure.port)
        };
        // Drops are often harmless, a failed connection never.
        (a.dropped, b.count).cmp(&(b.dropped, a.count)).then_with(|| name(a).cmp(&name(b)))
    });
}
