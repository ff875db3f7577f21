//! The engine over a real store in memory, with agents that do what a test tells them.

#![expect(clippy::unwrap_used, reason = "a test that meets an error it does not expect has failed")]

mod explain;
mod faults;
mod fleet;
mod fork;
mod grow;
mod places;
mod quality;
mod recovery;
mod residency;
mod running;
mod service;
mod start;
mod support;
