//! Cgroups: made and removed.

#![allow(clippy::unwrap_used)] // A failure here is a failed test.

mod harness;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use harness::Session;
use probes::Cgroup;

/// Removed also when the test fails.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir(&self.0).ok();
    }
}

#[test]
fn made_and_removed() {
    let mut session = Session::start();
    let mount = probes::cgroup2_mount().unwrap();
    let name = format!("amphipod-test-{}-\u{fc}", std::process::id());
    let folder = Folder(mount.join(&name));
    std::fs::create_dir(&folder.0).unwrap();
    let id = std::fs::metadata(&folder.0).unwrap().ino();
    let created = Cgroup::Created { id, path: format!("/{name}") };
    session.until("the creation", |session| session.cgroups.contains(&created));
    drop(folder);
    session.until("the removal", |session| session.cgroups.contains(&Cgroup::Removed { id }));
    assert_eq!(session.cgroups.iter().filter(|&event| *event == created).count(), 1);
}
