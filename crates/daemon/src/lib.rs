//! What agent and hub both stand on: configuration files, supervision, HTTP, TLS, metrics, where they are sent, and what
//! they cost.

pub mod config;
mod cost;
pub mod export;
pub mod http;
mod keepalive;
pub mod metrics;
pub mod supervise;
pub mod tls;

pub use cost::Meter;
pub use keepalive::keepalive;
pub use supervise::{Backoff, Policy, Supervisor};
