//! The real kernel: ids of real cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use model::Timestamp;

use super::super::super::{Config, Directory, Mode, hierarchy};
use super::bench::{C, observation, pod, slice};

/// Removes what it made, innermost first, also when a test fails.
struct Made(Vec<PathBuf>);

impl Made {
    fn new(root: &Path, path: &str) -> Self {
        let mut made = Self(Vec::new());
        let mut directory = root.to_path_buf();
        for component in path.split('/').filter(|component| !component.is_empty()) {
            directory.push(component);
            match fs::create_dir(&directory) {
                Ok(()) => made.0.push(directory.clone()),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("make cgroup {}: {error}; run as root", directory.display()),
            }
        }
        made
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for directory in self.0.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}

#[test]
fn a_real_cgroup_is_found_by_its_id() {
    let root = hierarchy::mount(&fs::read_to_string("/proc/self/mountinfo").unwrap())
        .expect("no cgroup2 mount; mount one: mount -t cgroup2 none /sys/fs/cgroup");
    let name = format!("cart{}", std::process::id());
    let path = format!("{}/cri-containerd-{C}.scope", slice(&name));
    let _early = Made::new(&root, &path);
    let mut directory = Directory::new(Config::new("node".into(), Mode::Kubernetes)).unwrap();
    let now = Timestamp::now();
    directory.change(model::Change::Synced, now);
    directory.change(pod(&name, "10.1.0.1").container(C, "app").into(), now);
    let mut container = |id: u64| {
        let mut found = None;
        let mut observation = observation(now, "0@0 10.1.0.1:1 > 1.1.1.1:1 failed");
        observation.process.cgroup_id = id;
        directory.identify(observation, now, &mut |record| {
            found =
                record.source.identity.as_deref().and_then(|identity| identity.container.clone());
        });
        found
    };
    assert_eq!(
        container(hierarchy::id(&root, &path).unwrap()).as_deref(),
        Some("app"),
        "by the walk at the start"
    );
    let below = format!("{path}/init.scope");
    let _late = Made::new(&root, &below);
    assert_eq!(
        container(hierarchy::id(&root, &below).unwrap()).as_deref(),
        Some("app"),
        "by a walk on demand"
    );
}
