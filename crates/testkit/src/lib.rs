//! What tests of several packages share: conformance suites for the ports, and a measure of a store's rate.

pub mod conformance;
pub mod rate;
