//! The API of a server, `tutti.v1`: the service over the inbound port, and the client that reads runs of a server as if
//! they were in a store.

mod access;
mod admin;
mod agents;
mod approvals;
mod auth;
pub(crate) mod caller;
mod client;
mod connect;
pub(crate) mod convert;
pub(crate) mod data;
pub(crate) mod errors;
mod execute;
mod explain;
mod monitor;
mod ordered;
pub(crate) mod outbox;
mod patch;
mod recovery;
mod retention;
mod rules;
pub(crate) mod runs;
mod server;
mod stream_events;
mod watch;
mod workflows;

pub use auth::{Auth, rules};
pub use client::{
    ApiClient, ApiError, ArtifactDownload, ChangeStream, EventStream, ExecuteStream, RunsNews, WaitedRun,
};
pub use connect::ClientTls;
pub use retention::{PurgeRuns, PurgedRun, PurgedRuns};
pub use rules::Rule;
pub use server::{Api, Inbound, serve};
