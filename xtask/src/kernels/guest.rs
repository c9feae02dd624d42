//! One emulated machine, from power-on to power-off.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What to boot.
pub struct Guest<'a> {
    /// Debian's name.
    pub architecture: &'a str,
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    /// For the kernel, beside what every guest gets.
    pub parameters: &'a str,
    pub memory_mb: u32,
    /// After which it is killed.
    pub limit: Duration,
}

/// Ends with the machine, whatever happens to us.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Guest<'_> {
    /// Boots it and gives what it wrote to its console, until it powers off or the time is over.
    pub fn run(&self) -> Result<Vec<String>> {
        let mut machine = Machine(self.command()?.spawn().context("start qemu")?);
        let stdout = machine.0.stdout.take().context("qemu has no stdout")?;
        let (sender, lines) = mpsc::sync_channel(1024);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        let end = Instant::now() + self.limit;
        let mut console = Vec::new();
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => console.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    console.push(format!("[killed after {} s]", self.limit.as_secs()));
                    break;
                }
            }
        }
        drop(machine);
        drop(lines);
        reader.join().ok();
        Ok(console)
    }

    fn command(&self) -> Result<Command> {
        let (program, console, machine): (&str, &str, &[&str]) = match self.architecture {
            "amd64" => ("qemu-system-x86_64", "ttyS0", &["-cpu", "max"]),
            // Pointer authentication as the architecture defines it costs an emulator most of its time.
            "arm64" => (
                "qemu-system-aarch64",
                "ttyAMA0",
                &["-machine", "virt", "-cpu", "max,pauth-impdef=on"],
            ),
            other => bail!("cannot emulate {other}"),
        };
        let mut qemu = Command::new(program);
        // Emulated by default: /dev/kvm can be there and not work. `-accel help` of qemu lists what it can do.
        let accelerator =
            std::env::var("QEMU_ACCEL").unwrap_or_else(|_| "tcg,thread=multi".to_owned());
        qemu.args(machine)
            .args(["-accel", &accelerator, "-smp", "2", "-m", &self.memory_mb.to_string()])
            .args(["-nographic", "-no-reboot", "-net", "none"])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            // The level shows what kills a kernel, and keeps warnings out of the tests' lines.
            .args([
                "-append",
                &format!(
                    "console={console} loglevel=3 panic=-1 mitigations=off {}",
                    self.parameters
                ),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        Ok(qemu)
    }
}

/// Keeps the console for reading afterwards.
pub fn save(console: &[String], path: &Path) -> Result<()> {
    fs::write(path, console.join("\n") + "\n").with_context(|| format!("write {}", path.display()))
}
