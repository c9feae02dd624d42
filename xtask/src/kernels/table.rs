//! The matrix as people read it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::console::Outcome;

/// One column: a kernel and what came of it.
pub struct Column {
    pub name: String,
    pub outcome: Outcome,
    /// Tests that were not run here, and why.
    pub skipped: Vec<(String, String)>,
    /// Wall time in seconds.
    pub seconds: u64,
}

/// Program × kernel × verdict, then the counts, the reasons for what is not active, and the failures.
pub fn render(columns: &[Column]) -> String {
    let mut rows = vec![
        row("", columns, |c| c.name.clone()),
        row("kernel", columns, |c| version(&c.outcome.release)),
    ];
    let programs: BTreeSet<&(String, String)> =
        columns.iter().flat_map(|c| c.outcome.verdicts.keys()).collect();
    for key in programs {
        let mut row = vec![format!("{} {}", key.0, key.1)];
        row.extend(
            columns
                .iter()
                .map(|c| c.outcome.verdicts.get(key).map_or("-", |(state, _)| state).to_owned()),
        );
        rows.push(row);
    }
    rows.push(row("passed", columns, |c| c.outcome.passed.to_string()));
    rows.push(row("failed", columns, |c| c.outcome.failed.to_string()));
    rows.push(row("seconds", columns, |c| c.seconds.to_string()));
    let mut text = align(&rows);
    for column in columns {
        for ((probe, program), (state, reason)) in &column.outcome.verdicts {
            if !reason.is_empty() && state != "failed" {
                let _ = writeln!(text, "{}: {probe} {program} {state}: {reason}", column.name);
            }
        }
        for (test, reason) in &column.skipped {
            let _ = writeln!(text, "{}: skipped {test}: {reason}", column.name);
        }
        for failure in &column.outcome.failures {
            let _ = writeln!(text, "{}: FAILED {failure}", column.name);
        }
    }
    text
}

/// `6.12.107+deb13` of `6.12.107+deb13-cloud-amd64`: Debian's flavour and architecture are the same in every column.
fn version(release: &str) -> String {
    let version = release.split("-cloud").next().unwrap_or_default();
    if version.is_empty() { "-" } else { version }.to_owned()
}

fn row(title: &str, columns: &[Column], cell: impl Fn(&Column) -> String) -> Vec<String> {
    std::iter::once(title.to_owned()).chain(columns.iter().map(cell)).collect()
}

fn align(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|n| {
            rows.iter()
                .filter_map(|row| row.get(n))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::console::parse;

    #[test]
    fn a_missing_verdict_is_a_dash() {
        let column = |name: &str, text: &str| Column {
            name: name.to_owned(),
            outcome: parse(&text.lines().map(str::to_owned).collect::<Vec<_>>()),
            skipped: vec![],
            seconds: 7,
        };
        let columns = [
            column(
                "old",
                "@kernel 5.10.0-32-cloud-amd64\nverdict tcp accept degraded no fexit\n@done",
            ),
            column("new", "verdict tcp accept active\nverdict tcp state active"),
        ];
        let expected = "            old        new\n\
                        kernel      5.10.0-32  -\n\
                        tcp accept  degraded   active\n\
                        tcp state   -          active\n\
                        passed      0          0\n\
                        failed      0          1\n\
                        seconds     7          7\n\
                        old: tcp accept degraded: no fexit\n\
                        new: FAILED the guest did not reach its end\n";
        assert_eq!(render(&columns), expected);
    }
}
