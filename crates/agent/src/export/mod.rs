//! What leaves the agent: metrics, status, live records.

mod http;
mod metrics;
mod records;
mod socket;
mod status;
mod stream;
mod watch;

pub use http::{Sources, local_router, router};
pub(crate) use metrics::View as MetricsView;
pub use metrics::metrics_reference;
pub use records::{Look, Reader, Records, Start, State, TooManyReaders};
pub use socket::LocalSocket;
pub(crate) use stream::Request;
pub use watch::watch_losses;
