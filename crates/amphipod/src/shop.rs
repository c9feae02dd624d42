//! `amphipod shop`: the programs of the simulated cluster. Started by `amphipod demo`, of no use to people.

#[derive(clap::Args)]
pub struct Args {
    /// Which program
    role: String,
    /// What it is told
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    Ok(sim::shop::run(&args.role, &args.settings)?)
}
