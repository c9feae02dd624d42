//! TLS with certificates from PEM files, which are read again when they change: a secret that Kubernetes mounts is
//! replaced while it is used. What cannot be read then leaves what was read before in use.
//!
//! A configuration is asked for with each connection; connections that are open keep the one that they began with.
//!
//! The certificate of an agent names its node: see [`node`].

mod client;
mod error;
mod files;
mod node;
mod reload;
mod server;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use error::Error;
pub use files::Files;
pub use node::{is_for, node};
pub use reload::{Facts, Reload};
pub use server::{Clients, Server};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The names by which ends agree on a protocol (ALPN).
pub const HTTP1: &[u8] = b"http/1.1";
pub const HTTP2: &[u8] = b"h2";

/// Explicit: no dependency chooses another one for the whole process.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
