//! A server as a place where runs are: read like a store.

use std::sync::Arc;

use tutti_adapters_grpc::api::{ApiClient, ApiError};
use tutti_core::ports::query::{ListRuns, RunQuery};

use crate::exit::{Failure, Result};
use crate::store::Reader;

/// The server that is asked if none is named and one is needed; where `tutti serve` listens by default.
pub const DEFAULT: &str = "http://127.0.0.1:7780";

/// A client of the server at a URL.
///
/// # Errors
/// What is no URL.
pub fn client(url: &str) -> Result<ApiClient> {
    ApiClient::new(url).map_err(|error| Failure::usage(error.to_string()).next(format!("--server {DEFAULT}")))
}

/// The runs of the server at a URL, to look on.
///
/// # Errors
/// A server that cannot be reached.
pub async fn reader(url: &str) -> Result<Reader> {
    let client = Arc::new(client(url)?);
    // Asked once, so that a server that is not there is told as such.
    if let Err(error) = client.list(ListRuns { limit: 1, ..ListRuns::default() }).await {
        return Err(unreachable(url, &error.to_string()));
    }
    Ok(Reader { query: client.clone(), payloads: client })
}

/// What a server's refusal means for a command.
pub fn failure(url: &str, error: ApiError) -> Failure {
    match error {
        ApiError::Refused(why) => Failure::usage(why),
        ApiError::Unavailable(why) | ApiError::Interrupted(why) => unreachable(url, &why),
    }
}

fn unreachable(url: &str, why: &str) -> Failure {
    Failure::unavailable(format!("the server at {url} cannot be used: {why}"))
        .next("start it by `tutti serve`, or name another by --server URL")
}
