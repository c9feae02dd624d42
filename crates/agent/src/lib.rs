//! The agent: watches one node and tells who talks to whom.
//!
//! Data flows one way: probe threads → a bounded queue → the [`pipeline`] thread (identify, aggregate, publish) →
//! [`export`] (Prometheus, status, live records) and [`report`] (the hub). [`App`] wires it.

mod app;
pub mod backend;
pub mod config;
mod error;
pub mod export;
pub mod identity;
pub mod kube;
pub mod pipeline;
pub mod report;

pub use app::{App, Feed};
pub use config::Config;
pub use error::Error;
