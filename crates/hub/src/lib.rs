//! The hub: watches the cluster once for all agents, and tells each what it wants to know.
//!
//! Data flows one way: the API server → [`kube`] (one watch per resource) → [`Inventory`] (one writer) → [`stream`] (one
//! session per agent). [`App`] wires it. Nothing is stored: another replica, or the next life, knows the same from the
//! API server.
//!
//! What agents tell goes the other way: [`ingest`] (each batch once) → [`store`] (levels of time, in memory or in a
//! database). Live records are asked of agents when somebody wants to see them ([`observe`]), over HTTP or by Hubble's
//! clients ([`hubble`]). People are let in by [`access`], and see what they may.

mod access;
mod api;
mod app;
pub mod config;
mod error;
mod grpc;
pub mod hubble;
pub mod ingest;
pub mod inventory;
mod kube;
pub mod observe;
pub mod query;
pub mod replica;
pub mod store;
pub mod stream;
mod ui;

pub use api::metrics_reference;
pub use app::App;
pub use config::Config;
pub use error::Error;
pub use inventory::Inventory;
