//! Who is let in, and what they see.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cluster;
mod hubble;
mod log;
mod people;
mod provider;
mod sign_in;
mod start;
