//! The process's own program, as far as it is in memory.

use std::fs::File;
use std::io::{BufRead, BufReader};

/// A mapping of `/proc/self/smaps`.
struct Mapping {
    start: usize,
    end: usize,
    /// Readable, never written, of a file.
    is_constant: bool,
}

/// Lets go of the program's code and constants. What only starting needed does not come back, and counts no longer as the
/// process's memory; what runs is mapped again from the page cache at its next use. Two thirds of an idle agent's memory
/// are such pages otherwise. Returns how many bytes of address space that were.
pub fn release_image() -> usize {
    let Ok(file) = File::open("/proc/self/smaps") else { return 0 };
    let mut released = 0;
    let mut mapping = None;
    for line in BufReader::new(file).lines().map_while(Result::ok) {
        if let Some(next) = parse(&line) {
            mapping = Some(next);
        } else if let Some(Mapping { start, end, is_constant: true }) = mapping
            // Pages that were relocated are the process's own, and would be lost.
            && line.split_ascii_whitespace().eq(["Anonymous:", "0", "kB"])
        {
            // SAFETY: pages of a file that nobody has written are read from it again.
            let result = unsafe {
                libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED)
            };
            released += if result == 0 { end - start } else { 0 };
            mapping = None;
        }
    }
    released
}

/// The head of a mapping: `start-end perms offset device inode path`.
fn parse(line: &str) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) =
        (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let (permissions, path) = (fields.next()?, fields.nth(3));
    let is_file = path.is_some_and(|path| path.starts_with('/'));
    let is_constant = is_file && matches!(permissions, "r-xp" | "r--p");
    Some(Mapping { start, end, is_constant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_writes_is_let_go() {
        let check = |line: &str, expected: Option<bool>| {
            assert_eq!(parse(line).map(|it| it.is_constant), expected, "{line}");
        };
        check("00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/amphipod", Some(true));
        check("00651000-00652000 r--p 00051000 08:02 173521      /usr/bin/amphipod", Some(true));
        check("00652000-00655000 rw-p 00052000 08:02 173521      /usr/bin/amphipod", Some(false));
        check("7f0000000000-7f0000001000 r--s 00000000 00:10 21  /dev/shm/x", Some(false));
        check("7ffd8e7e5000-7ffd8e7e7000 r-xp 00000000 00:00 0   [vdso]", Some(false));
        check("7f2c00000000-7f2c00021000 r--p 00000000 00:00 0", Some(false));
        check("Anonymous:             0 kB", None);
    }

    #[test]
    fn the_program_goes_on() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let before = resident();
        assert!(release_image() > 0);
        let after = resident();
        assert!(after < before, "{before} kB, then {after} kB");
    }
}
