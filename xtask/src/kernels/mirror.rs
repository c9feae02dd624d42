//! The Debian mirror that this machine already uses.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

const VARIABLE: &str = "DEBIAN_MIRROR";

/// The base address of the archive: from the environment, or from apt's configuration.
pub fn find() -> Result<String> {
    if let Ok(mirror) = std::env::var(VARIABLE)
        && !mirror.is_empty()
    {
        return Ok(mirror);
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if field(&release, "ID") == Some("debian") {
        let codename = field(&release, "VERSION_CODENAME").unwrap_or("sid");
        let found = source_files().iter().find_map(|text| in_sources(text, codename));
        if let Some(mirror) = found {
            return Ok(mirror);
        }
    }
    bail!(
        "the kernels come from Debian, and apt here is not set up for it; \
         set {VARIABLE} to the address of a Debian mirror and install debian-archive-keyring"
    )
}

/// What apt reads, in its order.
fn source_files() -> Vec<String> {
    let mut paths = vec![Path::new("/etc/apt/sources.list").to_path_buf()];
    if let Ok(folder) = fs::read_dir("/etc/apt/sources.list.d") {
        let mut parts: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        paths.extend(
            parts
                .into_iter()
                .filter(|path| path.extension().is_some_and(|e| e == "list" || e == "sources")),
        );
    }
    paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

fn field<'a>(release: &'a str, name: &str) -> Option<&'a str> {
    release
        .lines()
        .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.trim_matches('"')))
}

/// The address that a `.list` or a deb822 `.sources` file gives for the suite itself, not for its updates.
fn in_sources(text: &str, codename: &str) -> Option<String> {
    let is_suite =
        |suite: &str| [codename, "stable", "testing", "unstable", "sid"].contains(&suite);
    let one_line = text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [address, suite, components @ ..] = words.as_slice() else { return None };
        (is_suite(suite) && components.contains(&"main")).then(|| (*address).to_owned())
    });
    one_line.or_else(|| text.split("\n\n").find_map(|stanza| in_stanza(stanza, is_suite)))
}

fn in_stanza(stanza: &str, is_suite: impl Fn(&str) -> bool) -> Option<String> {
    let values = |name: &str| {
        let line = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace()
    };
    let is_debian = values("Types").any(|kind| kind == "deb")
        && values("Suites").any(is_suite)
        && values("Components").any(|component| component == "main")
        && values("Enabled").all(|value| value != "no");
    is_debian.then(|| values("URIs").next().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(in_sources(text, "bookworm").as_deref(), expected, "{text}");
    }

    #[test]
    fn the_mirror_is_that_of_the_suite_itself() {
        check("deb http://m.example/debian bookworm main", Some("http://m.example/debian"));
        check("# deb http://m.example/debian bookworm main\n", None);
        check(
            "deb [arch=amd64 signed-by=/k] https://m.example/debian/ sid main contrib",
            Some("https://m.example/debian/"),
        );
        check("deb http://m.example/debian-security bookworm-security main", None);
        check("deb https://other.example bookworm stable", None);
        check(
            "Types: deb\n# note\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n",
            Some("http://m.example/debian"),
        );
        check(
            "Types: deb\nURIs: http://s.example\nSuites: bookworm-security\nComponents: main\n",
            None,
        );
        check("Types: deb-src\nURIs: http://s.example\nSuites: bookworm\nComponents: main\n", None);
        check(
            "Enabled: no\nTypes: deb\nURIs: http://s.example\nSuites: bookworm\nComponents: main\n",
            None,
        );
        check(
            "Types: deb\nURIs: http://a.example\nSuites: nodistro\nComponents: main\n\n\
             Types: deb\nURIs: http://b.example\nSuites: stable\nComponents: main\n",
            Some("http://b.example"),
        );
    }
}
