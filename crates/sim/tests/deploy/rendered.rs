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

/// What a kustomization of somebody's own makes of the base with these components, in this order; `None` without kubectl.
pub fn combined(components: &[&str]) -> Option<Objects> {
    if !*KUBECTL {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().canonicalize().unwrap();
    // kustomize takes no absolute paths.
    let up = "../".repeat(own.components().count() - 1);
    let deploy = root().join("deploy").canonicalize().unwrap();
    let at =
        |path: &str| format!("{up}{}/{path}", deploy.display().to_string().trim_start_matches('/'));
    let components: Vec<String> =
        components.iter().map(|name| at(&format!("components/{name}"))).collect();
    let kustomization = serde_json::json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [at("base")],
        "components": components,
        "images": [{ "name": "localhost/amphipod", "newName": "registry.example.com/amphipod" }],
    });
    fs::write(own.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    Some(Objects::parse(&render(&own)))
}

/// The names in `deploy/components`.
pub fn components() -> Vec<String> {
    let folder = fs::read_dir(root().join("deploy/components")).unwrap();
    folder.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}

/// `None` without kubectl.
pub fn read(overlay: &str) -> Option<Objects> {
    static RENDERED: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);
    if !*KUBECTL {
        return None;
    }
    let mut rendered = RENDERED.lock().unwrap();
    let text = rendered
        .entry(overlay.to_owned())
        .or_insert_with(|| render(&root().join("deploy/overlays").join(overlay)));
    Some(Objects::parse(text))
}

fn render(folder: &Path) -> String {
    let output = Command::new("kubectl").arg("kustomize").arg(folder).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", folder.display());
    String::from_utf8(output.stdout).unwrap()
}
