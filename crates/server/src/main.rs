//! The tutti binary.

mod agents;
mod catalogue;
mod cli;
mod clock;
mod conductor;
mod config;
mod events;
mod exit;
mod guard;
mod hints;
mod history;
mod inputs;
mod interrupts;
mod live;
mod load;
mod output;
mod patience;
mod planning;
mod remote;
mod report;
mod runs;
mod store;
mod sub_workflows;
mod telemetry;
mod tree;
mod watching;
mod workflow_file;

use std::process::ExitCode;

use crate::cli::Cli;
use crate::exit::{Exit, Failure, Result};

fn main() -> ExitCode {
    match execute(Cli::read()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.is_quiet() {
                output::say(&failure);
            }
            failure.exit.into()
        }
    }
}

fn execute(cli: Cli) -> Result<Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("the system gives no threads: {error}")))?
        .block_on(cli.execute())
}
