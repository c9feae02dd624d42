//! What a guest said, understood.

use std::collections::BTreeMap;

/// What `vm/init` and the tests that it ran wrote to the console.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `uname -r`; empty if it never got so far.
    pub release: String,
    pub passed: u32,
    pub failed: u32,
    /// What failed, by name, and what went wrong with it.
    pub failures: Vec<String>,
    /// (probe, program) to its state and the reason.
    pub verdicts: BTreeMap<(String, String), (String, String)>,
    /// Whether it came to its end by itself.
    pub done: bool,
}

/// Reads the lines of a console: those of `vm/init` begin with `@`, tests write libtest's, and a program's fate is
/// `verdict PROBE PROGRAM STATE REASON`.
pub fn parse(lines: &[String]) -> Outcome {
    let mut outcome = Outcome::default();
    // The program that runs, and whether it has told its own count.
    let mut running: Option<(&str, bool)> = None;
    for line in lines.iter().map(|line| line.trim()) {
        if let Some(rest) = line.strip_prefix("@kernel ") {
            outcome.release = rest.to_owned();
        } else if let Some(rest) = line.strip_prefix("@module ") {
            outcome.fail(format!("module {rest} cannot be inserted"));
        } else if let Some(rest) = line.strip_prefix("@run ") {
            running = Some((rest, false));
        } else if let Some(rest) = line.strip_prefix("@exit ") {
            let counted = running.take().is_some_and(|(_, counted)| counted);
            outcome.exit(rest, counted);
        } else if line == "@done" {
            outcome.done = true;
        } else if let Some(rest) = line.strip_prefix("verdict ") {
            outcome.verdict(rest);
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            let (passed, failed) = (number_before(rest, "passed"), number_before(rest, "failed"));
            outcome.passed += passed;
            outcome.failed += failed;
            if let Some((_, counted)) = &mut running {
                *counted = true;
            }
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            let binary = running.map_or("", |(name, _)| name);
            outcome.failures.push(format!("{binary}::{name}"));
        }
    }
    if !outcome.done {
        let place = running.map_or_else(String::new, |(name, _)| format!(", in {name}"));
        outcome.fail(format!("the guest did not reach its end{place}"));
    }
    outcome
}

/// Lines that are shown of a guest that did not reach its end, or in which something else than a test failed.
const LAST_LINES: usize = 25;

/// Lines that are shown of each panic.
const PANIC_LINES: usize = 4;

/// What explains the failures: each test's panic; if there is none, the end.
pub fn excerpt<'a>(lines: &'a [String], outcome: &Outcome) -> Vec<&'a str> {
    let panics = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains("' panicked at ") || line.contains(") panicked at "));
    let mut shown: Vec<&str> = panics
        .flat_map(|(at, _)| lines.iter().skip(at).take(PANIC_LINES))
        .map(String::as_str)
        .collect();
    if shown.is_empty() || !outcome.done {
        shown.extend(lines.iter().skip(lines.len().saturating_sub(LAST_LINES)).map(String::as_str));
    }
    shown
}

impl Outcome {
    /// Counts one failure of something else than a test.
    pub fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failures.push(what);
    }

    fn exit(&mut self, rest: &str, counted: bool) {
        match rest.rsplit_once(' ') {
            // Tests count themselves; an object that loads is one check.
            Some((_, "0")) if counted => {}
            Some((_, "0")) => self.passed += 1,
            Some((_, "101")) if counted => {}
            Some((name, "137")) => {
                self.fail(format!("{name}: killed; it took too long, or too much memory"))
            }
            Some((name, code)) => self.fail(format!("{name}: exit code {code}")),
            None => self.fail(format!("unreadable: @exit {rest}")),
        }
    }

    fn verdict(&mut self, rest: &str) {
        let mut words = rest.splitn(4, ' ');
        let (Some(probe), Some(program), Some(state)) = (words.next(), words.next(), words.next())
        else {
            return self.fail(format!("unreadable: verdict {rest}"));
        };
        let reason = words.next().unwrap_or_default().to_owned();
        if state == "failed" {
            self.fail(format!("{probe}/{program}: {reason}"));
        }
        self.verdicts.insert((probe.to_owned(), program.to_owned()), (state.to_owned(), reason));
    }
}

/// The 3 of `ok. 3 passed; 0 failed`.
fn number_before(text: &str, word: &str) -> u32 {
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
    let place = words.iter().position(|found| *found == word);
    place.and_then(|place| words.get(place.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(console: &str, passed: u32, failed: u32, failures: &[&str]) -> Outcome {
        let lines: Vec<String> = console.lines().map(str::to_owned).collect();
        let outcome = parse(&lines);
        assert_eq!((outcome.passed, outcome.failed), (passed, failed), "{console}\n{outcome:?}");
        let texts: Vec<&str> = outcome.failures.iter().map(String::as_str).collect();
        assert_eq!(texts, failures, "{console}");
        outcome
    }

    const RESULT: &str = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";

    #[test]
    fn tests_count_themselves() {
        let text = format!("@kernel 6.1.0\r\n@run tcp\r\n{RESULT}\r\n@exit tcp 0\r\n@done\r\n");
        assert_eq!(check(&text, 3, 0, &[]).release, "6.1.0");
        let failed = "@run tcp\ntest a ... FAILED\ntest b ... ok\n\
                      test result: FAILED. 1 passed; 1 failed; 0 ignored\n@exit tcp 101\n@done\n";
        check(failed, 1, 1, &["tcp::a"]);
    }

    #[test]
    fn what_does_not_count_itself_is_one_check() {
        check("@run tcp\nverdict tcp accept loads\n@exit tcp 0\n@done\n", 1, 0, &[]);
        check("@run tcp\nlibbpf: no\n@exit tcp 255\n@done\n", 0, 1, &["tcp: exit code 255"]);
        check(
            "@run tcp\n@exit tcp 137\n@done\n",
            0,
            1,
            &["tcp: killed; it took too long, or too much memory"],
        );
        // A crash after the tests have passed.
        check(
            &format!("@run tcp\n{RESULT}\n@exit tcp 139\n@done\n"),
            3,
            1,
            &["tcp: exit code 139"],
        );
        check("@module veth\n@done\n", 0, 1, &["module veth cannot be inserted"]);
    }

    #[test]
    fn a_guest_that_dies_has_failed() {
        check("", 0, 1, &["the guest did not reach its end"]);
        check(
            &format!("@run tcp\n{RESULT}\n@exit tcp 0\n@run flow\nKernel panic\n"),
            3,
            1,
            &["the guest did not reach its end, in flow"],
        );
    }

    #[test]
    fn panics_explain_failures() {
        let text = "@run tcp\ntest a ... FAILED\nthread 'a' (12) panicked at tests/tcp.rs:3:1:\nleft: 1\nright: 2\nnote\n\
                    more\n@exit tcp 101\n@done";
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let shown =
            ["thread 'a' (12) panicked at tests/tcp.rs:3:1:", "left: 1", "right: 2", "note"];
        assert_eq!(excerpt(&lines, &parse(&lines)), shown);
        lines.pop();
        assert_eq!(excerpt(&lines, &parse(&lines)).last(), Some(&"@exit tcp 101"));
    }

    #[test]
    fn verdicts_are_kept_and_failed_ones_count() {
        let text = "@run v\nverdict tcp accept degraded no fexit here\nverdict tcp state active\n\
                    verdict drop kfree_skb failed EINVAL\ntest result: ok. 1 passed; 0 failed\n@exit v 0\n@done\n";
        let outcome = check(text, 1, 1, &["drop/kfree_skb: EINVAL"]);
        let key = |probe: &str, program: &str| (probe.to_owned(), program.to_owned());
        assert_eq!(
            outcome.verdicts[&key("tcp", "accept")],
            ("degraded".to_owned(), "no fexit here".to_owned())
        );
        assert_eq!(outcome.verdicts[&key("tcp", "state")], ("active".to_owned(), String::new()));
    }
}
