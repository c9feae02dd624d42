//! Rules on every text file.

use super::Finding;
use super::tree::{File, Tree};

/// These rules themselves name what they forbid.
const RULES: &str = "xtask/src/tidy/texts.rs";

const NOTES: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

fn texts(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path != RULES)
}

pub fn notes(tree: &Tree) -> Vec<Finding> {
    find(texts(tree), |line| {
        line.split(|c: char| !c.is_alphanumeric())
            .find(|word| NOTES.contains(word))
            .map(str::to_owned)
    })
}

pub fn workflows(tree: &Tree) -> Vec<Finding> {
    let workflows = tree.files.iter().filter(|file| file.path.starts_with(".github/workflows/"));
    find(workflows, |line| {
        let line = line.trim_start();
        let run = line.strip_prefix("- run: ").or_else(|| line.strip_prefix("run: "))?;
        let ours = run.starts_with("./x ") || run.starts_with(".ci/run");
        // What a bare container needs before there is a checkout.
        let checkout = run.starts_with("apt-get ");
        (!ours && !checkout).then(|| run.to_owned())
    })
}

fn find<'a>(
    files: impl Iterator<Item = &'a File>,
    what: impl Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (number, line) in file.lines() {
            findings.extend(
                what(line).map(|what| Finding::new(format!("{}:{number}", file.path), what)),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_found_as_words() {
        Tree::check(notes, &[("a.md", "a TODO b\nTODOS\nmktemp x.XXXXXX\nfixme")], &["a.md:1"]);
    }

    #[test]
    fn workflows_call_x() {
        let text =
            "- run: ./x check\n- run: .ci/run\n- run: cargo build\n- run: apt-get install git\n";
        Tree::check(
            workflows,
            &[(".github/workflows/ci.yml", text), ("docs/a.yml", text)],
            &[".github/workflows/ci.yml:3"],
        );
    }
}
