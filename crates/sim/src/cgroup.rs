//! Control groups of the unified hierarchy, wherever it is mounted.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Error;

/// Directory of the cgroup2 mount.
pub fn mount() -> Result<PathBuf, Error> {
    let path = "/proc/self/mountinfo";
    let mounts = fs::read_to_string(path).map_err(Error::file("read", path))?;
    find_mount(&mounts).ok_or(Error::NoCgroup2)
}

fn find_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // A bind mount of a part would hide the ids of the whole.
        (source.starts_with("cgroup2 ") && root == "/")
            .then(|| PathBuf::from(point.replace("\\040", " ")))
    })
}

/// One control group. Dropping it kills what runs in it and below, and removes it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    id: u64,
}

impl Cgroup {
    /// Makes `path` (absolute, below the mount), with all parents.
    pub fn create(path: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&path).map_err(Error::file("create cgroup", &path))?;
        let id = fs::metadata(&path).map_err(Error::file("stat", &path))?.ino();
        Ok(Self { path, id })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As the kernel names it to BPF programs: the inode number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A command that joins this cgroup and only then becomes `program`, so that no socket of it is owned
    /// by another cgroup.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", r#"echo 0 > "$0/cgroup.procs" && exec "$@""#])
            .arg(&self.path)
            .arg(program);
        command
    }

    /// Kills every process in it and below, and waits until they are gone. Fine if it does not exist any more.
    pub fn kill(&self) -> Result<(), Error> {
        if self.path.exists() { kill(&self.path) } else { Ok(()) }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            tracing::warn!(%error, "a cgroup is left over; the next start removes it");
        }
    }
}

/// How long killed processes may take to go.
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// Kills what runs in `path` and below, then removes it and everything below. Fine if it does not exist.
pub(crate) fn remove_tree(path: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + KILL_DEADLINE;
    while path.exists() {
        kill(path)?;
        match remove_dirs(path) {
            // Somebody joined after the kill.
            Err(Error::File { source, .. })
                if source.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {}
            result => return result,
        }
    }
    Ok(())
}

fn kill(path: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + KILL_DEADLINE;
    while populated(path)? {
        match fs::write(path.join("cgroup.kill"), "1") {
            Ok(()) => {}
            // Before Linux 5.14.
            Err(e) if e.kind() == io::ErrorKind::NotFound => kill_each(path)?,
            Err(e) => return Err(Error::file("write", path.join("cgroup.kill"))(e)),
        }
        if !await_empty(path)? && Instant::now() > deadline {
            let source = io::Error::from(io::ErrorKind::TimedOut);
            return Err(Error::file("kill processes in", path)(source));
        }
    }
    Ok(())
}

fn kill_each(path: &Path) -> Result<(), Error> {
    for entry in subdirectories(path)? {
        kill_each(&entry)?;
    }
    let file = path.join("cgroup.procs");
    let pids = fs::read_to_string(&file).map_err(Error::file("read", file))?;
    for pid in pids.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)) {
        // Gone in the meantime is what we want.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    Ok(())
}

fn populated(path: &Path) -> Result<bool, Error> {
    let file = path.join("cgroup.events");
    let events = fs::read_to_string(&file).map_err(Error::file("read", file))?;
    Ok(is_populated(&events))
}

fn is_populated(events: &str) -> bool {
    events.lines().any(|line| line == "populated 1")
}

/// Waits for the kernel's notice that `populated` changed, for a moment. Returns whether it is empty now.
fn await_empty(path: &Path) -> Result<bool, Error> {
    let name = path.join("cgroup.events");
    let mut events = File::open(&name).map_err(Error::file("open", &name))?;
    // The notice is relative to what this open file has read.
    let mut text = String::new();
    events.read_to_string(&mut text).map_err(Error::file("read", &name))?;
    if is_populated(&text) {
        let mut fds = [PollFd::new(&events, PollFlags::PRI)];
        let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        match poll(&mut fds, Some(&moment)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::file("poll", name)(e.into())),
        }
    }
    Ok(!populated(path)?)
}

fn remove_dirs(path: &Path) -> Result<(), Error> {
    for directory in subdirectories(path)? {
        remove_dirs(&directory)?;
    }
    match fs::remove_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file("remove cgroup", path)(e)),
        _ => Ok(()),
    }
}

fn subdirectories(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(path).map_err(Error::file("list", path))?;
    Ok(entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_in_pure_and_hybrid_hierarchies() {
        let check = |mountinfo: &str, expected: Option<&str>| {
            assert_eq!(find_mount(mountinfo), expected.map(PathBuf::from), "{mountinfo}");
        };
        check(
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw",
            Some("/sys/fs/cgroup"),
        );
        check(
            "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none rw",
            Some("/sys/fs/cgroup/unified"),
        );
        check("41 31 0:38 /system.slice /mnt rw - cgroup2 none rw", None);
        check("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", None);
    }
}
