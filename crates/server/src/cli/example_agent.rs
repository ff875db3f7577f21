//! `tutti example-agent`: one of the agents of the examples.

use tutti_example_agents::{Error, Options, serve};

use super::ExampleAgentArgs;
use crate::exit::{Exit, Failure, Result};

/// # Errors
/// An agent that cannot start.
pub async fn execute(args: ExampleAgentArgs) -> Result<Exit> {
    let ExampleAgentArgs { name, host, port, idle_exit } = args;
    let options = Options { name, host, port, idle_exit: idle_exit.map(|span| span.0) };
    serve(options).await.map(|()| Exit::Done).map_err(|error| match error {
        Error::UnknownName(_) | Error::Environment(_) => Failure::usage(error.to_string()),
        Error::Server(_) => Failure::unavailable(error.to_string()),
    })
}
