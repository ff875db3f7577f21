//! The transport against real agents: one on the public A2A SDK in a process of its own, and servers on our own stubs
//! for what an SDK refuses to do.

#![expect(clippy::unwrap_used, reason = "what must not fail in a test ends the test")]

mod access;
mod api;
mod auth;
mod conformance;
mod discovery;
mod events;
mod misbehaving;
mod orchestrator;
mod scripted;
mod sdk;
mod serve;
mod serve_tls;
mod support;
