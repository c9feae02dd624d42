//! Rules on what depends on what.

use super::Finding;
use super::tree::Tree;

/// What each crate may use of this workspace. Tests may use more: `sim` serves them.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("model", &[]),
    ("proto", &["model"]),
    ("daemon", &["model"]),
    ("l7", &["model"]),
    ("probes", &["model", "l7"]),
    ("reflector", &[]),
    ("sim", &["model"]),
    ("agent", &["model", "proto", "daemon", "l7", "probes", "reflector"]),
    ("hub", &["model", "proto", "daemon", "reflector"]),
    ("amphipod", &["model", "daemon", "probes", "reflector", "agent", "hub", "sim"]),
    ("xtask", &["model", "proto", "daemon", "probes", "reflector", "agent", "hub", "sim"]),
];

pub fn direction(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.crates {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == package.name) else {
            findings.push(Finding::new(
                &package.name,
                "has no place in the order; add it in xtask/src/tidy/dependencies.rs",
            ));
            continue;
        };
        let ours = |name: &str| tree.crates.iter().any(|other| other.name == name);
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
        {
            if ours(&dependency.name) && !allowed.contains(&dependency.name.as_str()) {
                findings.push(Finding::new(
                    &package.name,
                    format!("may not depend on {}", dependency.name),
                ));
            }
        }
    }
    findings
}

pub fn licences(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in &tree.dependencies {
        let place = format!("{} {}", dependency.name, dependency.version);
        let exceptions = tree
            .deny
            .licenses
            .exceptions
            .iter()
            .filter(|exception| exception.crate_name == dependency.name);
        let allowed: Vec<&str> = exceptions
            .flat_map(|exception| &exception.allow)
            .chain(&tree.deny.licenses.allow)
            .map(String::as_str)
            .collect();
        if !satisfied(&dependency.licence, &allowed) {
            findings.push(Finding::new(&place, format!("licence {:?}", dependency.licence)));
        }
        if tree.deny.bans.deny.iter().any(|ban| ban.name == dependency.name) {
            findings.push(Finding::new(&place, "banned in deny.toml"));
        }
    }
    findings
}

/// Whether an SPDX expression can be met with the allowed licences. AND binds closer than OR; `/` is the old OR.
fn satisfied(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let met = either(&mut words, allowed);
    met && words.peek().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words, allowed: &[&str]) -> bool {
    let mut met = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= both(words, allowed);
    }
    met
}

fn both(words: &mut Words, allowed: &[&str]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words, allowed: &[&str]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = either(words, allowed);
        return words.next_if_eq(&")").is_some() && met;
    }
    let Some(licence) = words.next() else { return false };
    match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
        Some(exception) => allowed.contains(&format!("{licence} WITH {exception}").as_str()),
        None => allowed.contains(&licence),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Ban, Bans, Crate, Deny, Dependency, Licensed, Licenses};
    use super::*;

    fn check(expression: &str, expected: bool) {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        assert_eq!(satisfied(expression, &allowed), expected, "{expression}");
    }

    #[test]
    fn expressions_are_met() {
        check("MIT", true);
        check("MIT/Apache-2.0", true);
        check("GPL-3.0-only", false);
        check("GPL-3.0-only OR MIT", true);
        check("(MIT OR GPL-3.0-only) AND Unicode-3.0", true);
        check("MIT AND GPL-3.0-only", false);
        check("MIT OR GPL-3.0-only AND LGPL-2.1-only", true);
        check("Apache-2.0 WITH LLVM-exception", true);
        check("Apache-2.0 WITH Other-exception", false);
        check("", false);
        check("(MIT", false);
        check("MIT MIT", false);
    }

    #[test]
    fn crates_depend_in_one_direction() {
        let package = |name: &str, uses: &[(&str, Option<&str>)]| Crate {
            name: name.to_owned(),
            dependencies: uses
                .iter()
                .map(|(name, kind)| Dependency {
                    name: (*name).to_owned(),
                    kind: kind.map(str::to_owned),
                })
                .collect(),
        };
        let mut tree = Tree::of(&[]);
        tree.crates = vec![
            package("model", &[("serde", None)]),
            package("probes", &[("model", None), ("sim", Some("dev"))]),
            package("sim", &[]),
            package("agent", &[("sim", None)]),
            package("novelty", &[]),
        ];
        let findings = direction(&tree);
        let texts: Vec<String> =
            findings.iter().map(|f| format!("{}: {}", f.place, f.what)).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert_eq!(texts[0], "agent: may not depend on sim");
        assert!(texts[1].starts_with("novelty: has no place"));
    }

    #[test]
    fn licences_and_bans_are_those_of_deny_toml() {
        let dependency = |name: &str, licence: &str| Licensed {
            name: name.to_owned(),
            version: "v1.0.0".to_owned(),
            licence: licence.to_owned(),
        };
        let mut tree = Tree::of(&[]);
        tree.deny = Deny {
            licenses: Licenses { allow: vec!["MIT".to_owned()], exceptions: vec![] },
            bans: Bans { deny: vec![Ban { name: "banned".to_owned() }] },
        };
        tree.dependencies = vec![
            dependency("good", "MIT OR GPL-3.0-only"),
            dependency("banned", "MIT"),
            dependency("bad", "GPL-3.0-only"),
            dependency("silent", ""),
        ];
        let places: Vec<String> =
            licences(&tree).into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["banned v1.0.0", "bad v1.0.0", "silent v1.0.0"]);
    }
}
