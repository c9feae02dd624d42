//! Owns every task and thread.
