//! The pure heart of Tutti: workflows, plans, runs, rules and ports.
//!
//! Nothing here waits, reads a clock, draws a random number, logs or does I/O. Time and ids come in with each input, so
//! that the same inputs always lead to the same events.

pub mod aggregate;
pub mod budget;
pub mod expression;
pub mod ids;
pub mod invariants;
pub mod limits;
pub mod orchestration;
pub mod plan;
pub mod ports;
pub mod quality;
pub mod report;
pub mod run;
pub mod schedule;
pub mod time;
pub mod trace;
pub mod value;
pub mod workflow;
