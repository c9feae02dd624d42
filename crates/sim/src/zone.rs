//! The names that the cluster's name server knows, as a file for it.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::Error;

#[derive(Debug)]
pub(crate) struct Zone {
    file: PathBuf,
    written: BTreeSet<(String, IpAddr)>,
}

impl Zone {
    pub fn new(directory: &Path) -> Self {
        Self { file: directory.join("zone"), written: BTreeSet::new() }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Makes `names` all the names there are. The file is replaced, so that no reader sees a half of it.
    pub fn write(&mut self, names: BTreeSet<(String, IpAddr)>) -> Result<(), Error> {
        if names == self.written {
            return Ok(());
        }
        let text: String = names.iter().map(|(name, ip)| format!("{name} {ip}\n")).collect();
        let new = self.file.with_extension("new");
        fs::write(&new, text).map_err(Error::file("write", &new))?;
        fs::rename(&new, &self.file).map_err(Error::file("rename", &new))?;
        self.written = names;
        Ok(())
    }
}
