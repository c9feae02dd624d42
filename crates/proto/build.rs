//! Compiles the messages between agents and hub, and those of Hubble's clients; no protoc is needed.

use std::error::Error;

const OURS: [&str; 3] = ["proto/inventory.proto", "proto/telemetry.proto", "proto/replica.proto"];
const HUBBLE: [&str; 2] = ["proto/hubble/observer.proto", "proto/hubble/health.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    for (sources, folder) in [(&OURS[..], "proto"), (&HUBBLE, "proto/hubble")] {
        let descriptors = protox::compile(sources, [folder])?;
        tonic_prost_build::configure()
            .bytes(".")
            .codec_path("crate::Codec")
            .compile_fds(descriptors)?;
    }
    Ok(())
}
