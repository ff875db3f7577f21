//! The API of a server, `tutti.v1`: the service over the inbound port, and the client that reads runs of a server as if
//! they were in a store.

mod caller;
mod client;
mod connect;
mod convert;
mod errors;
mod server;
mod service;
mod watch;

pub use client::{ApiClient, ApiError, EventStream};
pub use connect::ClientTls;
pub use server::{Api, Inbound, serve};
