//! `amphipod completions`.

use clap::CommandFactory;

use crate::output;

#[derive(clap::Args)]
#[command(after_help = "Example: amphipod completions bash > /etc/bash_completion.d/amphipod")]
pub struct Args {
    shell: clap_complete::Shell,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "amphipod", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
