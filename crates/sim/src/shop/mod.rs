//! The programs of the simulated shop. Each runs as a process of its own, in a pod's network namespace and cgroup;
//! the simulated node starts them as hidden subcommands of the binary that it is part of.

mod client;
mod dns;
mod http;
mod job;
mod lookup;
mod metrics;
mod name_server;
mod postgres;
mod redis;
mod settings;
mod storefront;

use std::ffi::CString;
use std::io;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::set_name;

pub use settings::Settings;

use crate::Error;

type Program = fn(&Settings) -> io::Result<()>;

/// Every role, by the name under which it is started.
const PROGRAMS: &[(&str, Program)] = &[
    ("bank", storefront::bank),
    ("cart", storefront::cart),
    ("catalogue", storefront::catalogue),
    ("checkout", storefront::checkout),
    ("coredns", name_server::run),
    ("email", job::email),
    ("frontend", storefront::frontend),
    ("invoice", job::invoice),
    ("loadgen", client::run),
    ("node-exporter", metrics::node_exporter),
    ("payment", storefront::payment),
    ("postgres", postgres::run),
    ("prometheus", metrics::prometheus),
    ("recommender", job::recommender),
    ("redis", redis::run),
    ("statsd", metrics::statsd),
];

/// The names of all roles.
pub fn roles() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().map(|(name, _)| *name)
}

/// Becomes the shop's program `role` until it ends, fails, or its parent dies. `settings`: `KEY=VALUE` each.
///
/// # Errors
/// An unknown role or setting, or what stopped the program.
pub fn run(role: &str, settings: &[String]) -> Result<(), Error> {
    let failed = |reason: String| Error::Shop { role: role.to_owned(), reason };
    let Some((name, program)) = PROGRAMS.iter().find(|(name, _)| *name == role) else {
        let known = roles().collect::<Vec<_>>().join(", ");
        return Err(failed(format!("no such role; one of: {known}")));
    };
    let settings = Settings::parse(settings).map_err(failed)?;
    follow_parent(&settings).map_err(|e| failed(e.to_string()))?;
    // What `ps` and the probes show; sixteen programs called alike would tell nobody anything.
    CString::new(*name)
        .map_err(|e| failed(e.to_string()))
        .and_then(|comm| set_name(&comm).map_err(|e| failed(e.to_string())))?;
    program(&settings).map_err(|e| failed(e.to_string()))
}

/// Dies with the simulated node, even if that is killed.
fn follow_parent(settings: &Settings) -> io::Result<()> {
    let Some(parent) = settings.parent else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before the signal was asked for.
    match getppid() {
        Some(pid) if pid.as_raw_nonzero().get().unsigned_abs() == parent => Ok(()),
        _ => Err(io::Error::other("the simulated node is gone")),
    }
}
