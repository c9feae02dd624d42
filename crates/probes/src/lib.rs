//! The BPF programs and what loads them. Each probe is a folder: its programs in C, its loader, its settings;
//! the list of them is [`probe::PROBES`].

mod attach;
mod batch;
mod btf;
mod cgroup;
mod cgroupfs;
mod clock;
mod context;
mod dns;
mod drop;
mod epoch;
mod error;
mod feature;
mod flow;
mod health;
mod heap;
mod iterator;
mod plain;
mod probe;
mod requirement;
mod ring;
mod run;
mod run_time;
pub mod settings;
mod skel;
mod socket;
mod tcp;

pub use batch::{Batch, Cgroup, Report};
pub use cgroupfs::mount as cgroup2_mount;
pub use error::Error;
pub use heap::share_heap;
pub use requirement::check;
pub use run::{Running, start};
pub use run_time::RunTime;
pub use settings::Settings;
