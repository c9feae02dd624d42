//! Rules on names.

use super::Finding;
use super::tree::Tree;

/// Names that say nothing about what is inside.
const EMPTY: [&str; 9] =
    ["manager", "managers", "util", "utils", "common", "helper", "helpers", "misc", "handler2"];

/// Products that bear such a name.
const PRODUCTS: [&str; 1] = ["cert-manager"];

pub fn nouns(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let parts = file.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        let parts = parts.filter(|part| !PRODUCTS.contains(part));
        if let Some(name) =
            parts.flat_map(|part| part.split(['_', '-'])).find(|name| EMPTY.contains(name))
        {
            findings.push(Finding::new(&file.path, format!("{name} is no noun of this house")));
        }
        if !file.has_extension(&["rs"]) {
            continue;
        }
        for (number, line) in file.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = match words.as_slice() {
                ["mod", name, ..] | ["pub" | "pub(crate)" | "pub(super)", "mod", name, ..] => *name,
                _ => continue,
            };
            let name = name.trim_end_matches([';', '{']);
            if name.split('_').any(|part| EMPTY.contains(&part)) {
                findings
                    .push(Finding::new(format!("{}:{number}", file.path), format!("mod {name}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_names() {
        Tree::check(
            nouns,
            &[("crates/a/src/util.rs", ""), ("crates/a/src/utility.rs", "")],
            &["crates/a/src/util.rs"],
        );
        Tree::check(
            nouns,
            &[("crates/task_manager/src/lib.rs", "")],
            &["crates/task_manager/src/lib.rs"],
        );
        Tree::check(
            nouns,
            &[("deploy/overlays/cert-manager/a.yaml", ""), ("deploy/cert-managers/a.yaml", "")],
            &["deploy/cert-managers/a.yaml"],
        );
        Tree::check(
            nouns,
            &[("a.rs", "mod probe;\npub mod common;\npub(crate) mod helpers {\n")],
            &["a.rs:2", "a.rs:3"],
        );
    }
}
