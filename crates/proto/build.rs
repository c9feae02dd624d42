//! Compiles the messages between agents and hub; no protoc is needed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let source = "proto/inventory.proto";
    println!("cargo::rerun-if-changed={source}");
    let descriptors = protox::compile([source], ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
