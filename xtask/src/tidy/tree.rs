//! What the rules look at.

use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{process, repository};

/// The repository's text files and its dependencies.
pub struct Tree {
    pub files: Vec<File>,
    pub packages: Vec<Package>,
    pub deny: Deny,
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

/// A crate as cargo resolved it.
#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    /// `None` for a crate of this workspace.
    pub source: Option<String>,
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
    packages: Vec<Package>,
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
        let json = process::bytes(repository::cargo().args([
            "metadata",
            "--locked",
            "--format-version",
            "1",
        ]))?;
        let metadata: Metadata = serde_json::from_slice(&json).context("read cargo metadata")?;
        let deny =
            fs::read_to_string(repository::root().join("deny.toml")).context("read deny.toml")?;
        let deny = toml::from_str(&deny).context("read deny.toml")?;
        Ok(Self { files, packages: metadata.packages, deny })
    }

    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self {
            files: files.iter().map(file).collect(),
            packages: Vec::new(),
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
