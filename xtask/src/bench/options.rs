//! What the command line asks for.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Benches by name; all if empty.
    pub names: Vec<String>,
    /// Where the figures go as JSON.
    pub json: Option<PathBuf>,
    /// Length of one measurement.
    pub seconds: f64,
    /// Measurements of each figure; where it is a ratio, so many with the agent and so many without.
    pub rounds: usize,
}

impl Options {
    /// `[NAME...] [--json FILE] [--seconds N] [--rounds N]`
    pub fn parse(arguments: &[String], valid: &[&str]) -> Result<Self> {
        let mut options = Self { names: Vec::new(), json: None, seconds: 2.0, rounds: 5 };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("bench: {word} needs a value"));
            match word.as_str() {
                "--json" => options.json = Some(value()?.into()),
                "--seconds" => {
                    let seconds = value()?;
                    let number =
                        seconds.parse().ok().filter(|number| (0.1..=3600.0).contains(number));
                    let wrong = || format!("bench: --seconds {seconds}: expected 0.1 to 3600");
                    options.seconds = number.with_context(wrong)?;
                }
                "--rounds" => {
                    let rounds = value()?;
                    let number = rounds.parse().ok().filter(|number| (1..=1000).contains(number));
                    let wrong = || format!("bench: --rounds {rounds}: expected 1 to 1000");
                    options.rounds = number.with_context(wrong)?;
                }
                name if valid.contains(&name) => options.names.push(name.to_owned()),
                other => bail!(
                    "bench: no such bench or flag: {other}; there are {}, --json FILE, --seconds N, --rounds N",
                    valid.join(", ")
                ),
            }
        }
        Ok(options)
    }

    pub fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words, &["http", "agent"])
    }

    fn refused(line: &str, why: &str) {
        let error = parse(line).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn all_benches_unless_named() {
        let all = parse("").unwrap();
        assert!(all.wants("http") && all.wants("agent") && all.rounds >= 3);
        let one = parse("http --json a.json --rounds 5 --seconds 0.5").unwrap();
        assert!(one.wants("http") && !one.wants("agent"));
        assert_eq!((one.json, one.rounds, one.seconds), (Some("a.json".into()), 5, 0.5));
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("htpp", "htpp");
        refused("--json", "--json needs a value");
        refused("--rounds 0", "--rounds 0");
        refused("--seconds soon", "--seconds soon");
        refused("--seconds NaN", "--seconds NaN");
    }
}
