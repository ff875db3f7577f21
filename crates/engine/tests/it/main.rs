//! The engine over a real store in memory, with agents that do what a test tells them.

mod faults;
mod running;
mod support;
