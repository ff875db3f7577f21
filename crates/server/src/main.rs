//! The tutti binary.

mod agents;
mod cli;
mod clock;
mod conductor;
mod config;
mod events;
mod exit;
mod history;
mod inputs;
mod interrupts;
mod live;
mod load;
mod output;
mod remote;
mod report;
mod store;
mod tree;
mod workflow_file;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::Cli;
use crate::exit::{Exit, Failure, Result};

fn main() -> ExitCode {
    match execute(Cli::parse()) {
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
    if let Some(filter) = &cli.global().log {
        start_log(filter)?;
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("the system gives no threads: {error}")))?
        .block_on(cli.execute())
}

fn start_log(filter: &str) -> Result<()> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| Failure::usage(format!("--log: {error}")).next("--log info"))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
