//! The contract of transports, against agents on the server kit of the examples.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;
use tutti_a2a::card::AgentSkill;
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint};
use tutti_example_agents::kit::{Agent, Chunk, Instruments, Outcome, Server, Skill, SkillError, TaskContext};
use tutti_testkit::conformance::transport::{ARTIFACT, Behaviour, CAPABILITY, Subject, TestAgent, TestAgents, WORDS};

use crate::support::transport;

tutti_testkit::transport_conformance!(|| Subject::new(transport(), Kit));

/// Agents on the kit.
struct Kit;

#[async_trait]
impl TestAgents for Kit {
    async fn start(&self, behaviour: Behaviour) -> Box<dyn TestAgent> {
        let skill = Arc::new(Scripted { behaviour, started: AtomicUsize::new(0), released: watch::Sender::new(false) });
        let agent = Agent {
            name: "conformance agent".to_owned(),
            skills: vec![skill.clone()],
            instruments: Instruments::default(),
        };
        let server = Server::bind(agent, "127.0.0.1", 0).await.unwrap();
        let endpoint = endpoint(&server.address().to_string());
        tokio::spawn(server.run(None, std::future::pending()));
        Box::new(Running { endpoint, skill })
    }

    async fn nowhere(&self) -> AgentEndpoint {
        // A port that was free a moment ago.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        endpoint(&listener.local_addr().unwrap().to_string())
    }
}

fn endpoint(address: &str) -> AgentEndpoint {
    let access = AgentAccess::trusted();
    AgentEndpoint { id: "agent".parse().unwrap(), url: format!("http://{address}"), access }
}

struct Running {
    endpoint: AgentEndpoint,
    skill: Arc<Scripted>,
}

impl TestAgent for Running {
    fn endpoint(&self) -> AgentEndpoint {
        self.endpoint.clone()
    }

    fn started(&self) -> usize {
        self.skill.started.load(Ordering::Relaxed)
    }

    fn release(&self) {
        self.skill.released.send_replace(true);
    }
}

struct Scripted {
    behaviour: Behaviour,
    started: AtomicUsize,
    released: watch::Sender<bool>,
}

#[async_trait]
impl Skill for Scripted {
    fn card(&self) -> AgentSkill {
        AgentSkill { id: CAPABILITY.to_owned(), name: CAPABILITY.to_owned(), ..AgentSkill::default() }
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
        self.started.fetch_add(1, Ordering::Relaxed);
        match self.behaviour {
            Behaviour::Echo => {}
            Behaviour::Fail => return Err(SkillError::Failed(WORDS.to_owned())),
            Behaviour::Reject => return Err(SkillError::Rejected(WORDS.to_owned())),
            Behaviour::Ask => return Ok(Outcome::InputRequired(WORDS.to_owned())),
            Behaviour::Artifacts => {
                let (name, pieces) = ARTIFACT;
                let pieces = pieces.map(|piece| Chunk::text(name, "text/plain", piece));
                let [first, second, third] = pieces;
                [first, second.append(), third.append().last()].into_iter().for_each(|piece| context.artifact(piece));
            }
            Behaviour::Hold => {
                let mut released = self.released.subscribe();
                released.wait_for(|released| *released).await.unwrap();
            }
        }
        Ok(Outcome::Done(input))
    }
}
