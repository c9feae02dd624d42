//! One figure: what was measured, against the goal and the peers.

use serde::{Serialize, Serializer};

use super::statistics::Summary;

/// Which figures are good enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Shown for its own sake.
    None,
}

impl Goal {
    /// `None` where there is no goal. What is no number meets none.
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(goal) => Some(value >= goal),
            Self::AtMost(goal) => Some(value <= goal),
            Self::None => None,
        }
    }
}

/// What a figure counts, and so how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Ratio,
    /// Of one core, or of a whole.
    Percent,
    Nanoseconds,
    Microseconds,
    /// Of 1024 bytes.
    Kilobytes,
    /// Of 2^20 bytes.
    Megabytes,
    PerSecond,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Count | Self::Ratio => "",
            Self::Percent => "%",
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
            Self::Kilobytes => "KB",
            Self::Megabytes => "MB",
            Self::PerSecond => "/s",
        }
    }

    /// The number without its unit.
    pub fn number(self, value: f64) -> String {
        if value.is_nan() {
            return "-".to_owned();
        }
        match self {
            Self::Count | Self::PerSecond | Self::Kilobytes => format!("{value:.0}"),
            Self::Nanoseconds if value >= 10.0 => format!("{value:.0}"),
            Self::Nanoseconds | Self::Microseconds | Self::Megabytes => {
                format!("{value:.1}")
            }
            Self::Percent => format!("{value:.2}"),
            Self::Ratio => format!("{value:.3}"),
        }
    }

    pub fn text(self, value: f64) -> String {
        let (number, name) = (self.number(value), self.name());
        if name.is_empty() { number } else { format!("{number} {name}") }
    }
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub bench: &'static str,
    pub name: String,
    /// What others measured on the same kind of machine.
    pub peers: &'static str,
    #[serde(serialize_with = "goal_text")]
    pub goal: Goal,
    pub unit: Unit,
    #[serde(flatten)]
    pub measured: Summary,
    pub met: Option<bool>,
}

fn goal_text<S: Serializer>(goal: &Goal, serializer: S) -> Result<S::Ok, S::Error> {
    match goal {
        Goal::AtLeast(value) => serializer.collect_str(&format_args!(">= {value}")),
        Goal::AtMost(value) => serializer.collect_str(&format_args!("<= {value}")),
        Goal::None => serializer.serialize_none(),
    }
}

impl Row {
    /// A figure without goal and peers.
    pub fn new(
        bench: &'static str,
        name: impl Into<String>,
        unit: Unit,
        measured: Summary,
    ) -> Self {
        let (peers, goal, met) = ("", Goal::None, None);
        Self { bench, name: name.into(), peers, goal, unit, measured, met }
    }

    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = goal;
        self.met = goal.is_met(self.measured.median);
        self
    }

    pub fn peers(mut self, peers: &'static str) -> Self {
        self.peers = peers;
        self
    }

    /// The cells of the table: name, peers, goal, measured, spread, met.
    pub fn cells(&self) -> Vec<String> {
        let Self { measured, unit, .. } = self;
        let goal = match self.goal {
            Goal::AtLeast(value) => format!("≥ {}", unit.text(value)),
            Goal::AtMost(value) => format!("≤ {}", unit.text(value)),
            Goal::None => "-".to_owned(),
        };
        let spread = match measured.samples.len() {
            0 | 1 => "-".to_owned(),
            _ => format!("{}..{}", unit.number(measured.min), unit.number(measured.max)),
        };
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        let peers = if self.peers.is_empty() { "-" } else { self.peers };
        vec![
            format!("{}: {}", self.bench, self.name),
            peers.to_owned(),
            goal,
            unit.text(measured.median),
            spread,
            met.to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(goal: Goal, samples: &[f64], met: Option<bool>) {
        let summary = Summary::of(samples.iter().copied());
        let row = Row::new("b", "n", Unit::Ratio, summary).goal(goal);
        assert_eq!(row.met, met, "{row:?}");
    }

    #[test]
    fn the_median_meets_the_goal_or_not() {
        check(Goal::AtLeast(0.985), &[0.985], Some(true));
        check(Goal::AtLeast(0.985), &[0.9, 0.99, 1.0], Some(true));
        check(Goal::AtLeast(0.985), &[0.9, 0.98, 1.0], Some(false));
        check(Goal::AtMost(120.0), &[120.1], Some(false));
        check(Goal::AtMost(120.0), &[119.0], Some(true));
        check(Goal::None, &[1.0], None);
        check(Goal::AtMost(1.0), &[], Some(false));
    }

    #[test]
    fn a_row_is_written_in_its_unit() {
        let row =
            Row::new("http", "ratio", Unit::Ratio, Summary::of([0.9876, 0.99, 1.0])).peers("0.923");
        let cells = row.clone().goal(Goal::AtLeast(0.985)).cells();
        assert_eq!(cells, ["http: ratio", "0.923", "≥ 0.985", "0.990", "0.988..1.000", "yes"]);
        let cells = Row::new("b", "n", Unit::Nanoseconds, Summary::one(2999.6)).cells();
        assert_eq!(cells, ["b: n", "-", "-", "3000 ns", "-", "-"]);
        let json = serde_json::to_value(row.goal(Goal::AtLeast(0.985))).unwrap();
        assert_eq!(json["goal"], ">= 0.985");
        assert_eq!((&json["median"], &json["met"]), (&0.99.into(), &true.into()));
    }
}
