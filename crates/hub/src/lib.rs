//! The hub: watches the cluster once for all agents, and tells each what it wants to know.
//!
//! Data flows one way: the API server → [`kube`] (one watch per resource) → [`Inventory`] (one writer) → [`stream`] (one
//! session per agent). [`App`] wires it. Nothing is stored: another replica, or the next life, knows the same from the
//! API server.

mod api;
mod app;
pub mod config;
mod error;
pub mod inventory;
mod kube;
pub mod stream;

pub use api::metrics_reference;
pub use app::App;
pub use config::Config;
pub use error::Error;
pub use inventory::Inventory;
