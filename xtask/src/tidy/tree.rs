//! What the rules look at.

use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{process, repository};

/// The repository's text files and its dependencies.
pub struct Tree {
    pub files: Vec<File>,
    /// The workspace's own crates.
    pub crates: Vec<Crate>,
    /// What they are built from, tests included.
    pub dependencies: Vec<Licensed>,
    pub deny: Deny,
}

/// A crate from outside: `serde v1.0.229`, and its licence as an SPDX expression; empty if it names none.
#[derive(Debug, PartialEq, Eq)]
pub struct Licensed {
    pub name: String,
    pub version: String,
    pub licence: String,
}

pub struct File {
    /// Relative to the root.
    pub path: String,
    pub text: String,
}

impl File {
    /// Its lines, with their numbers from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    pub fn has_extension(&self, extensions: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }
}

#[derive(Deserialize)]
pub struct Crate {
    pub name: String,
    pub dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
pub struct Dependency {
    pub name: String,
    /// `None` for a normal dependency; `dev` or `build`.
    pub kind: Option<String>,
}

/// `deny.toml`, as far as it is checked here.
#[derive(Default, Deserialize)]
pub struct Deny {
    pub licenses: Licenses,
    pub bans: Bans,
}

#[derive(Default, Deserialize)]
pub struct Licenses {
    pub allow: Vec<String>,
    #[serde(default)]
    pub exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
pub struct Exception {
    #[serde(rename = "crate")]
    pub crate_name: String,
    pub allow: Vec<String>,
}

#[derive(Default, Deserialize)]
pub struct Bans {
    pub deny: Vec<Ban>,
}

#[derive(Deserialize)]
pub struct Ban {
    pub name: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
}

impl Tree {
    pub fn read() -> Result<Self> {
        let mut files = Vec::new();
        for path in repository::files()? {
            // What is not text (pictures) has no rule.
            if let Ok(text) = fs::read_to_string(repository::root().join(&path)) {
                files.push(File { path: path.to_string_lossy().into_owned(), text });
            }
        }
        let mut metadata = repository::cargo();
        metadata.args(["metadata", "--no-deps", "--locked", "--format-version", "1"]);
        let json = process::bytes(&mut metadata)?;
        let metadata: Metadata = serde_json::from_slice(&json).context("read cargo metadata")?;
        // Not from the metadata: that counts optional crates that nobody asked for.
        let mut tree = repository::cargo();
        tree.args(["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}\t{l}"]);
        let dependencies = licensed(&process::output(&mut tree)?);
        let deny =
            fs::read_to_string(repository::root().join("deny.toml")).context("read deny.toml")?;
        let deny = toml::from_str(&deny).context("read deny.toml")?;
        Ok(Self { files, crates: metadata.packages, dependencies, deny })
    }

    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self {
            files: files.iter().map(file).collect(),
            crates: Vec::new(),
            dependencies: Vec::new(),
            deny: Deny::default(),
        }
    }

    #[cfg(test)]
    pub fn check(
        rule: fn(&Self) -> Vec<super::Finding>,
        files: &[(&str, &str)],
        expected: &[&str],
    ) {
        let findings = rule(&Self::of(files));
        let places: Vec<&str> = findings.iter().map(|finding| finding.place.as_str()).collect();
        assert_eq!(places, expected, "{findings:?}");
    }
}

/// Reads lines like `serde v1.0.229 (*)\tMIT OR Apache-2.0`; crates of the workspace have a path in brackets.
fn licensed(text: &str) -> Vec<Licensed> {
    let mut found = std::collections::BTreeMap::new();
    for (package, licence) in text.lines().filter_map(|line| line.split_once('\t')) {
        let words: Vec<&str> = package.split_whitespace().collect();
        let [name, version, rest @ ..] = words.as_slice() else { continue };
        if rest.iter().any(|word| word.starts_with("(/")) {
            continue;
        }
        let licence = licence.trim_end_matches("(*)").trim();
        found.insert(((*name).to_owned(), (*version).to_owned()), licence.to_owned());
    }
    found
        .into_iter()
        .map(|((name, version), licence)| Licensed { name, version, licence })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_tree() {
        let text = "model v0.1.0 (/src/crates/model)\tApache-2.0\nserde v1.0.2\tMIT OR Apache-2.0\n\n\
                    serde_derive v1.0.2 (proc-macro)\tMIT\nserde v1.0.2\tMIT OR Apache-2.0 (*)\nodd v2.0.0\t\n";
        let found: Vec<String> = licensed(text)
            .iter()
            .map(|d| format!("{} {} {}", d.name, d.version, d.licence))
            .collect();
        assert_eq!(
            found,
            ["odd v2.0.0 ", "serde v1.0.2 MIT OR Apache-2.0", "serde_derive v1.0.2 MIT"]
        );
    }
}
