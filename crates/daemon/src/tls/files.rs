//! PEM files, what is in them, and whether they are still the same.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Error, provider};

const MOST_BYTES: u64 = 1 << 20;
const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";
pub const AUTHORITY: &str = "certificate of an authority";

/// A certificate with the chain below it, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What the files hold.
pub struct Own {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// Seconds since 1970.
    pub expires: u64,
}

impl Files {
    pub(super) fn read(&self) -> Result<Own, Error> {
        let (path, what) = (&self.certificate, CERTIFICATE);
        let chain = certificates(path, what)?;
        let key = match PrivateKeyDer::from_pem_slice(&read(&self.key, KEY)?) {
            Ok(key) => key,
            Err(error) => return Err(not_pem(&self.key, KEY, error)),
        };
        let unusable = |path: &Path, what, reason: String| {
            let path = path.to_owned();
            Error::Unusable { path, what, reason }
        };
        let leaf = chain.first().map_or(&[][..], |it| &**it);
        let (_, leaf) = X509Certificate::from_der(leaf)
            .map_err(|error| unusable(path, what, error.to_string()))?;
        let validity = leaf.validity();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let expires = validity.not_after.timestamp().try_into().unwrap_or(0);
        if expires < now {
            return Err(Error::Expired { path: path.clone(), at: validity.not_after.to_string() });
        }
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()) {
            Ok(_) => Ok(Own { chain, key, expires }),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let Self { certificate, key } = self.clone();
                Err(Error::Mismatch { certificate, key })
            }
            Err(error @ rustls::Error::InvalidCertificate(_)) => {
                Err(unusable(path, what, error.to_string()))
            }
            Err(error) => Err(unusable(&self.key, KEY, error.to_string())),
        }
    }
}

/// The authorities in a file.
pub fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, AUTHORITY)? {
        roots.add(certificate).map_err(|error| Error::Unusable {
            path: path.to_owned(),
            what: AUTHORITY,
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path, what)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if all.is_empty() => Err(Error::Nothing { path: path.to_owned(), what }),
        Ok(all) => Ok(all),
        Err(error) => Err(not_pem(path, what, error)),
    }
}

fn not_pem(path: &Path, what: &'static str, error: pem::Error) -> Error {
    let path = path.to_owned();
    match error {
        pem::Error::NoItemsFound => Error::Nothing { path, what },
        pem::Error::MissingSectionEnd { .. } => {
            Error::NotPem { path, what, reason: "it is cut off".to_owned() }
        }
        error => Error::NotPem { path, what, reason: error.to_string() },
    }
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut text))
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    match text.len() as u64 > MOST_BYTES {
        true => Err(Error::TooLarge { path: path.to_owned(), most: MOST_BYTES, what }),
        false => Ok(text),
    }
}

/// Which file is at a path, through all links, and its state: another one after each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamp {
    File { device: u64, inode: u64, size: u64, modified: (i64, i64), changed: (i64, i64) },
    None(io::ErrorKind),
}

impl Stamp {
    pub fn of(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Ok(it) => Self::File {
                device: it.dev(),
                inode: it.ino(),
                size: it.size(),
                modified: (it.mtime(), it.mtime_nsec()),
                changed: (it.ctime(), it.ctime_nsec()),
            },
            Err(error) => Self::None(error.kind()),
        }
    }
}
