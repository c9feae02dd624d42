//! Compiles every `src/<probe>/<probe>.bpf.c` and generates its skeleton into `OUT_DIR/<probe>.skel.rs`.

// This is how a build script fails.
#![allow(clippy::panic)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use libbpf_cargo::SkeletonBuilder;

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let arguments = arguments(&root);
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-changed=src");
    for source in sources(&root.join("src")) {
        let name =
            source.file_name().expect("a file").to_string_lossy().replace(".bpf.c", ".skel.rs");
        if let Err(error) = SkeletonBuilder::new()
            .source(&source)
            .clang_args(&arguments)
            .build_and_generate(out.join(name))
        {
            panic!(
                "compile {}: {error:#}\nIs clang installed? Debian, Ubuntu: apt-get install clang",
                source.display()
            );
        }
    }
}

fn arguments(root: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-declarations", "-Werror"]
            .iter()
            .map(OsString::from)
            .collect();
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    // linux/types.h needs asm/types.h, which Debian keeps per architecture.
    for include in [root.join("bpf"), format!("/usr/include/{arch}-linux-gnu").into()] {
        arguments.push("-I".into());
        arguments.push(include.into());
    }
    arguments
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.to_string_lossy().ends_with(".bpf.c") {
            found.push(path);
        }
    }
    found.sort();
    found
}
