//! The agent's card.

use tutti_a2a::JSON_MEDIA_TYPE;
use tutti_a2a::card::{AgentCapabilities, AgentCard, AgentInterface};

use super::skill::Agent;

/// The card of an agent that is reached at `authority` (`host:port`).
pub(super) fn card(agent: &Agent, authority: &str) -> AgentCard {
    let skill = agent.skill.card();
    AgentCard {
        name: agent.name.clone(),
        description: skill.description.clone(),
        supported_interfaces: vec![AgentInterface::grpc(authority)],
        version: env!("CARGO_PKG_VERSION").into(),
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(false),
            extended_agent_card: Some(false),
        },
        default_input_modes: vec![JSON_MEDIA_TYPE.into(), "text/plain".into()],
        default_output_modes: vec![JSON_MEDIA_TYPE.into()],
        skills: vec![skill],
        ..Default::default()
    }
}
