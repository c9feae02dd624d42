//! Compiles the descriptions of Kubernetes' messages; the simulated API server encodes by them.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let source = "proto/kubernetes.proto";
    println!("cargo::rerun-if-changed={source}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let descriptors = protox::compile([source], ["proto"])?;
    fs::write(out.join("kubernetes.bin"), descriptors.encode_to_vec())?;
    Ok(())
}
