//! Standard output: buffered, without a panic when its reader has gone; and whether it shows colours.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use anyhow::{Context, anyhow};

/// The reader of our output has closed it.
#[derive(Debug)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output: closed by its reader")
    }
}

impl std::error::Error for Closed {}

pub struct Output(BufWriter<Stdout>);

impl Output {
    pub fn new() -> Self {
        Self(BufWriter::with_capacity(64 << 10, io::stdout()))
    }

    pub fn write(&mut self, text: &str) -> anyhow::Result<()> {
        settle(self.0.write_all(text.as_bytes()))
    }

    pub fn flush(&mut self) -> anyhow::Result<()> {
        settle(self.0.flush())
    }
}

/// Writes `text` as it is.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut output = Output::new();
    output.write(text)?;
    output.flush()
}

/// Prints a value as indented JSON.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value).context("JSON")?))
}

fn settle(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(anyhow!("standard output: {error}")),
        Ok(()) => Ok(()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether standard output is to be coloured: `auto` on a terminal, unless `NO_COLOR` is set (no-color.org).
    pub fn shown(self) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                io::stdout().is_terminal()
                    && !set("NO_COLOR")
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }
}
