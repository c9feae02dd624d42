//! What the repository's own tasks need of logic. `./x` calls these; each verb is also `cargo xtask VERB`.

mod bench;
mod bpf;
mod kernels;
mod process;
mod repository;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask VERB
  tidy               the house rules that a tool can check
  bpf                compile every BPF object, for every architecture
  kernels [NAME...]  boot the kernels of vm/kernels.toml and test the probes in each; --refresh fetches them anew
  bench [NAME...]    what Amphipod costs: programs, http, agent, sidecar, scale; --json FILE, --seconds N, --rounds N";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((verb, rest)) = arguments.split_first() else { bail!("no verb\n{USAGE}") };
    match verb.as_str() {
        "tidy" => tidy::run(),
        "bpf" => bpf::run(),
        "kernels" => kernels::run(rest),
        "bench" => bench::run(rest),
        other => bail!("no such verb: {other}\n{USAGE}"),
    }
}
