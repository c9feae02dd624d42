//! Amphipod: eBPF telemetry for Kubernetes. One file per command.

mod agent;
mod client;
mod completions;
mod demo;
mod failure;
mod filters;
mod hub;
mod log;
mod man;
mod observe;
mod output;
mod paint;
mod shop;
mod sim_apiserver;
mod status;
mod top;
mod units;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// eBPF telemetry for Kubernetes: who talks to whom, how well, and what failed.
#[derive(Parser)]
#[command(name = "amphipod", version, propagate_version = false, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage.")]
struct Cli {
    #[command(flatten)]
    log: log::Args,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch this node and serve what is seen
    Agent(agent::Args),
    /// Watch the cluster once for all agents, and tell each what it wants to know
    Hub(hub::Args),
    /// Run a small shop of real processes on this host, and watch it
    Demo(demo::Args),
    /// Show records: connections, flows, drops
    Observe(observe::Args),
    /// Show the busiest pairs and the failures, live
    Top(top::Args),
    /// Show how the agent fares and what it costs, or the hub and all nodes
    Status(status::Args),
    /// Print the version
    Version(version::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print or write the man pages
    #[command(hide = true)]
    Man(man::Args),
    /// Run one program of the demo's shop
    #[command(hide = true)]
    Shop(shop::Args),
    /// Run a simulated API server with a made-up cluster, for tests
    SimApiserver(sim_apiserver::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::refuse(&error),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let daemon = matches!(cli.command, Command::Agent(_) | Command::Hub(_));
    log::init(&cli.log, if daemon { "info" } else { "warn" })?;
    match cli.command {
        Command::Agent(args) => agent::run(args),
        Command::Hub(args) => hub::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Observe(args) => observe::run(args),
        Command::Top(args) => top::run(args),
        Command::Status(args) => status::run(args),
        Command::Version(args) => version::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
        Command::Shop(args) => shop::run(args),
        Command::SimApiserver(args) => sim_apiserver::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
