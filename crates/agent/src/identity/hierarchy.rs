//! The unified cgroup hierarchy in the file system: where it is mounted, what is in it, under which ids.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Mount points of cgroup2 in the text of `mountinfo`; the one that shows most of the hierarchy.
///
/// In a cgroup namespace a mount made outside has a root of `/../..`: it lies higher.
pub fn mount(mountinfo: &str) -> Option<PathBuf> {
    let mut best: Option<(usize, PathBuf)> = None;
    for line in mountinfo.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        if filesystem.split(' ').next() != Some("cgroup2") {
            continue;
        }
        let mut fields = mount.split(' ').skip(3);
        let (Some(root), Some(point)) = (fields.next(), fields.next()) else { continue };
        let ups = root.split('/').filter(|part| *part == "..").count();
        let height = match root {
            "/" => 1,
            _ if ups > 0 => 1 + ups,
            _ => 0,
        };
        if best.as_ref().is_none_or(|(other, _)| height > *other) {
            best = Some((height, unescape(point)));
        }
    }
    best.map(|(_, point)| point)
}

/// Whether containers may be in cgroup v1 hierarchies, of which sockets know nothing.
pub fn has_v1(mountinfo: &str) -> bool {
    mountinfo
        .lines()
        .filter_map(|line| line.split_once(" - "))
        .any(|(_, filesystem)| filesystem.split(' ').next() == Some("cgroup"))
}

/// `\040` to a space, and so on.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// Calls `found(id, path)` for each cgroup below `root` and for `root` itself (`/`), parents first, until it returns
/// false. The id is the directory's inode number. True if nothing was left out; what vanishes meanwhile does not count.
pub fn walk(root: &Path, mut found: impl FnMut(u64, &str) -> bool) -> io::Result<bool> {
    let mut complete = true;
    let mut open = vec![(root.to_path_buf(), String::new())];
    if !found(fs::metadata(root)?.ino(), "/") {
        return Ok(false);
    }
    while let Some((directory, path)) = open.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if path.is_empty() => return Err(error),
            Err(error) => {
                complete &= error.kind() == io::ErrorKind::NotFound;
                continue;
            }
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let below = format!("{path}/{}", entry.file_name().to_string_lossy());
            if !found(entry.ino(), &below) {
                return Ok(false);
            }
            open.push((entry.path(), below));
        }
    }
    Ok(complete)
}

/// The id of the cgroup at `path`, if there is one.
pub fn id(root: &Path, path: &str) -> Option<u64> {
    let below = path.trim_start_matches('/').trim_start_matches("../");
    let metadata = fs::metadata(root.join(below)).ok()?;
    metadata.is_dir().then(|| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(mount(text), expected.map(PathBuf::from))
        };
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        check(hybrid, Some("/sys/fs/cgroup/unified"));
        assert!(has_v1(hybrid));
        let namespace = "1 1 0:1 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n\
                         2 1 0:1 /../../.. /host/sys/fs/cg\\040roup ro - cgroup2 cgroup rw\n\
                         3 1 0:1 /part /part ro - cgroup2 cgroup rw\n";
        check(namespace, Some("/host/sys/fs/cg roup"));
        assert!(!has_v1(namespace));
        check("1 1 0:1 / /cgroup2 rw - ext4 /dev/cgroup2 rw\nnonsense - cgroup2\n\n", None);
        check("1 1 0:1 / /a\\xyz\\04 rw - cgroup2 c rw", Some("/a\\xyz\\04"));
    }
}
