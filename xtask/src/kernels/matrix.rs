//! `vm/kernels.toml`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::repository;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// Kernel modules for every guest.
    pub modules: Vec<String>,
    /// After which a guest is killed.
    pub minutes: u64,
    pub memory_mb: u32,
    #[serde(rename = "kernel")]
    pub kernels: Vec<Kernel>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// What the user calls it.
    pub name: String,
    /// Debian's name: `amd64`, `arm64`.
    pub architecture: String,
    /// Debian's suite: `bookworm`, `sid`.
    pub suite: String,
    /// The package that always depends on the suite's newest kernel.
    pub package: String,
    /// Kernel parameters that only this one needs.
    #[serde(default)]
    pub parameters: String,
    /// Why it may be missing from the mirror.
    pub unavailable: Option<String>,
    /// Tests that cannot pass here, and why.
    #[serde(default)]
    pub skip: BTreeMap<String, String>,
}

impl Kernel {
    /// Whether it runs programs that were built for this machine.
    pub fn is_native(&self) -> bool {
        self.architecture == host()
    }
}

/// Debian's name for this machine's architecture.
pub fn host() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The whole matrix, or the kernels that are named.
pub fn read(names: &[String]) -> Result<Matrix> {
    let path = repository::root().join("vm/kernels.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut matrix: Matrix =
        toml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    for name in names {
        if !matrix.kernels.iter().any(|kernel| kernel.name == *name) {
            let known: Vec<&str> =
                matrix.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
            bail!("no kernel {name} in vm/kernels.toml; there are: {}", known.join(", "));
        }
    }
    matrix.kernels.retain(|kernel| names.is_empty() || names.contains(&kernel.name));
    Ok(matrix)
}
