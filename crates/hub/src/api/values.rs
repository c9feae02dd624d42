//! Values as JSON.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashSet;
use model::Timestamp;
use model::measure::Shape;
use model::row::{Distribution, Values};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::query::{Answered, Statistic};
use crate::store::Loss;

/// By measure; what was not observed is absent. Gauges are the mean over so many seconds.
pub struct Shown<'a> {
    pub values: &'a Values,
    pub seconds: u64,
}

struct Statistics<'a>(&'a Distribution);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for measure in self.values.measures() {
            match (measure.shape(), self.values.sum(measure)) {
                (Shape::Gauge, Some(sum)) => {
                    let mean = sum as f64 / self.seconds.max(1) as f64;
                    map.serialize_entry(measure.name(), &rounded(mean))?;
                }
                (_, Some(sum)) => map.serialize_entry(measure.name(), &sum)?,
                (_, None) => {
                    if let Some(it) = self.values.distribution(measure) {
                        map.serialize_entry(measure.name(), &Statistics(it))?;
                    }
                }
            }
        }
        map.end()
    }
}

impl Serialize for Statistics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for statistic in Statistic::ALL {
            match (statistic, statistic.of(self.0)) {
                (Statistic::Count, _) => map.serialize_entry("count", &self.0.count())?,
                (_, Some(value)) => map.serialize_entry(statistic.name(), &rounded(value))?,
                (_, None) => {}
            }
        }
        map.end()
    }
}

/// To six significant digits: what is behind them says nothing.
pub fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powi(5 - value.abs().log10().floor() as i32);
    let rounded = (value * scale).round() / scale;
    if rounded.is_finite() { rounded } else { value }
}

/// What every answer over a range of time begins with.
#[derive(Debug, serde::Serialize)]
pub struct Span {
    pub since: String,
    pub until: String,
    pub step_s: u64,
    pub complete: bool,
    pub missing: Vec<Missing>,
    /// Who asks may not see everything; whether there is more is not said.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// What somebody may know of nodes.
pub struct Sight {
    /// Those that do not report, though they did in this time.
    pub silent: Vec<Arc<str>>,
    /// Those that may be named; `None`: all.
    pub nodes: Option<HashSet<Arc<str>>>,
}

impl Sight {
    fn shows(&self, node: &str) -> bool {
        self.nodes.as_ref().is_none_or(|it| it.contains(node))
    }
}

/// Rows that never came, as far as it is known.
#[derive(Debug, serde::Serialize)]
pub struct Missing {
    pub node: Arc<str>,
    pub reason: Arc<str>,
    /// Absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

impl Span {
    pub fn new<T>(answered: &Answered<T>, sight: &Sight) -> Self {
        let lost = answered.missing.iter().map(|Loss { node, reason, rows, .. }| Missing {
            node: node.clone(),
            reason: reason.clone(),
            rows: Some(*rows).filter(|rows| *rows > 0),
        });
        let silent = sight.silent.iter().map(|node| Missing {
            node: node.clone(),
            reason: "not_connected".into(),
            rows: None,
        });
        let (mut missing, others): (Vec<Missing>, Vec<Missing>) =
            lost.chain(silent).partition(|it| sight.shows(&it.node));
        // That something is missing is said in any case.
        let reasons: BTreeSet<Arc<str>> = others.into_iter().map(|it| it.reason).collect();
        missing.extend(reasons.into_iter().map(|reason| Missing {
            node: "hidden".into(),
            reason,
            rows: None,
        }));
        let Range { start, end } = answered.times_s.clone();
        Self {
            since: time(start),
            until: time(end),
            step_s: answered.step_s,
            complete: missing.is_empty(),
            missing,
            hidden: sight.nodes.is_some(),
        }
    }
}

/// RFC 3339 without a fraction.
pub fn time(seconds: u64) -> String {
    let text = Timestamp(seconds.saturating_mul(1_000_000_000)).to_string();
    text.replace(".000000000", "")
}

#[cfg(test)]
mod tests {
    use model::Measure;

    use super::*;

    #[test]
    fn values_are_shown_by_measure_and_what_is_unknown_is_absent() {
        let mut values = Values::default();
        values.add(Measure::FAILURES, 0);
        values.add(Measure::ACTIVE, 90);
        values.observe(Measure::CONNECT, 1_000_000);
        let shown = serde_json::to_value(Shown { values: &values, seconds: 60 }).unwrap();
        let connect = shown["connect"].clone();
        assert_eq!((&connect["count"], &connect["max"]), (&1.into(), &0.001.into()));
        let expected = serde_json::json!({ "failures": 0, "active": 1.5, "connect": connect });
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_missing_on_other_nodes_is_said_without_their_names() {
        let loss = |node: &str| Loss {
            node: node.into(),
            reason: "spool_full".into(),
            rows: 3,
            since_s: 0,
            until_s: 10,
        };
        let missing = vec![loss("n1"), loss("n2"), loss("n3")];
        let answered = Answered { times_s: 0..10, step_s: 10, missing, answer: () };
        let told = |nodes: Option<HashSet<Arc<str>>>| {
            let span = Span::new(&answered, &Sight { silent: vec!["n1".into()], nodes });
            let missing = span.missing.into_iter();
            let missing = missing.map(|it| format!("{} {} {:?}", it.node, it.reason, it.rows));
            (span.hidden, span.complete, missing.collect::<Vec<_>>())
        };
        let (hidden, complete, missing) = told(None);
        assert_eq!((hidden, complete, missing.len()), (false, false, 4));
        let (hidden, complete, missing) = told(Some(HashSet::from_iter(["n1".into()])));
        let expected = ["n1 spool_full Some(3)", "n1 not_connected None", "hidden spool_full None"];
        assert_eq!(
            (hidden, complete, missing.as_slice()),
            (true, false, &expected.map(String::from)[..])
        );
    }

    #[test]
    fn numbers_have_six_digits() {
        for (value, expected) in
            [(0.0, 0.0), (1.0 / 3.0, 0.333_333), (123_456_789.0, 123_457_000.0), (f64::NAN, 0.0)]
        {
            assert_eq!(rounded(value), expected);
        }
        assert_eq!(time(1_800_000_000), "2027-01-15T08:00:00Z");
    }
}
