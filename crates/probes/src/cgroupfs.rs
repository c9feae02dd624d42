//! Where the unified cgroup hierarchy is mounted.

use std::path::PathBuf;

use crate::Error;

/// The root of the cgroup2 hierarchy: `/sys/fs/cgroup`, or wherever a hybrid host has it.
pub fn mount() -> Result<PathBuf, Error> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    find(&mounts).ok_or(Error::NoCgroup2)
}

/// The one that shows most of the hierarchy: in a container, which has a cgroup namespace of its own, the host's mount
/// has a root of `/../..`, and the container's own, which ends at its own cgroup, has `/`. Among equals the shortest
/// mount point wins.
fn find(mounts: &str) -> Option<PathBuf> {
    let points = mounts.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let (root, point) = (fields.nth(3)?, fields.next()?);
        let mut parts = root.split('/').filter(|part| !part.is_empty());
        let above = parts.clone().count();
        (filesystem.starts_with("cgroup2 ") && parts.all(|part| part == ".."))
            .then_some((above, point))
    });
    let best = points.min_by_key(|&(above, point)| (std::cmp::Reverse(above), point.len()));
    best.map(|(_, point)| point.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_pure_and_hybrid_mounts() {
        let hybrid = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs none rw\n\
                      31 30 0:27 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 none rw,nsdelegate\n";
        assert_eq!(find(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let nested = "9 1 0:27 /kubepods /mnt rw - cgroup2 none rw\n8 1 0:27 / /sys/fs/cgroup rw - cgroup2 none rw\n";
        assert_eq!(find(nested), Some("/sys/fs/cgroup".into()));
        assert_eq!(find("30 24 0:26 / /sys/fs/cgroup rw - cgroup none rw,cpu\n"), None);
        let container = "9 1 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup ro\n\
                         8 1 0:27 /../../.. /host/sys/fs/cgroup ro - cgroup2 cgroup2 ro\n";
        assert_eq!(find(container), Some("/host/sys/fs/cgroup".into()));
        let covered = "9 1 0:27 /../.. /sys/fs/cgroup ro - cgroup2 cgroup2 ro\n";
        assert_eq!(find(covered), Some("/sys/fs/cgroup".into()));
    }
}
