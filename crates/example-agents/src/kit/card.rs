//! The agent's card.

use tutti_a2a::JSON_MEDIA_TYPE;
use tutti_a2a::card::{AgentCapabilities, AgentCard, AgentInterface, AgentSkill};

use super::skill::Agent;

/// The card of an agent that is reached at `authority` (`host:port`).
pub(super) fn card(agent: &Agent, authority: &str) -> AgentCard {
    let skills: Vec<AgentSkill> = agent.skills.iter().map(|skill| skill.card()).collect();
    let description = match skills.as_slice() {
        [only] => only.description.clone(),
        several => several.iter().map(|skill| skill.name.as_str()).collect::<Vec<_>>().join("; "),
    };
    AgentCard {
        name: agent.name.clone(),
        description,
        supported_interfaces: vec![AgentInterface::grpc(authority)],
        version: env!("CARGO_PKG_VERSION").into(),
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(false),
            extended_agent_card: Some(false),
        },
        default_input_modes: vec![JSON_MEDIA_TYPE.into(), "text/plain".into()],
        default_output_modes: vec![JSON_MEDIA_TYPE.into()],
        skills,
        ..Default::default()
    }
}
