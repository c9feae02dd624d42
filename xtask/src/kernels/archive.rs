//! One suite of the Debian archive, beside and without touching what this machine is installed from.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::mirror;
use crate::process;

/// Signs every suite; newer keys come with its updates.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt's own state for one suite and architecture, under `target/vm/apt`.
pub struct Archive {
    folder: PathBuf,
    architecture: String,
}

impl Archive {
    /// Reads the suite's lists of packages from the mirror.
    pub fn open(vm: &Path, suite: &str, architecture: &str) -> Result<Self> {
        let folder = vm.join("apt").join(format!("{suite}-{architecture}"));
        for part in ["lists/partial", "cache/archives/partial", "sources.list.d", "preferences.d"] {
            fs::create_dir_all(folder.join(part))
                .with_context(|| format!("create {}", folder.display()))?;
        }
        let source = format!(
            "deb [arch={architecture} signed-by={KEYRING}] {} {suite} main\n",
            mirror::find()?
        );
        fs::write(folder.join("sources.list"), source)?;
        fs::write(folder.join("status"), "")?;
        let archive = Self { folder, architecture: architecture.to_owned() };
        process::output(archive.apt("apt-get").args(["-qq", "--error-on=any", "update"]))
            .with_context(|| format!("Debian {suite} for {architecture}"))?;
        Ok(archive)
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        let folder = self.folder.display();
        let options = [
            format!("APT::Architecture={}", self.architecture),
            format!("Dir::State={folder}"),
            format!("Dir::State::lists={folder}/lists"),
            format!("Dir::State::status={folder}/status"),
            format!("Dir::Cache={folder}/cache"),
            format!("Dir::Etc::sourcelist={folder}/sources.list"),
            format!("Dir::Etc::sourceparts={folder}/sources.list.d"),
            format!("Dir::Etc::preferences={folder}/preferences"),
            format!("Dir::Etc::preferencesparts={folder}/preferences.d"),
            // The checkout need not be readable for apt's own user.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ];
        for option in options {
            apt.args(["-o", &option]);
        }
        apt
    }

    /// The package and what it needs, as far as `wanted` by name; of alternatives, the first.
    pub fn closure(
        &self,
        package: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let mut open = vec![package.to_owned()];
        while let Some(package) = open.pop() {
            if !found.insert(package.clone()) {
                continue;
            }
            let control = process::output(self.apt("apt-cache").args([
                "show",
                "--no-all-versions",
                &package,
            ]))?;
            open.extend(dependencies(&control).filter(|name| wanted(name)).map(str::to_owned));
        }
        Ok(found)
    }

    /// Downloads the packages and unpacks them below `into`.
    pub fn unpack(&self, packages: &BTreeSet<String>, into: &Path) -> Result<()> {
        fs::create_dir_all(into).with_context(|| format!("create {}", into.display()))?;
        let downloads = into.join(".downloads");
        fs::create_dir_all(&downloads)?;
        process::output(
            self.apt("apt-get").current_dir(&downloads).arg("-qq").arg("download").args(packages),
        )?;
        for entry in fs::read_dir(&downloads)? {
            process::output(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(into))?;
        }
        fs::remove_dir_all(&downloads)?;
        if fs::read_dir(into)?.next().is_none() {
            bail!("{packages:?} hold no files");
        }
        Ok(())
    }
}

/// The names in the `Depends` fields of a package's control data.
fn dependencies(control: &str) -> impl Iterator<Item = &str> {
    control
        .lines()
        .filter_map(|line| {
            line.strip_prefix("Depends: ").or_else(|| line.strip_prefix("Pre-Depends: "))
        })
        .flat_map(|list| list.split(','))
        .filter_map(|alternatives| alternatives.split('|').next()?.split_whitespace().next())
        .map(|name| name.split(':').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_names_without_versions() {
        let control = "Package: linux-image-x\nPre-Depends: libc6\nDepends: dracut | initramfs-tools (>= 0.120), \
                       linux-binary-x (= 7.2-1), python3:any\nSuggests: linux-doc\n";
        let names: Vec<&str> = dependencies(control).collect();
        assert_eq!(names, ["libc6", "dracut", "linux-binary-x", "python3"]);
    }
}
