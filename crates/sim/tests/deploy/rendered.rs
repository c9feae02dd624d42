//! What kustomize makes of each overlay.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

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

/// Whether kubectl is here, and knows components (1.21).
static KUBECTL: LazyLock<bool> = LazyLock::new(|| {
    let minor = || {
        let mut kubectl = Command::new("kubectl");
        let version = kubectl.args(["version", "--client", "--output=json"]).output().ok()?;
        let version: serde_json::Value = serde_json::from_slice(&version.stdout).ok()?;
        version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse::<u32>().ok()
    };
    let has = minor().is_some_and(|minor| minor >= 21);
    if !has {
        println!("NOT RUN: no kubectl of 1.21 or newer here; the manifests are not checked");
    }
    has
});

/// `None` without kubectl.
pub fn read(overlay: &str) -> Option<Objects> {
    static RENDERED: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);
    if !*KUBECTL {
        return None;
    }
    let mut rendered = RENDERED.lock().unwrap();
    let text = rendered.entry(overlay.to_owned()).or_insert_with(|| render(overlay));
    Some(Objects::parse(text))
}

fn render(overlay: &str) -> String {
    let folder = root().join("deploy/overlays").join(overlay);
    let output = Command::new("kubectl").arg("kustomize").arg(folder).output().unwrap();
    assert!(output.status.success(), "{overlay}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
