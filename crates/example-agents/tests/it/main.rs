//! The agents over a real loopback connection, with the generated client.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod pipeline;
mod server;
mod support;
