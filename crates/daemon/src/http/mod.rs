//! HTTP: serving with limits, errors as problem details, metrics; and asking others.

mod dial;
pub mod exposition;
mod fetch;
mod problem;
mod scrape;
mod secure;
mod server;

pub use dial::{Dial, Io, Resolve, Resolving, Unreachable};
pub use fetch::{Answer, Fetch, Speech, system};
pub use problem::Problem;
pub use scrape::Scrapes;
pub use secure::Secure;
pub use server::serve;
