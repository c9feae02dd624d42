//! Where the unified cgroup hierarchy is mounted.

use std::path::PathBuf;

use crate::Error;

/// The root of the cgroup2 hierarchy: `/sys/fs/cgroup`, or wherever a hybrid host has it.
pub fn mount() -> Result<PathBuf, Error> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    find(&mounts).ok_or(Error::NoCgroup2)
}

/// The shortest mount point wins: deeper ones are usually bind mounts of a part.
fn find(mounts: &str) -> Option<PathBuf> {
    let points = mounts.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let (root, point) = (fields.nth(3)?, fields.next()?);
        (filesystem.starts_with("cgroup2 ") && root == "/").then_some(point)
    });
    points.min_by_key(|point| point.len()).map(PathBuf::from)
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
    }
}
