//! What tests of several packages share: conformance suites for the ports, a simulator with faults, runs whose owners die at
//! every point, properties of arbitrary input, values to call stores with, a measure of a store's rate, and PostgreSQL
//! servers to throw away, with a way to them that can be cut.

pub mod conformance;
#[cfg(unix)]
pub mod disk;
pub mod given;
#[cfg(unix)]
pub mod postgres;
pub mod properties;
#[cfg(unix)]
pub mod proxy;
pub mod rate;
pub mod scripted;
pub mod sim;
pub mod stores;
