//! `deploy/rendered`: what kustomize makes of each overlay.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::objects::Objects;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the repository.
pub fn source(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn overlays() -> Vec<String> {
    let folder = fs::read_dir(root().join("deploy/overlays")).unwrap();
    let mut names: Vec<_> =
        folder.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 5, "{names:?}");
    names
}

pub fn read(overlay: &str) -> Objects {
    Objects::parse(&source(&format!("deploy/rendered/{overlay}.yaml")))
}

/// 64 bits of FNV-1a over the names and contents of all sources: enough to see that something was forgotten.
fn digest() -> u64 {
    let mut files = Vec::new();
    for folder in ["base", "components", "overlays"] {
        list(&root().join("deploy").join(folder), &mut files);
    }
    files.sort();
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for path in files {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().as_bytes();
        for byte in name.iter().chain(&fs::read(&path).unwrap()) {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    digest
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}

/// `None` without a kubectl that knows components (1.21).
fn render(overlay: &str) -> Option<String> {
    let version =
        Command::new("kubectl").args(["version", "--client", "--output=json"]).output().ok()?;
    let version: serde_json::Value = serde_json::from_slice(&version.stdout).ok()?;
    let minor: u32 =
        version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()?;
    if minor < 21 {
        return None;
    }
    let folder = root().join("deploy/overlays").join(overlay);
    let output = Command::new("kubectl").arg("kustomize").arg(folder).output().unwrap();
    assert!(output.status.success(), "{overlay}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn they_are_what_kustomize_makes() {
    let write = std::env::var_os("AMPHIPOD_WRITE_MANIFESTS").is_some();
    let digest = format!("{:016x}", digest());
    for overlay in overlays() {
        let path = format!("deploy/rendered/{overlay}.yaml");
        let head = format!(
            "# Made by `./x manifests` from deploy/overlays/{overlay}; digest of the sources: {digest}\n"
        );
        let rendered = render(&overlay);
        if write {
            let rendered = rendered
                .expect("a kubectl of 1.21 or newer: https://kubernetes.io/docs/tasks/tools/");
            fs::create_dir_all(root().join("deploy/rendered")).unwrap();
            fs::write(root().join(&path), head + &rendered).unwrap();
            continue;
        }
        let kept = source(&path);
        assert!(kept.starts_with(&head), "{path} is older than its sources: ./x manifests");
        match rendered {
            Some(rendered) => {
                assert!(kept == head + &rendered, "{path} is not what kubectl makes: ./x manifests")
            }
            None => println!(
                "NOT RUN: no kubectl of 1.21 or newer here; only the sources' digest was compared"
            ),
        }
    }
}
