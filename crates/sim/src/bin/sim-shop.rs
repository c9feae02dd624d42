//! The shop's programs as a binary of their own, for the tests of this crate; the product carries them as a hidden
//! subcommand. `sim-shop shop ROLE KEY=VALUE ...` runs one; `sim-shop cluster` holds a whole cluster until it is killed.

use std::io::Write;
use std::process::ExitCode;

use sim::{Cluster, Config, Error, Lag};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((command, [role, settings @ ..])) if command == "shop" => {
            sim::shop::run(role, settings)
        }
        Some((command, [])) if command == "cluster" => cluster(),
        _ => Err(Error::Cluster(
            "usage: sim-shop shop ROLE [KEY=VALUE ...] | sim-shop cluster".to_owned(),
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody to tell if this fails.
            let _ = writeln!(std::io::stderr(), "sim-shop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the place of the cluster once it runs, then each change.
fn cluster() -> Result<(), Error> {
    let program = std::env::current_exe().map_err(|e| Error::Cluster(e.to_string()))?;
    let (cluster, changes) = Cluster::start(Config {
        program,
        arguments: vec!["shop".to_owned()],
        node: "node-1".to_owned(),
        zone: "zone-a".to_owned(),
        rate: 20.0,
        churn: true,
        lag: Lag::default(),
    })?;
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{}", cluster.node().instance().place());
    for change in changes {
        let _ = writeln!(out, "{change:?}");
    }
    Ok(())
}
