//! The agent card as JSON (ProtoJSON: camelCase names, unset fields left out).
//!
//! Reading is tolerant: unknown fields are ignored, `null` counts as absent, names in snake_case are accepted, and
//! nothing but the form of the JSON is required, because cards in the field leave out fields the standard demands.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{GRPC_BINDING, VERSION, v1};

/// What an agent tells about itself.
///
/// Of its security schemes only [`api_key_header`](AgentCard::api_key_header) is read; extensions and signatures are
/// not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentCard {
    /// A name for people.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What the agent is for.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// Where and how it can be called, the preferred way first.
    #[serde(alias = "supported_interfaces", deserialize_with = "or_default")]
    pub supported_interfaces: Vec<AgentInterface>,
    /// Who runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<AgentProvider>,
    /// The agent's own version.
    #[serde(deserialize_with = "or_default")]
    pub version: String,
    /// Where its documentation is.
    #[serde(alias = "documentation_url", skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
    /// Optional parts of the protocol it offers.
    #[serde(deserialize_with = "or_default")]
    pub capabilities: AgentCapabilities,
    /// Media types it takes.
    #[serde(alias = "default_input_modes", deserialize_with = "or_default")]
    pub default_input_modes: Vec<String>,
    /// Media types it answers with.
    #[serde(alias = "default_output_modes", deserialize_with = "or_default")]
    pub default_output_modes: Vec<String>,
    /// What it can do.
    #[serde(deserialize_with = "or_default")]
    pub skills: Vec<AgentSkill>,
    /// A picture of it.
    #[serde(alias = "icon_url", skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
    /// How callers may show who they are, by name, as the card spells it.
    #[serde(alias = "security_schemes", skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub security_schemes: BTreeMap<String, serde_json::Value>,
    /// Which of them a caller must use, one of the list, as the card spells it.
    #[serde(alias = "security_requirements", skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub security_requirements: Vec<serde_json::Value>,
}

/// One address of an agent and the protocol binding spoken there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentInterface {
    /// The address; `host:port` for gRPC.
    #[serde(deserialize_with = "or_default")]
    pub url: String,
    /// `GRPC`, `JSONRPC` or `HTTP+JSON`, or one of the agent's own.
    #[serde(alias = "protocol_binding", deserialize_with = "or_default")]
    pub protocol_binding: String,
    /// What every request to this interface carries as its tenant.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub tenant: String,
    /// The version of A2A spoken there.
    #[serde(alias = "protocol_version", deserialize_with = "or_default")]
    pub protocol_version: String,
}

/// Who runs an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentProvider {
    /// The provider's site.
    #[serde(deserialize_with = "or_default")]
    pub url: String,
    /// The provider's name.
    #[serde(deserialize_with = "or_default")]
    pub organization: String,
}

/// Optional parts of the protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentCapabilities {
    /// Whether the agent streams updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streaming: Option<bool>,
    /// Whether it pushes updates.
    #[serde(alias = "push_notifications", skip_serializing_if = "Option::is_none")]
    pub push_notifications: Option<bool>,
    /// Whether it has an extended card.
    #[serde(alias = "extended_agent_card", skip_serializing_if = "Option::is_none")]
    pub extended_agent_card: Option<bool>,
}

/// Something an agent can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentSkill {
    /// The skill's id, unique within the card.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// A name for people.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What it does.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// Keywords.
    #[serde(deserialize_with = "or_default")]
    pub tags: Vec<String>,
    /// Requests it understands.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub examples: Vec<String>,
    /// Media types it takes, if not the card's.
    #[serde(alias = "input_modes", skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub input_modes: Vec<String>,
    /// Media types it answers with, if not the card's.
    #[serde(alias = "output_modes", skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub output_modes: Vec<String>,
}

impl AgentCard {
    /// Parses a card.
    ///
    /// # Errors
    /// Text that is not a JSON object, or fields of the wrong type.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The header that the card wants an API key in, if one of its security schemes is such.
    #[must_use]
    pub fn api_key_header(&self) -> Option<&str> {
        self.security_schemes.values().find_map(|scheme| {
            let scheme = scheme.get("apiKeySecurityScheme").or_else(|| scheme.get("api_key_security_scheme"))?;
            (scheme.get("location")?.as_str()? == "header").then(|| scheme.get("name")?.as_str()).flatten()
        })
    }

    /// The interface to call: the first that speaks gRPC in a version 1.x of the protocol (or does not say which).
    #[must_use]
    pub fn grpc_interface(&self) -> Option<&AgentInterface> {
        self.supported_interfaces.iter().find(|interface| {
            let version = interface.protocol_version.as_str();
            interface.protocol_binding == GRPC_BINDING
                && (version.is_empty() || version.split('.').next() == VERSION.split('.').next())
        })
    }
}

impl AgentInterface {
    /// An interface that speaks gRPC in the version of this crate at `address` (`host:port`).
    #[must_use]
    pub fn grpc(address: impl Into<String>) -> Self {
        Self {
            url: address.into(),
            protocol_binding: GRPC_BINDING.to_owned(),
            tenant: String::new(),
            protocol_version: VERSION.to_owned(),
        }
    }
}

impl From<AgentCard> for v1::AgentCard {
    fn from(card: AgentCard) -> Self {
        Self {
            name: card.name,
            description: card.description,
            supported_interfaces: card.supported_interfaces.into_iter().map(Into::into).collect(),
            provider: card
                .provider
                .map(|provider| v1::AgentProvider { url: provider.url, organization: provider.organization }),
            version: card.version,
            documentation_url: card.documentation_url,
            capabilities: Some(v1::AgentCapabilities {
                streaming: card.capabilities.streaming,
                push_notifications: card.capabilities.push_notifications,
                extensions: Vec::new(),
                extended_agent_card: card.capabilities.extended_agent_card,
            }),
            default_input_modes: card.default_input_modes,
            default_output_modes: card.default_output_modes,
            skills: card.skills.into_iter().map(Into::into).collect(),
            icon_url: card.icon_url,
            ..Default::default()
        }
    }
}

impl From<AgentInterface> for v1::AgentInterface {
    fn from(interface: AgentInterface) -> Self {
        Self {
            url: interface.url,
            protocol_binding: interface.protocol_binding,
            tenant: interface.tenant,
            protocol_version: interface.protocol_version,
        }
    }
}

impl From<AgentSkill> for v1::AgentSkill {
    fn from(skill: AgentSkill) -> Self {
        Self {
            id: skill.id,
            name: skill.name,
            description: skill.description,
            tags: skill.tags,
            examples: skill.examples,
            input_modes: skill.input_modes,
            output_modes: skill.output_modes,
            security_requirements: Vec::new(),
        }
    }
}

/// ProtoJSON reads `null` as the field's default.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_of_the_field_is_read() {
        let card = AgentCard::parse(
            br#"{
              "name": "Forecaster", "description": null, "version": "2",
              "supportedInterfaces": [
                {"url": "http://h:1/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
                {"url": "h:2", "protocolBinding": "GRPC", "protocolVersion": "0.3"},
                {"url": "h:3", "protocolBinding": "GRPC", "protocolVersion": "1.0.1", "tenant": "t"},
                {"url": "h:4", "protocolBinding": "GRPC"}
              ],
              "capabilities": {"streaming": true, "extensions": [{"uri": "x"}]},
              "securitySchemes": {"key": {"apiKeySecurityScheme": {"location": "header", "name": "X"}}},
              "skills": [{"id": "forecast", "name": "Forecast", "tags": ["a"], "new": {}}], "future": 1
            }"#,
        )
        .unwrap();
        assert_eq!(card.skills[0].id, "forecast");
        assert_eq!(card.capabilities.streaming, Some(true));
        assert_eq!(card.api_key_header(), Some("X"));
        let interface = card.grpc_interface().unwrap();
        assert_eq!((interface.url.as_str(), interface.tenant.as_str()), ("h:3", "t"));
    }

    #[test]
    fn an_empty_card_has_no_interface() {
        assert_eq!(AgentCard::parse(b"{}").unwrap().grpc_interface(), None);
        assert!(AgentCard::parse(b"[1]").is_err());
    }

    #[test]
    fn a_card_is_written_in_camel_case_and_read_back() {
        let card = AgentCard {
            name: "n".to_owned(),
            supported_interfaces: vec![AgentInterface::grpc("h:1")],
            default_input_modes: vec!["application/json".to_owned()],
            ..Default::default()
        };
        let json = serde_json::to_value(&card).unwrap();
        assert_eq!(json["supportedInterfaces"][0]["protocolBinding"], "GRPC");
        assert_eq!(json["defaultInputModes"][0], "application/json");
        assert_eq!(json.get("iconUrl"), None);
        assert_eq!(AgentCard::parse(json.to_string().as_bytes()).unwrap(), card);
        let proto: v1::AgentCard = card.into();
        assert_eq!(proto.supported_interfaces[0].protocol_version, "1.0");
    }
}
