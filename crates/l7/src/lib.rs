//! What applications say to each other: bytes that anybody may have sent become messages, or an error.
//! No `unsafe`, no panic, and never more work or memory than a constant times the length of the input.

pub mod dns;
