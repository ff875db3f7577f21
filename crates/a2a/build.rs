//! Compiles the .proto files of A2A without `protoc`.

use std::path::Path;

use prost::Message as _;

type AnyError = Box<dyn std::error::Error>;

const FILES: [&str; 3] = ["a2a/v1/a2a.proto", "google/rpc/status.proto", "google/rpc/error_details.proto"];

fn main() -> Result<(), AnyError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    for file in FILES {
        println!("cargo:rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(FILES, [&root])?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("lf.a2a.v1.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    // Error details travel as google.protobuf.Any, by type URL.
    config.bytes(["."]).enable_type_names().type_name_domain(["."], "type.googleapis.com");
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
