//! What `deploy` puts into a cluster: every object against the types of its kind, what refers to what, and the house
//! rules. No cluster is needed, but a kubectl that makes the objects.

// Functions that tests share are tests, too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "deploy/broken.rs"]
mod broken;
#[path = "deploy/config.rs"]
mod config;
#[path = "deploy/objects.rs"]
mod objects;
#[path = "deploy/references.rs"]
mod references;
#[path = "deploy/rendered.rs"]
mod rendered;
#[path = "deploy/rules.rs"]
mod rules;
#[path = "deploy/schema.rs"]
mod schema;
#[path = "deploy/shown.rs"]
mod shown;

use objects::Objects;

/// What is wrong with the objects of an overlay, one line for each.
pub fn findings(objects: &Objects) -> Vec<String> {
    let checks = [schema::check, references::check, rules::check, config::check];
    checks.iter().flat_map(|check| check(objects)).collect()
}

#[test]
fn every_component_is_sound_and_said() {
    let operations = rendered::source("docs/operations.md");
    let mut tried = vec![
        vec!["openshift", "backends"],
        vec!["mtls", "history-volume", "backends"],
        vec!["cert-manager", "prometheus", "history-volume", "linux-5.10"],
    ];
    let all = rendered::components();
    assert!(all.len() >= 7, "{all:?}");
    tried.extend(all.iter().map(|name| vec![name.as_str()]));
    for components in tried {
        let Some(objects) = rendered::combined(&components) else { return };
        let found = findings(&objects);
        assert!(found.is_empty(), "{components:?}:\n{}", found.join("\n"));
    }
    for name in all {
        assert!(operations.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
    }
}

#[test]
fn every_overlay_is_sound() {
    for overlay in rendered::overlays() {
        let Some(objects) = rendered::read(&overlay) else { return };
        let found = findings(&objects);
        assert!(found.is_empty(), "{overlay}:\n{}", found.join("\n"));
    }
}
