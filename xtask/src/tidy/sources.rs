//! Rules on source files.

use super::Finding;
use super::tree::{File, Tree};

const LONGEST: usize = 600;
const LONG: usize = 400;

fn is_source(file: &File) -> bool {
    file.has_extension(&["rs", "c", "h", "sh", "js", "css"])
        || ["x", "vm/init", ".ci/run"].contains(&file.path.as_str())
}

pub fn length(tree: &Tree) -> Vec<Finding> {
    let sources = tree.files.iter().filter(|file| is_source(file));
    let counted =
        sources.map(|file| (file, file.lines().count())).filter(|(_, lines)| *lines > LONGEST);
    counted.map(|(file, lines)| Finding::new(&file.path, format!("{lines} lines"))).collect()
}

/// Sources that are still allowed, but not short.
pub fn long(tree: &Tree) -> Vec<(&str, usize)> {
    let sources = tree.files.iter().filter(|file| is_source(file));
    let counted = sources.map(|file| (file.path.as_str(), file.lines().count()));
    counted.filter(|(_, lines)| (LONG + 1..=LONGEST).contains(lines)).collect()
}

pub fn unsafety(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.starts_with("crates/probes/")) {
        if file.has_extension(&["c", "h"]) {
            findings.push(Finding::new(&file.path, "C"));
        }
        if file.has_extension(&["rs"]) {
            let lines = file.lines().filter(|(_, line)| has_word(code(line), "unsafe"));
            findings.extend(
                lines.map(|(number, _)| Finding::new(format!("{}:{number}", file.path), "unsafe")),
            );
        }
    }
    findings
}

pub fn licences(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension(&["c", "h"])) {
        if !file.text.lines().next().unwrap_or_default().contains("SPDX-License-Identifier: ") {
            findings.push(Finding::new(&file.path, "no SPDX-License-Identifier in the first line"));
        }
        if file.path.ends_with(".bpf.c")
            && !file.text.contains(r#"SEC("license") = "Dual BSD/GPL";"#)
        {
            findings.push(Finding::new(&file.path, "not Dual BSD/GPL"));
        }
    }
    findings
}

pub fn kubernetes(tree: &Tree) -> Vec<Finding> {
    let rooms = ["crates/reflector/", "crates/sim/"];
    let mut findings = Vec::new();
    for file in &tree.files {
        let words: &[&str] = match file.path.rsplit('/').next() {
            // The workspace's own names the versions for all.
            Some("Cargo.toml") if file.path != "Cargo.toml" => &["kube", "kube-", "k8s-openapi"],
            // A module of ours may be called like the crate; only a file that names the module means it.
            _ if file.has_extension(&["rs"]) && file.text.contains("use crate::kube") => {
                &["kube_", "k8s_openapi::"]
            }
            _ if file.has_extension(&["rs"]) => &["kube::", "kube_", "k8s_openapi::"],
            _ => continue,
        };
        if rooms.iter().any(|room| file.path.starts_with(room)) {
            continue;
        }
        for (number, line) in file.lines() {
            let code = code(line).trim_start();
            let code = ["pub use ", "use "]
                .iter()
                .find_map(|start| code.strip_prefix(start))
                .unwrap_or(code);
            if words
                .iter()
                .any(|word| code.strip_prefix(word).is_some_and(|rest| is_crate(word, rest)))
            {
                findings
                    .push(Finding::new(format!("{}:{number}", file.path), "a Kubernetes crate"));
            }
        }
    }
    findings
}

/// Whether a line that begins with `word` and goes on with `rest` names a crate, and not something longer.
fn is_crate(word: &str, rest: &str) -> bool {
    if word.ends_with(['-', ':']) {
        return true;
    }
    if word.ends_with('_') {
        // `kube_runtime::...`, not `kube_pod = 3`.
        return rest
            .find("::")
            .is_some_and(|end| rest[..end].chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    }
    rest.starts_with([' ', '=', '.'])
}

/// A line of Rust without its comment and without what stands in quotes.
fn code(line: &str) -> &str {
    let end = line.find("//").unwrap_or(line.len());
    let end = line.find('"').unwrap_or(end).min(end);
    &line[..end]
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_short() {
        let long = "x\n".repeat(LONGEST + 1);
        Tree::check(
            length,
            &[("a.rs", &long), ("b.rs", &long[2..]), ("Cargo.lock", &long)],
            &["a.rs"],
        );
    }

    #[test]
    fn unsafe_code_stands_in_one_crate() {
        let text = "fn a() {\n    unsafe { b() }\n}\n// unsafe\n#![deny(unsafe_code)]\nlet a = \"unsafe\";\n";
        Tree::check(
            unsafety,
            &[("crates/probes/src/a.rs", text), ("crates/agent/src/a.rs", text)],
            &["crates/agent/src/a.rs:2"],
        );
        Tree::check(unsafety, &[("crates/probes/bpf/a.h", ""), ("xtask/a.c", "")], &["xtask/a.c"]);
    }

    #[test]
    fn c_says_its_licence() {
        let head = "/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */\n";
        let good = format!("{head}char LICENSE[] SEC(\"license\") = \"Dual BSD/GPL\";\n");
        let bad = format!("{head}char LICENSE[] SEC(\"license\") = \"MIT\";\n");
        Tree::check(
            licences,
            &[("a.bpf.c", &good), ("b.bpf.c", &bad), ("c.h", head), ("d.h", "int a;")],
            &["b.bpf.c", "d.h"],
        );
    }

    #[test]
    fn kubernetes_stays_in_its_rooms() {
        let code = "use kube::Api;\nuse k8s_openapi::api;\nlet kube_pod = 3;\nkube_runtime::watcher(a);\n// kube::x\n";
        Tree::check(
            kubernetes,
            &[("crates/reflector/src/pods.rs", code), ("crates/model/src/a.rs", code)],
            &["crates/model/src/a.rs:1", "crates/model/src/a.rs:2", "crates/model/src/a.rs:4"],
        );
        let module = "use crate::kube::{self, Link};\nkube::start(a);\nkube_client::b();\n";
        Tree::check(
            kubernetes,
            &[("crates/agent/src/app.rs", module)],
            &["crates/agent/src/app.rs:3"],
        );
        let manifest =
            "[dependencies]\nkube = \"1\"\nkubectl-view = \"2\"\nk8s-openapi.workspace = true\n";
        Tree::check(
            kubernetes,
            &[("crates/sim/Cargo.toml", manifest), ("crates/model/Cargo.toml", manifest)],
            &["crates/model/Cargo.toml:2", "crates/model/Cargo.toml:4"],
        );
    }
}
