//! The house rules that a tool can check. Each is a function from the tree to what breaks it.

mod dependencies;
mod links;
mod names;
mod sources;
mod texts;
mod tree;

use std::process::ExitCode;

use anyhow::Result;

use tree::Tree;

/// What breaks a rule, and where: `crates/x/src/y.rs:12`.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

/// A rule and what it says in one line.
type Rule = (&'static str, fn(&Tree) -> Vec<Finding>);

const RULES: [Rule; 10] = [
    ("a file has one noun, and at most 600 lines", sources::length),
    ("unsafe code and C stand in crates/probes only", sources::unsafety),
    ("a BPF object is Dual BSD/GPL, and C says its licence", sources::licences),
    ("Kubernetes types stand in reflector and sim only", sources::kubernetes),
    ("no module is called manager, util, common or helper", names::nouns),
    ("what is left to do is an issue, not a comment", texts::notes),
    ("a workflow calls what everybody calls: ./x or .ci/run", texts::workflows),
    ("links in documents lead somewhere", links::resolve),
    ("crates depend on each other in one direction", dependencies::direction),
    (
        "dependencies have the licences that deny.toml allows, and are not among those it bans",
        dependencies::licences,
    ),
];

pub fn run() -> Result<ExitCode> {
    let tree = Tree::read()?;
    let mut count = 0;
    for (rule, check) in RULES {
        let findings = check(&tree);
        if findings.is_empty() {
            continue;
        }
        println!("tidy: {rule}");
        for finding in &findings {
            println!("  {}: {}", finding.place, finding.what);
        }
        count += findings.len();
    }
    for (path, lines) in sources::long(&tree) {
        println!("tidy: note: {path} has {lines} lines; look for the second noun");
    }
    if count > 0 {
        println!("tidy: {count} findings");
        return Ok(ExitCode::FAILURE);
    }
    println!("tidy: {} files keep {} rules", tree.files.len(), RULES.len());
    Ok(ExitCode::SUCCESS)
}
