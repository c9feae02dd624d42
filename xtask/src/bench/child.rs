//! A program that runs beside the bench. It never outlives its value.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child as Running, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use sim::{Cgroup, Netns};

use super::interrupt::Interrupt;

/// Lines of a program's log that are shown when it fails.
const LAST_LINES: usize = 5;

pub struct Child {
    name: String,
    running: Running,
    stdin: Option<ChildStdin>,
    /// What it writes to stdout; the end of the channel is the end of the program.
    lines: Receiver<String>,
    /// What it writes to stderr.
    log: PathBuf,
}

impl Child {
    /// Starts `program` in `cgroup`, in the network namespace `netns` or the host's. Its stderr goes to `log`.
    pub fn start(
        program: impl AsRef<std::ffi::OsStr>,
        arguments: &[String],
        cgroup: &Cgroup,
        netns: Option<&Netns>,
        log: PathBuf,
    ) -> Result<Self> {
        let name = PathBuf::from(program.as_ref())
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let stderr = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut command = cgroup.command(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut running = match netns {
            Some(netns) => netns.spawn(&mut command)?,
            None => spawn(&mut command, &name)?,
        };
        let stdin = running.stdin.take();
        let stdout = running.stdout.take().ok_or_else(|| anyhow!("{name}: no pipe"))?;
        let (sender, lines) = mpsc::channel();
        // Ends with the pipe, or when nobody listens.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { name, running, stdin, lines, log })
    }

    /// The most memory that it has had resident so far, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// Resident memory that no file has, in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.status("RssAnon:")
    }

    fn status(&self, key: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.running.id());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let kilobytes = text.lines().find_map(|line| line.strip_prefix(key));
        let kilobytes =
            kilobytes.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kilobytes.with_context(|| format!("{path}: no {key}"))? * 1024)
    }

    pub fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().ok_or_else(|| anyhow!("{}: no pipe", self.name))?;
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).with_context(|| self.describe())
    }

    /// The next line that it writes.
    pub fn line(&mut self, interrupt: &Interrupt, limit: Duration) -> Result<String> {
        match interrupt.receive(&self.lines, limit).with_context(|| self.name.clone())? {
            Some(line) => Ok(line),
            None => bail!("{} ended", self.describe()),
        }
    }

    /// Everything that it writes until it ends, as it must within `limit`, successfully.
    pub fn output(&mut self, interrupt: &Interrupt, limit: Duration) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        while let Some(line) =
            interrupt.receive(&self.lines, limit).with_context(|| self.name.clone())?
        {
            lines.push(line);
        }
        let status = self.running.wait().with_context(|| self.name.clone())?;
        if !status.success() {
            bail!("{} failed ({status})", self.describe());
        }
        Ok(lines)
    }

    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.running.try_wait().with_context(|| self.name.clone())? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status})", self.describe()),
        }
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self, interrupt: &Interrupt, limit: Duration) -> Result<()> {
        kill_process(Pid::from_child(&self.running), Signal::TERM)
            .with_context(|| format!("stop {}", self.name))?;
        self.output(interrupt, limit).map(drop)
    }

    /// Its name, and the end of what it complained about.
    fn describe(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ");
        if last.is_empty() { self.name.clone() } else { format!("{} [{last}]", self.name) }
    }
}

fn spawn(command: &mut Command, name: &str) -> Result<Running> {
    command.spawn().with_context(|| format!("start {name}"))
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}
