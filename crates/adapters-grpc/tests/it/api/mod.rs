//! The API of a server: the client and the generated stubs against a real engine, over loopback.

mod artifacts;
mod execute;
mod monitor;
mod recovery;
mod runs;
mod streams;
mod workflows;
mod world;
