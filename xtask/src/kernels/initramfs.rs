//! The guest's file system: a cpio archive in the "newc" format (the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::path::Path;

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

pub struct Initramfs {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    inode: u32,
}

impl Initramfs {
    /// An archive with the one device that the kernel wants before `/dev` is mounted.
    pub fn new() -> Self {
        let mut archive = Self { bytes: Vec::new(), folders: BTreeSet::new(), inode: 0 };
        archive.parents("dev/console");
        archive.entry("dev/console", CHARACTER_DEVICE, (5, 1), &[]);
        archive
    }

    /// Adds an executable file, and its folders. `path` has no leading slash.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.parents(path);
        self.entry(path, EXECUTABLE, (0, 0), content);
    }

    fn parents(&mut self, path: &str) {
        let mut parents: Vec<&Path> = Path::new(path).ancestors().skip(1).collect();
        parents.reverse();
        for parent in
            parents.into_iter().filter_map(Path::to_str).filter(|parent| !parent.is_empty())
        {
            if self.folders.insert(parent.to_owned()) {
                self.entry(parent, DIRECTORY, (0, 0), &[]);
            }
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let (owner, group, time, checksum) = (0, 0, 0, 0);
        let fields: [u32; 13] = [
            self.inode,
            mode,
            owner,
            group,
            links,
            time,
            content.len() as u32,
            0,
            0,
            device.0,
            device.1,
            path.len() as u32 + 1,
            checksum,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_sized() {
        let mut archive = Initramfs::new();
        archive.file("bin/tool", b"12345");
        archive.file("bin/other", b"");
        let bytes = archive.finish();
        let (mut at, mut seen) = (0, Vec::new());
        while at < bytes.len() {
            let field = |n: usize| {
                let text = std::str::from_utf8(&bytes[at + 6 + n * 8..at + 14 + n * 8]).unwrap();
                usize::from_str_radix(text, 16).unwrap()
            };
            assert_eq!(&bytes[at..at + 6], b"070701");
            let (size, name) = (field(6), field(11));
            seen.push((
                String::from_utf8_lossy(&bytes[at + 110..at + 109 + name]).into_owned(),
                size,
            ));
            at = (at + 110 + name).next_multiple_of(4) + size.next_multiple_of(4);
        }
        let expected = [
            ("dev", 0),
            ("dev/console", 0),
            ("bin", 0),
            ("bin/tool", 5),
            ("bin/other", 0),
            ("TRAILER!!!", 0),
        ];
        assert_eq!(seen, expected.map(|(name, size)| (name.to_owned(), size)));
    }
}
