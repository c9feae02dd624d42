//! Configuration: one TOML file, every key optional, read as it is written and then validated into another type.

mod check;
mod file;
pub mod value;

use std::path::{Path, PathBuf};

pub use check::{count, file, listen, quoted, span, wrong};
pub use file::{Help, Sections, parse, reference};

/// Each message names the key, the value and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "configuration {path}: {source}; give a readable TOML file (--config), or none for the defaults"
    )]
    Read { path: PathBuf, source: std::io::Error },
    #[error("configuration: {0}")]
    Syntax(String),
    #[error("configuration: unknown key `{key}`{}", .nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Unknown { key: String, nearest: Option<String> },
    #[error("configuration: {key} = {value}: expected {expected}")]
    Value { key: String, value: String, expected: String },
}

/// The text of the file at `path`; none without one.
///
/// # Errors
/// It cannot be read.
pub fn read(path: Option<&Path>) -> Result<String, Error> {
    match path {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.into(), source }),
        None => Ok(String::new()),
    }
}
