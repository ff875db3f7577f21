//! The A2A agents of the examples, each a real gRPC server that does real work.
//!
//! [`names`] lists them, [`serve`] is one of them. [`kit`] is the server they are made with, for any other agent.

mod agents;
mod data;
mod examples;
pub mod kit;
mod models;
mod report;

use std::time::Duration;

use kit::{Agent, Instruments, Server, ServerError};

/// Which agent to be, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// One of [`names`].
    pub name: String,
    /// The address to listen on, such as `127.0.0.1`.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Stop after so long without a call and without a task, so that an agent whose caller was killed does not stay.
    pub idle_exit: Option<Duration>,
}

/// Why an agent did not start or went down.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such agent.
    #[error("no example agent is called `{0}`; there are {list}", list = names().join(", "))]
    UnknownName(String),
    /// A variable of the environment has a value of no use.
    #[error("{0}")]
    Environment(String),
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// The names of the agents.
pub fn names() -> Vec<&'static str> {
    agents::NAMES.into_iter().chain(examples::NAMES).collect()
}

/// The agent of that name, as the environment asks for (see [`Instruments::from_env`]).
///
/// # Errors
/// [`Error::UnknownName`], [`Error::Environment`].
pub fn agent(name: &str) -> Result<Agent, Error> {
    let skills = agents::skill(name).map(|skill| vec![skill]).or_else(|| examples::skills(name));
    let skills = skills.ok_or_else(|| Error::UnknownName(name.into()))?;
    Ok(Agent { name: name.into(), skills, instruments: Instruments::from_env().map_err(Error::Environment)? })
}

/// Is one agent: serves gRPC and the card on one port, until idle for too long.
///
/// # Errors
/// [`Error`]; it does not return otherwise while there is no `idle_exit`.
pub async fn serve(options: Options) -> Result<(), Error> {
    let agent = agent(&options.name)?;
    let server = Server::bind(agent, &options.host, options.port).await?;
    tracing::info!(agent = options.name, address = %server.address(), "serving");
    server.run(options.idle_exit, std::future::pending()).await?;
    tracing::info!(agent = options.name, "idle for too long, leaving");
    Ok(())
}
