//! HTTP: serving with limits, errors as problem details, metrics; and asking others.

pub mod exposition;
mod fetch;
mod problem;
mod scrape;
mod secure;
mod server;

pub use fetch::{Answer, Fetch, Resolve, Resolving, Speech, system};
pub use problem::Problem;
pub use scrape::Scrapes;
pub use secure::Secure;
pub use server::serve;
