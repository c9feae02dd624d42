//! A ClickHouse server of its own for tests and benchmarks: `crates/hub/tests/clickhouse.py`.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hub/tests/clickhouse.py");
/// A Python that has `chdb`, where `./x test` has installed it.
const PYTHON: &str = "CHDB_PYTHON";

/// Killed (SIGKILL) when dropped.
pub struct ClickHouse {
    process: Child,
    port: u16,
}

impl ClickHouse {
    /// Whether there is one to start.
    pub fn is_there() -> bool {
        std::env::var_os(PYTHON).is_some()
    }

    /// With what is in `folder`; `port` 0: any. Returns once it answers.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(folder: &Path, port: u16) -> io::Result<Self> {
        let python = std::env::var_os(PYTHON).ok_or_else(|| {
            io::Error::other(format!(
                "{PYTHON} is not set: a python3 with chdb (pip install chdb), or run ./x test"
            ))
        })?;
        let mut command = Command::new(python);
        command.arg(SCRIPT).arg(port.to_string()).arg(folder);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let read = process.stdout.as_mut().map(|out| BufReader::new(out).read_line(&mut line));
        let told = line.strip_prefix("listening ").and_then(|it| it.trim().parse().ok());
        let mut server = Self { process, port };
        read.transpose()?;
        server.port = told.ok_or_else(|| io::Error::other("the engine did not start"))?;
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
