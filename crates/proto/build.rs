//! Compiles the messages between agents and hub; no protoc is needed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let sources = ["proto/inventory.proto", "proto/telemetry.proto"];
    sources.iter().for_each(|source| println!("cargo::rerun-if-changed={source}"));
    let descriptors = protox::compile(sources, ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::Codec")
        .compile_fds(descriptors)?;
    Ok(())
}
