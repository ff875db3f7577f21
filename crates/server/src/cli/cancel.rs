//! `tutti cancel`: ends a run of a server.

use tutti_core::ids::Namespace;
use tutti_core::ports::runs::CancelRequest;

use super::CancelArgs;
use crate::clock::SystemClock;
use crate::exit::{Exit, Result};
use crate::output::say;
use crate::remote;

/// # Errors
/// A run that is not there or has ended otherwise, a server that cannot be reached.
pub async fn execute(args: CancelArgs) -> Result<Exit> {
    let run = remote::reader(&args.server).await?.find(&args.run.run).await?.run;
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    let request =
        CancelRequest { namespace: Namespace::default(), run, by: format!("cli:{user}"), reason: args.reason };
    let request_id = args.request_id.unwrap_or_else(|| SystemClock.request_id());
    let before = remote::client(&args.server)?
        .cancel(request, request_id)
        .await
        .map_err(|error| remote::failure(&args.server, error))?;
    say(format!("run {run} {}", if before { "was cancelled before" } else { "is cancelled" }));
    Ok(Exit::Done)
}
