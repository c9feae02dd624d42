//! Rules on documents.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::Finding;
use super::tree::{File, Tree};

pub fn resolve(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension(&["md"])) {
        for (number, link) in links(file) {
            if let Some(what) = broken(tree, file, link) {
                findings.push(Finding::new(format!("{}:{number}", file.path), what));
            }
        }
    }
    findings
}

/// Targets of `[text](target)`, outside of code.
fn links(file: &File) -> Vec<(usize, &str)> {
    let (mut links, mut fenced) = (Vec::new(), false);
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second part stands between backquotes.
        for text in line.split('`').step_by(2) {
            let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            links.extend(
                targets.map(|(target, _)| (number, target.split(' ').next().unwrap_or(target))),
            );
        }
    }
    links
}

fn broken(tree: &Tree, file: &File, link: &str) -> Option<String> {
    // The world outside is not ours to check.
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { file.path.clone() } else { join(&file.path, path)? };
    let found = tree.files.iter().find(|other| other.path == target);
    let is_folder = tree.files.iter().any(|other| Path::new(&other.path).starts_with(&target));
    match found {
        None if !is_folder && !crate::repository::root().join(&target).exists() => {
            Some(format!("no file {target}"))
        }
        Some(other)
            if !anchor.is_empty()
                && other.has_extension(&["md"])
                && !anchors(other).contains(anchor) =>
        {
            Some(format!("no heading #{anchor} in {target}"))
        }
        _ => None,
    }
}

/// The path that a link in `from` means, relative to the root.
fn join(from: &str, link: &str) -> Option<String> {
    let mut path = PathBuf::from(from);
    path.pop();
    for component in Path::new(link).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => path.clear(),
        }
    }
    path.to_str().map(str::to_owned)
}

/// As GitHub names headings.
fn anchors(file: &File) -> BTreeSet<String> {
    let headings = file.text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_files_and_headings() {
        let files = [
            (
                "nowhere/a.md",
                "[b](sub/b.md) [c](./missing.md#x)\n[h](#my-heading-2)\n## My `heading` (2)\n[n](#none)",
            ),
            (
                "nowhere/sub/b.md",
                "`[x](y)` [up](../a.md#my-heading-2) [dir](..) [w](https://w.example)\n```\n[x](y)\n```\n",
            ),
        ];
        Tree::check(resolve, &files, &["nowhere/a.md:1", "nowhere/a.md:4"]);
    }
}
