//! `amphipod man`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::CommandFactory;

use crate::output;

#[derive(clap::Args)]
pub struct Args {
    /// Write one page per command into this directory; without it, the main page is printed
    dir: Option<PathBuf>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let mut command = crate::Cli::command();
    command.build();
    match args.dir {
        Some(dir) => write(&dir, &command, "amphipod"),
        None => output::print(&page(&command, "amphipod")?),
    }
}

fn write(dir: &Path, command: &clap::Command, name: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("directory {}", dir.display()))?;
    let path = dir.join(format!("{name}.1"));
    std::fs::write(&path, page(command, name)?)
        .with_context(|| format!("man page {}", path.display()))?;
    for part in command.get_subcommands().filter(|part| !part.is_hide_set()) {
        write(dir, part, &format!("{name}-{}", part.get_name()))?;
    }
    Ok(())
}

fn page(command: &clap::Command, name: &str) -> anyhow::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name).render(&mut page).context("man page")?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
