//! What runs in a guest, beside the kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::image::Image;
use super::initramfs::Initramfs;
use super::matrix::{Kernel, Matrix};
use crate::{bpf, process, repository};

/// Gives a single test binary this long, emulated.
const TEST_SECONDS: u64 = 420;

/// One line of `cargo --message-format=json`, as far as it concerns test binaries.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Which tests run in a guest.
pub struct Choice {
    /// Of one program alone; `None`: all of all.
    pub only: Option<(String, String)>,
    /// How often each.
    pub times: u32,
}

impl Default for Choice {
    fn default() -> Self {
        Self { only: None, times: 1 }
    }
}

/// Where the probes' tests are.
const PROBES: &str = "crates/probes/tests";
/// Other tests of what this machine's kernel may not have.
const OTHERS: [&str; 1] = ["backends"];

/// Builds the tests for this machine; their names and static binaries without symbols.
pub fn build_tests(vm: &Path) -> Result<Vec<(String, PathBuf)>> {
    let folder = vm.join("tests");
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let mut cargo = repository::cargo();
    // With the features of the whole workspace, as other tests are: one crate's would build all that it needs once more.
    cargo.args(["test", "--workspace", "--locked", "--no-run"]);
    cargo.arg("--message-format=json-render-diagnostics");
    for name in names()? {
        cargo.args(["--test", &name]);
    }
    cargo.stderr(std::process::Stdio::inherit());
    let output = process::output(&mut cargo)?;
    let mut tests = Vec::new();
    for message in output.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok()) {
        let (Some(target), Some(executable)) = (message.target, message.executable) else {
            continue;
        };
        // Programs that tests start are built, too.
        if !target.kind.iter().any(|kind| kind == "test") {
            continue;
        }
        let stripped = folder.join(&target.name);
        process::run(Command::new("strip").arg("-o").arg(&stripped).arg(&executable))?;
        if !is_static(&stripped)? {
            bail!(
                "{} is not static: a guest has no libraries; see .cargo/config.toml",
                executable.display()
            );
        }
        tests.push((target.name, stripped));
    }
    tests.sort();
    Ok(tests)
}

fn names() -> Result<Vec<String>> {
    let folder = repository::root().join(PROBES);
    let mut names = OTHERS.map(str::to_owned).to_vec();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_stem().filter(|_| path.extension() == Some("rs".as_ref())) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    if names.len() == OTHERS.len() {
        bail!("{PROBES} has no tests; there is nothing to run in a guest");
    }
    Ok(names)
}

/// Writes the file system of a guest that runs `tests`, or loads the BPF objects if it is of another architecture.
pub fn pack(
    kernel: &Kernel,
    image: &Image,
    matrix: &Matrix,
    tests: &[(String, PathBuf)],
    choice: &Choice,
    into: &Path,
) -> Result<()> {
    let mut files = Initramfs::new();
    files.file("init", &read(&repository::root().join("vm/init"))?);
    let modules = image.modules(&matrix.modules)?;
    let order: String = modules.iter().map(|module| format!("{}.ko\n", module.name)).collect();
    files.file("modules/order", order.as_bytes());
    for module in &modules {
        files.file(&format!("modules/{}.ko", module.name), &module.content);
    }
    files.file("timeout", TEST_SECONDS.to_string().as_bytes());
    let skip: String = kernel.skip.keys().map(|test| format!("{test}\n")).collect();
    files.file("skip", skip.as_bytes());
    if kernel.is_native() {
        files.file("bin/busybox", &read(&busybox()?)?);
        // Busybox's own knows no veth pairs.
        add_with_libraries(&mut files, "ip")?;
        add_with_libraries(&mut files, "nft")?;
        add_with_libraries(&mut files, "ipvsadm")?;
        files.file("times", choice.times.to_string().as_bytes());
        let only = choice.only.as_ref();
        files.file("only", only.map_or("", |(_, test)| test).as_bytes());
        let chosen = |name: &str| only.is_none_or(|(program, _)| program == name);
        let tests: Vec<_> = tests.iter().filter(|(name, _)| chosen(name)).collect();
        if let (Some((program, _)), true) = (only, tests.is_empty()) {
            bail!(
                "--only: neither crates/probes/tests nor crates/agent/tests/backends is {program}"
            );
        }
        for (name, path) in tests {
            files.file(&format!("tests/{name}"), &read(path)?);
        }
    } else {
        add_userland(&mut files, &image.root, &image.root)?;
        for object in bpf::compile(&kernel.architecture)? {
            files.file(&format!("objects/{}.o", object.name), &read(&object.path)?);
        }
    }
    fs::write(into, files.finish()).with_context(|| format!("write {}", into.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// This machine's, which has to be the static one.
fn busybox() -> Result<PathBuf> {
    for path in ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from) {
        if path.exists() && is_static(&path)? {
            return Ok(path);
        }
    }
    bail!("no static busybox; Debian, Ubuntu: apt-get install busybox-static")
}

/// Adds one of this machine's commands, and the libraries that it is linked to, each where it is here.
fn add_with_libraries(files: &mut Initramfs, name: &str) -> Result<()> {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found =
        folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    let path = found.with_context(|| format!("no command {name}"))?;
    files.file(&format!("usr/sbin/{name}"), &read(&path)?);
    if is_static(&path)? {
        return Ok(());
    }
    // `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x7f...)`, and the loader without an arrow.
    let libraries = process::output(Command::new("ldd").arg(&path))?;
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        files.file(library.trim_start_matches('/'), &read(Path::new(library))?);
    }
    Ok(())
}

/// Adds the programs and libraries of unpacked packages: busybox, bpftool and what they need.
fn add_userland(files: &mut Initramfs, root: &Path, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let inside = path.strip_prefix(root)?.to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            let unneeded = ["boot", "usr/share", "etc", "var"].contains(&inside.as_str());
            if !unneeded && !inside.ends_with("lib/modules") && !inside.ends_with("gconv") {
                add_userland(files, root, &path)?;
            }
        } else if path.is_file() {
            // A symbolic link becomes a copy of what it stands for.
            let content = read(&path)?;
            // Newer suites have all below /usr, and leave the links in / to the installer: the shell and the loader are
            // looked for there.
            if let Some((folder @ ("bin" | "lib"), _)) =
                inside.strip_prefix("usr/").and_then(|inside| inside.split_once('/'))
                && Path::new(&inside).components().count() == 3
                && !root.join(folder).exists()
            {
                files.file(inside.trim_start_matches("usr/"), &content);
            }
            files.file(&inside, &content);
        }
    }
    Ok(())
}

/// Whether an ELF file needs no interpreter.
fn is_static(path: &Path) -> Result<bool> {
    let headers = process::output(Command::new("readelf").args(["-lW"]).arg(path))?;
    Ok(!headers.contains("INTERP"))
}
