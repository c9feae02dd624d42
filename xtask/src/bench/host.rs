//! The machine that is measured on: what it must have, and what disturbs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

/// A program and the package that has it.
pub type Tool = (&'static str, &'static str);

/// # Errors
/// Not root, or a program is missing.
pub fn check(tools: &[Tool]) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("bench needs root (network namespaces, cgroups, BPF); run it with sudo");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let missing =
        |(program, _): &&Tool| !folders.iter().any(|folder| folder.join(program).is_file());
    if let Some((program, package)) = tools.iter().find(missing) {
        bail!("bench needs `{program}`; install it: apt-get install {package}");
    }
    Ok(())
}

/// What the figures are from.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub kernel: String,
    pub processor: String,
    pub processors: usize,
}

pub fn machine() -> Machine {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Machine {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        processor: model.map_or("unknown", |(_, name)| name).trim().to_owned(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// A process that has BPF programs in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: String,
    pub command: String,
    /// Its cgroup of the unified hierarchy, from the root.
    pub cgroup: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "pid {} ({})", self.pid, self.command)
    }
}

/// Amphipod's own agents, alone or in a demo.
pub fn agents() -> Result<Vec<Holder>> {
    holders_called(|command| command == "amphipod")
}

/// Everybody who keeps BPF programs in the kernel by an open descriptor.
pub fn holders() -> Result<Vec<Holder>> {
    holders_called(|_| true)
}

/// Looking at descriptors takes long where there are many: the name comes first.
fn holders_called(choose: impl Fn(&str) -> bool) -> Result<Vec<Holder>> {
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc").context("read /proc")?.flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|digit| digit.is_ascii_digit()) {
            continue;
        }
        // A process may end while it is looked at.
        let read = |file| fs::read_to_string(entry.path().join(file));
        let (Ok(command), Ok(cgroups)) = (read("comm"), read("cgroup")) else { continue };
        if choose(command.trim()) && has_programs(&entry.path()) {
            let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
            let cgroup = cgroup.unwrap_or_default().to_owned();
            holders.push(Holder { pid, command: command.trim().to_owned(), cgroup });
        }
    }
    Ok(holders)
}

fn has_programs(process: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fdinfo")) else { return false };
    descriptors.flatten().any(|descriptor| {
        fs::read_to_string(descriptor.path()).is_ok_and(|info| info.contains("prog_id:"))
    })
}
