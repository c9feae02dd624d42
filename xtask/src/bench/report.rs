//! The figures as people read them, and as programs do.

use std::fmt::Write;

use serde::Serialize;

use super::disturbance::NOISY_PERCENT;
use super::host::Machine;
use super::row::{Row, Unit};
use super::statistics::Summary;

/// What came of one bench.
#[derive(Default, Serialize)]
pub struct Findings {
    pub rows: Vec<Row>,
    pub grids: Vec<Grid>,
    /// What somebody has to know who reads the figures.
    pub notes: Vec<String>,
}

impl Findings {
    pub fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.grids.extend(other.grids);
        self.notes.extend(other.notes);
    }
}

/// Figures in two dimensions, without goals.
#[derive(Serialize)]
pub struct Grid {
    pub bench: &'static str,
    pub title: String,
    /// What the lines are.
    pub over: &'static str,
    pub columns: Vec<(&'static str, Unit)>,
    /// Medians, in the order of the columns.
    pub lines: Vec<(String, Vec<f64>)>,
}

impl Grid {
    pub fn new(
        bench: &'static str,
        title: impl Into<String>,
        over: &'static str,
        columns: &[(&'static str, Unit)],
    ) -> Self {
        Self { bench, title: title.into(), over, columns: columns.to_vec(), lines: Vec::new() }
    }

    pub fn line(&mut self, name: impl Into<String>, values: impl IntoIterator<Item = f64>) {
        self.lines.push((name.into(), values.into_iter().collect()));
    }

    /// The medians of lines that were measured several times: samples × columns.
    pub fn medians(&mut self, name: impl Into<String>, samples: &[Vec<f64>]) {
        let column = |at: usize| {
            Summary::of(samples.iter().filter_map(|sample| sample.get(at).copied())).median
        };
        let values: Vec<f64> = (0..self.columns.len()).map(column).collect();
        self.line(name, values);
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let head = self.columns.iter().map(|(name, unit)| match unit.name() {
            "" => (*name).to_owned(),
            unit => format!("{name} ({unit})"),
        });
        let mut rows = vec![std::iter::once(self.over.to_owned()).chain(head).collect()];
        for (name, values) in &self.lines {
            let numbers =
                values.iter().zip(&self.columns).map(|(value, (_, unit))| unit.number(*value));
            rows.push(std::iter::once(name.clone()).chain(numbers).collect());
        }
        rows
    }
}

#[derive(Serialize)]
pub struct Report {
    pub machine: Machine,
    pub seconds: f64,
    pub rounds: usize,
    /// Processor time, in percent of the machine, that others took while it was measured.
    pub disturbance_percent: f64,
    #[serde(flatten)]
    pub findings: Findings,
}

impl Report {
    pub fn text(&self) -> String {
        let Self { machine, findings, .. } = self;
        let head = ["", "peers", "goal", "measured", "spread", "met"].map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> =
            std::iter::once(head).chain(findings.rows.iter().map(Row::cells)).collect();
        let mut text = align(&rows);
        for grid in &findings.grids {
            let _ = write!(text, "\n{}: {}\n{}", grid.bench, grid.title, align(&grid.cells()));
        }
        let _ = writeln!(
            text,
            "\n{} processors ({}), Linux {}; {} s a measurement, {} rounds; median, spread from the smallest to the largest",
            machine.processors, machine.processor, machine.kernel, self.seconds, self.rounds
        );
        let disturbance = self.disturbance_percent;
        let judgement = if disturbance >= NOISY_PERCENT { ": NOISY" } else { "" };
        let _ = writeln!(text, "other processes took {disturbance:.1} % of the machine{judgement}");
        for note in &findings.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }

    /// How many goals there are, and how many were missed.
    pub fn goals(&self) -> (usize, usize) {
        let met: Vec<bool> = self.findings.rows.iter().filter_map(|row| row.met).collect();
        (met.len(), met.iter().filter(|met| !**met).count())
    }
}

fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        rows.iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::row::Goal;
    use super::*;

    fn report() -> Report {
        let mut grid =
            Grid::new("b", "sizes", "size", &[("time", Unit::Nanoseconds), ("n", Unit::Count)]);
        grid.medians("x 10", &[vec![1.0, 5.0], vec![3.0, 6.0], vec![2.0, 7.0]]);
        let rows = vec![
            Row::new("b", "good", Unit::Ratio, Summary::of([0.9, 1.0])).goal(Goal::AtLeast(0.5)),
            Row::new("b", "bad", Unit::Count, Summary::one(3.0)).goal(Goal::AtMost(0.0)).peers("7"),
            Row::new("b", "any", Unit::Count, Summary::one(3.0)),
        ];
        let notes = vec!["beware".to_owned()];
        let machine = Machine { kernel: "6.1".into(), processor: "P".into(), processors: 2 };
        let findings = Findings { rows, grids: vec![grid], notes };
        Report { machine, seconds: 3.0, rounds: 2, disturbance_percent: 17.0, findings }
    }

    #[test]
    fn a_report_is_a_table() {
        let expected = "         peers  goal     measured  spread        met\n\
                        b: good  -      ≥ 0.500  0.950     0.900..1.000  yes\n\
                        b: bad   7      ≤ 0      3         -             NO\n\
                        b: any   -      -        3         -             -\n\
                        \n\
                        b: sizes\n\
                        size  time (ns)  n\n\
                        x 10  2.0        6\n\
                        \n\
                        2 processors (P), Linux 6.1; 3 s a measurement, 2 rounds; median, spread from the smallest to the largest\n\
                        other processes took 17.0 % of the machine: NOISY\n\
                        beware\n";
        assert_eq!(report().text(), expected);
        assert_eq!(report().goals(), (2, 1));
    }

    #[test]
    fn a_report_is_json() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(
            (json["rounds"].as_u64(), json["machine"]["processors"].as_u64()),
            (Some(2), Some(2))
        );
        assert_eq!(
            (&json["rows"][1]["met"], &json["rows"][1]["median"]),
            (&false.into(), &3.0.into())
        );
        assert_eq!(json["grids"][0]["lines"][0][1][0], 2.0);
    }
}
