//! Serving over HTTP: limits, errors as problem details, metrics.

pub mod exposition;
mod problem;
mod scrape;
mod secure;
mod server;

pub use problem::Problem;
pub use scrape::Scrapes;
pub use secure::Secure;
pub use server::serve;
