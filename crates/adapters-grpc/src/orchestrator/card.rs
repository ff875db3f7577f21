//! The agent card over HTTP, made anew from the registered workflows for each request.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, VARY};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tutti_a2a::JSON_MEDIA_TYPE;
use tutti_a2a::card::{AgentCapabilities, AgentCard, AgentInterface, AgentSkill};
use tutti_core::ids::Namespace;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::workflows::{ListWorkflows, RegisteredWorkflow};
use tutti_core::value::Digest;

use super::OrchestratorAgent;
use super::send::PLAN_SKILL;
use crate::api::caller::known;

/// Most skills of the card; callers of more know them by other ways.
const MAX_SKILLS: usize = 1_000;

/// For how long a copy is good without asking: workflows are registered at any time. Private: it is that of a namespace.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=10");

/// What the answer depends on beside the path.
const VARIES: HeaderValue = HeaderValue::from_static("authorization, host");

/// `GET /.well-known/agent-card.json`: the card of the caller's namespace.
pub(super) async fn serve(State(agent): State<OrchestratorAgent>, request: Request) -> Response {
    let namespace = known(request.extensions()).namespace.unwrap_or_default();
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 has the name in the URI.
    let named = request.uri().authority().map(Authority::as_str).or(named);
    let Some(address) = agent.options.address.as_deref().or(named) else {
        return (StatusCode::BAD_REQUEST, "the request names no host\n").into_response();
    };
    let card = match agent.make_card(&namespace, address).await {
        Ok(card) => card,
        Err(error) => {
            tracing::warn!("the agent card cannot be made: {error}");
            return (StatusCode::SERVICE_UNAVAILABLE, "the workflows cannot be read now\n").into_response();
        }
    };
    match serde_json::to_vec(&card) {
        Ok(body) => answer(request.headers(), body),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl OrchestratorAgent {
    async fn make_card(&self, namespace: &Namespace, address: &str) -> Result<AgentCard, RequestError> {
        let all = ListWorkflows { namespace: namespace.clone(), limit: MAX_SKILLS, ..ListWorkflows::default() };
        let workflows = self.workflows.list(all).await?.workflows;
        let tenant = if *namespace == Namespace::default() { String::new() } else { namespace.to_string() };
        let options = &*self.options;
        let mut security_schemes = BTreeMap::new();
        if options.bearer {
            let scheme =
                json!({"httpAuthSecurityScheme": {"scheme": "Bearer", "description": "A token of this server"}});
            security_schemes.insert(BEARER.to_owned(), scheme);
        }
        Ok(AgentCard {
            name: options.name.clone(),
            description: options.description.clone(),
            supported_interfaces: vec![AgentInterface { tenant, ..AgentInterface::grpc(address) }],
            version: options.version.clone(),
            capabilities: AgentCapabilities {
                streaming: Some(true),
                push_notifications: Some(false),
                extended_agent_card: Some(false),
            },
            default_input_modes: vec![JSON_MEDIA_TYPE.to_owned(), "text/plain".to_owned()],
            default_output_modes: vec![JSON_MEDIA_TYPE.to_owned()],
            skills: workflows.iter().map(skill).chain([planning()]).collect(),
            security_requirements: security_schemes
                .keys()
                .map(|name| json!({"schemes": {name: {"list": []}}}))
                .collect(),
            security_schemes,
            ..AgentCard::default()
        })
    }
}

/// The name of the way in by a token.
const BEARER: &str = "bearer";

/// What the agent does with a text that names no workflow.
fn planning() -> AgentSkill {
    AgentSkill {
        id: PLAN_SKILL.to_owned(),
        name: "Plan and run".to_owned(),
        description: "Plans what a text asks for, and runs the plan.".to_owned(),
        tags: vec!["planning".to_owned()],
        ..AgentSkill::default()
    }
}

fn skill(workflow: &RegisteredWorkflow) -> AgentSkill {
    let description = match workflow.description.as_str() {
        "" => format!("Runs the workflow {}.", workflow.id),
        told => told.to_owned(),
    };
    let name = if workflow.name.is_empty() { workflow.id.to_string() } else { workflow.name.clone() };
    let mut tags = vec!["workflow".to_owned()];
    if !workflow.version.is_empty() {
        tags.push(format!("version:{}", workflow.version));
    }
    AgentSkill { id: workflow.id.to_string(), name, description, tags, ..AgentSkill::default() }
}

/// The body, or word that the caller's copy of it is good.
fn answer(headers: &HeaderMap, body: Vec<u8>) -> Response {
    let tag = format!("\"{}\"", &Digest::of(&body).to_string()[..32]);
    let known =
        headers.get_all(IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok()).flat_map(|tags| tags.split(','));
    let unchanged = known.map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag);
    let mut response = Response::new(if unchanged { Body::empty() } else { Body::from(body) });
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON_MEDIA_TYPE));
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes"));
    headers.insert(CACHE_CONTROL, CACHE);
    headers.insert(VARY, VARIES);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_good_is_not_sent_again() {
        let ask = |tag: Option<&str>| {
            let tag = tag.map(|tag| (IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap()));
            answer(&tag.into_iter().collect(), b"{}".to_vec())
        };
        let first = ask(None);
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        for good in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            assert_eq!(ask(Some(&good)).status(), StatusCode::NOT_MODIFIED, "{good}");
        }
        assert_eq!(ask(Some("\"x\"")).status(), StatusCode::OK);
    }
}
