//! wrk, which asks for pages as fast as it gets them.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::child::Child;
use super::lab::Lab;

/// wrk's own report has no stable form; its script can see the same figures.
const SCRIPT: &str = r#"done = function(summary, latency, requests)
  local e = summary.errors
  print(string.format('RESULT {"requests":%d,"bytes":%d,"us":%d,"p50_us":%f,"p99_us":%f,"errors":%d}',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#;

/// How to ask.
#[derive(Clone, Debug)]
pub struct Plan {
    pub url: String,
    pub connections: usize,
    pub threads: usize,
    pub seconds: f64,
    /// A connection for each request, or all through the same few.
    pub close: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Outcome {
    pub requests: u64,
    /// Received, headers included.
    pub bytes: u64,
    us: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    errors: u64,
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 * 1e6 / self.us as f64
    }
}

/// Asks from the client's place.
///
/// # Errors
/// Nothing was answered, or one request in a thousand failed: then it is no figure.
pub fn run(lab: &Lab, plan: &Plan) -> Result<Outcome> {
    let script = lab.site.write("wrk.lua", SCRIPT)?;
    // wrk takes whole seconds only.
    let seconds = plan.seconds.max(1.0).round() as u64;
    let mut arguments = vec![
        format!("-t{}", plan.threads),
        format!("-c{}", plan.connections),
        format!("-d{seconds}s"),
        format!("-s{script}"),
        plan.url.clone(),
    ];
    if plan.close {
        arguments.extend(["-H".to_owned(), "Connection: close".to_owned()]);
    }
    let client = &lab.site.client;
    let log = lab.site.file("wrk.log");
    let mut child = Child::start("wrk", &arguments, &client.cgroup, Some(&client.netns), log)?;
    let lines = child.output(&lab.interrupt, Duration::from_secs(seconds + 30))?;
    parse(&lines)
}

fn parse(lines: &[String]) -> Result<Outcome> {
    let line = lines.iter().find_map(|line| line.strip_prefix("RESULT "));
    let line = line.context("wrk gave no result")?;
    let outcome: Outcome = serde_json::from_str(line).with_context(|| format!("wrk: {line}"))?;
    if outcome.requests == 0 || outcome.errors > outcome.requests / 1000 {
        bail!("wrk: {} requests answered, {} failed", outcome.requests, outcome.errors);
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(requests: u64, errors: u64) -> Result<Outcome> {
        let line = format!(
            r#"RESULT {{"requests":{requests},"bytes":9,"us":2000000,"p50_us":1.5,"p99_us":3.0,"errors":{errors}}}"#
        );
        parse(&["Running 1s test".to_owned(), line])
    }

    #[test]
    fn failures_are_no_figures() {
        assert_eq!(check(5000, 5).unwrap().per_second(), 2500.0);
        assert!(check(5000, 6).is_err());
        assert!(check(0, 0).is_err());
        assert!(parse(&[]).is_err());
    }
}
