//! Compiles every BPF object as the probes' build script does, for every architecture instead of the host's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{process, repository};

/// As libbpf's headers call them, and as Debian does.
const ARCHITECTURES: [(&str, &str); 2] = [("x86", "amd64"), ("arm64", "arm64")];

/// A compiled object: `tcp`, `target/bpf/arm64/tcp.o`.
#[derive(Debug)]
pub struct Object {
    pub name: String,
    pub path: PathBuf,
}

pub fn run() -> Result<ExitCode> {
    let headers = headers()?;
    let mut count = 0;
    for (_, debian) in ARCHITECTURES {
        count += compile_with(&headers, debian)?.len();
    }
    println!(
        "bpf: {count} objects compiled, for {}",
        ARCHITECTURES.map(|(_, debian)| debian).join(" and ")
    );
    Ok(ExitCode::SUCCESS)
}

/// All objects for one of Debian's architectures.
pub fn compile(architecture: &str) -> Result<Vec<Object>> {
    compile_with(&headers()?, architecture)
}

fn compile_with(headers: &Path, architecture: &str) -> Result<Vec<Object>> {
    let Some((define, _)) = ARCHITECTURES.iter().find(|(_, debian)| *debian == architecture) else {
        bail!("no BPF objects for {architecture}; known: {ARCHITECTURES:?}");
    };
    let folder = repository::target().join("bpf").join(architecture);
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let mut objects = Vec::new();
    for source in repository::files()? {
        let Some(name) = source.file_name().and_then(|name| name.to_str()?.strip_suffix(".bpf.c"))
        else {
            continue;
        };
        let path = folder.join(format!("{name}.o"));
        let mut clang = Command::new(std::env::var_os("CLANG").unwrap_or_else(|| "clang".into()));
        clang
            .current_dir(repository::root())
            .args([
                "-g",
                "-O2",
                "-target",
                "bpf",
                "-Wall",
                "-Wextra",
                "-Wno-unused-parameter",
                "-Werror",
            ])
            .args(["-Wno-missing-declarations", &format!("-D__TARGET_ARCH_{define}")])
            .arg("-I")
            .arg(headers)
            .args(["-I", "crates/probes/bpf", "-I"])
            // For asm/types.h, which is the same everywhere: the host's will do.
            .arg(format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH))
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(&path);
        process::run(&mut clang)?;
        objects.push(Object { name: name.to_owned(), path });
    }
    if objects.is_empty() {
        bail!("found no *.bpf.c; the checkout is not complete");
    }
    Ok(objects)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

/// A folder in which `bpf/bpf_helpers.h` is the one that the probes are built with.
fn headers() -> Result<PathBuf> {
    let json = process::bytes(repository::cargo().args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
    ]))?;
    let metadata: Metadata = serde_json::from_slice(&json).context("read cargo metadata")?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name == "libbpf-sys")
        .context("libbpf-sys is no dependency")?;
    let source = package.manifest_path.with_file_name("libbpf").join("src");
    let folder = repository::target().join("bpf/include");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let link = folder.join("bpf");
    if fs::read_link(&link).ok().as_ref() != Some(&source) {
        fs::remove_file(&link).ok();
        std::os::unix::fs::symlink(&source, &link)
            .with_context(|| format!("link {}", link.display()))?;
    }
    Ok(folder)
}
