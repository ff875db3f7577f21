//! The A2A agents of the examples, each a real gRPC server that does real work.

pub mod data;
pub mod models;
