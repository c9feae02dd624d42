//! A kernel from the archive: its image and its modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::archive::Archive;
use super::matrix::Kernel;
use crate::process;

/// An unpacked kernel. `root` also holds the programs of a guest that cannot run this machine's.
#[derive(Debug)]
pub struct Image {
    pub root: PathBuf,
    pub vmlinuz: PathBuf,
    /// `7.2.13+deb14-cloud-amd64`
    pub release: String,
    modules: PathBuf,
}

/// The kernel as it was fetched before; else, or where `refresh` asks for it, the newest of its suite.
pub fn fetch(kernel: &Kernel, vm: &Path, refresh: bool) -> Result<Image> {
    let root = vm.join(&kernel.name).join("root");
    let complete = vm.join(&kernel.name).join("complete");
    if refresh || !complete.exists() {
        fs::remove_dir_all(vm.join(&kernel.name)).ok();
        let archive = Archive::open(vm, &kernel.suite, &kernel.architecture)?;
        // Up to 6.x all is in linux-image-VERSION; later ones split it.
        let parts = ["linux-image-", "linux-binary-", "linux-modules-"];
        let mut packages = archive
            .closure(&kernel.package, |name| parts.iter().any(|part| name.starts_with(part)))?;
        if !kernel.is_native() {
            packages.append(&mut archive.closure("busybox-static", |_| false)?);
            packages.append(&mut archive.closure("bpftool", |_| true)?);
        }
        archive.unpack(&packages, &root)?;
        fs::write(&complete, "")?;
    }
    open(root)
}

fn open(root: PathBuf) -> Result<Image> {
    let Some(modules) =
        ["usr/lib/modules", "lib/modules"].iter().find_map(|path| only_entry(&root.join(path)))
    else {
        bail!("no kernel modules in {}", root.display());
    };
    let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let candidates =
        [modules.join("vmlinuz"), root.join("boot").join(format!("vmlinuz-{release}"))];
    let Some(vmlinuz) = candidates.into_iter().find(|path| path.exists()) else {
        bail!("no kernel image in {}", root.display());
    };
    Ok(Image { vmlinuz, release, modules, root })
}

fn only_entry(folder: &Path) -> Option<PathBuf> {
    Some(fs::read_dir(folder).ok()?.next()?.ok()?.path())
}

/// A kernel module, as the guest inserts it.
pub struct Module {
    pub name: String,
    pub content: Vec<u8>,
}

impl Image {
    /// The modules and what they depend on, in an order in which they can be inserted. A name that is built in or not
    /// there at all is left out: Debian's packages hold no index, so both look the same.
    pub fn modules(&self, names: &[String]) -> Result<Vec<Module>> {
        let mut files = BTreeMap::new();
        find_modules(&self.modules.join("kernel"), &mut files)?;
        let (mut ordered, mut seen) = (Vec::new(), BTreeSet::new());
        for name in names {
            insert(name, &files, &mut seen, &mut ordered)?;
        }
        Ok(ordered)
    }
}

fn insert(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    seen: &mut BTreeSet<String>,
    ordered: &mut Vec<Module>,
) -> Result<()> {
    let name = name.replace('-', "_");
    if !seen.insert(name.clone()) {
        return Ok(());
    }
    let Some(path) = files.get(&name) else { return Ok(()) };
    let content = read_module(path)?;
    for dependency in dependencies(&content) {
        insert(&dependency, files, seen, ordered)?;
    }
    ordered.push(Module { name, content });
    Ok(())
}

fn find_modules(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            find_modules(&path, files)?;
        } else if let Some((stem, _)) =
            path.file_name().and_then(|name| name.to_str()?.split_once(".ko"))
        {
            files.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn read_module(path: &Path) -> Result<Vec<u8>> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => process::bytes(Command::new("xz").arg("-dc").arg(path)),
        Some("zst") => process::bytes(Command::new("zstd").arg("-qdc").arg(path)),
        _ => fs::read(path).with_context(|| format!("read {}", path.display())),
    }
}

/// The `depends=a,b` of a module's `.modinfo`, which is a row of strings that end in NUL.
fn dependencies(module: &[u8]) -> Vec<String> {
    let field = module.split(|byte| *byte == 0).find_map(|string| string.strip_prefix(b"depends="));
    let list = String::from_utf8_lossy(field.unwrap_or_default()).into_owned();
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_from_modinfo() {
        assert_eq!(
            dependencies(b"\x7fELF\0license=GPL\0depends=stp,llc\0retpoline=Y\0"),
            ["stp", "llc"]
        );
        assert_eq!(dependencies(b"license=GPL\0depends=\0"), Vec::<String>::new());
        assert_eq!(dependencies(b""), Vec::<String>::new());
    }
}
