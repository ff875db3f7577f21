//! The agents of a file, listening.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures::future::try_join_all;
use tutti_core::ids::{AgentId, Capability};
pub use tutti_example_agents::kit::ServerError;
use tutti_example_agents::kit::{Agent, Instruments, Server, Skill};

use crate::call::Listener;
use crate::file::{StubAgent, StubFile};
use crate::skill::StubSkill;

/// The agents of a file, bound to their ports; [`Stubs::run`] serves.
pub struct Stubs {
    servers: Vec<(Stub, Server)>,
}

/// An agent that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stub {
    /// Its name.
    pub name: AgentId,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it can do.
    pub capabilities: Vec<Capability>,
}

impl Stub {
    /// The base URL of its card.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Stubs {
    /// Listens for every agent of the file; `listener` is told of what happens. Calls that come before [`Stubs::run`]
    /// wait.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub async fn bind(file: StubFile, host: &str, listener: Listener) -> Result<Self, ServerError> {
        let mut servers = Vec::new();
        for StubAgent { name, port, skills } in file.agents {
            let capabilities = skills.keys().cloned().collect();
            let busy = Arc::new(AtomicUsize::new(0));
            let skill = |(capability, script)| -> Arc<dyn Skill> {
                Arc::new(StubSkill::new(&name, &capability, script, busy.clone(), listener.clone()))
            };
            let agent = Agent {
                name: name.to_string(),
                skills: skills.into_iter().map(skill).collect(),
                instruments: Instruments::default(),
            };
            let server = Server::bind(agent, host, port).await?;
            servers.push((Stub { name, address: server.address(), capabilities }, server));
        }
        Ok(Self { servers })
    }

    /// The agents, in the order of the file.
    #[must_use]
    pub fn agents(&self) -> Vec<Stub> {
        self.servers.iter().map(|(stub, _)| stub.clone()).collect()
    }

    /// Serves until `shutdown` ends, or, when `idle_exit` is given, until each agent had no call and no task under way
    /// for so long.
    ///
    /// # Errors
    /// A fault of the system.
    pub async fn run(
        self,
        idle_exit: Option<Duration>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServerError> {
        let serving =
            try_join_all(self.servers.into_iter().map(|(_, server)| server.run(idle_exit, std::future::pending())));
        tokio::select! {
            served = serving => served.map(drop),
            () = shutdown => Ok(()),
        }
    }
}
