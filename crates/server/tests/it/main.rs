//! The binary as people use it: real processes, real agents, real files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agents;
mod backup;
mod bad_input;
mod clients;
mod completion;
mod config;
mod crash;
mod docs;
mod doctor;
mod examples;
mod failover;
mod fleet;
mod host;
mod inspect;
mod lint;
mod namespaces;
mod operate;
mod progress;
mod purge;
mod queue;
mod recovery;
mod restart;
mod run;
mod security;
mod serve;
mod sessions;
mod stop;
mod stub;
mod support;
mod telemetry;
mod upgrade;
mod waiting;
mod watch;
mod workflow;
