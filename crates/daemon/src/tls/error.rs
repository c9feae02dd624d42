//! What is wrong with a file.

use std::io;
use std::path::PathBuf;

/// Each message is one line: which file, what, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}; give a PEM file that this process may read", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: more than {most} bytes; give a PEM file with a {what}", path = path.display())]
    TooLarge { path: PathBuf, most: u64, what: &'static str },
    #[error("{path}: not PEM: {reason}; give a {what} in PEM", path = path.display())]
    NotPem { path: PathBuf, what: &'static str, reason: String },
    #[error("{path}: there is no {what} in it; give one in PEM", path = path.display())]
    Nothing { path: PathBuf, what: &'static str },
    #[error("{path}: the {what} cannot be used: {reason}; make a new one", path = path.display())]
    Unusable { path: PathBuf, what: &'static str, reason: String },
    #[error("{path}: the certificate expired at {at}; renew it", path = path.display())]
    Expired { path: PathBuf, at: String },
    #[error(
        "{key}: the key does not fit the certificate in {certificate}; give the two that were made together",
        key = key.display(), certificate = certificate.display()
    )]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}
