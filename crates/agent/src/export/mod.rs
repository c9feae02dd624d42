//! What leaves the agent: metrics, status, live records.

mod cost;
mod exposition;
mod http;
mod metrics;
mod problem;
mod records;
mod server;
mod socket;
mod status;
mod stream;
mod watch;

pub use cost::Meter;
pub use http::{Sources, local_router, router};
pub use metrics::metrics_reference;
pub use records::{Look, Reader, Records, Start, State, TooManyReaders};
pub use server::serve;
pub use socket::LocalSocket;
pub use watch::watch_losses;
