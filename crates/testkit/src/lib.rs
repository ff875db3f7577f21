//! What tests of several packages share: conformance suites for the ports, a simulator with faults, runs whose owners die at
//! every point, properties of arbitrary input, values to call stores with, and a measure of a store's rate.

pub mod conformance;
pub mod given;
pub mod properties;
pub mod rate;
pub mod scripted;
pub mod sim;
pub mod stores;
