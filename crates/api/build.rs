//! Compiles the .proto files of the API without `protoc`.

use std::path::Path;

use prost::Message as _;

type AnyError = Box<dyn std::error::Error>;

const FILES: &[&str] = &[
    "tutti/v1/access.proto",
    "tutti/v1/agents.proto",
    "tutti/v1/monitor.proto",
    "tutti/v1/recovery.proto",
    "tutti/v1/retention.proto",
    "tutti/v1/runs.proto",
    "tutti/v1/workflows.proto",
];

fn main() -> Result<(), AnyError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    for file in FILES {
        println!("cargo:rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(FILES, [&root])?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("tutti.v1.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.bytes(["."]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
