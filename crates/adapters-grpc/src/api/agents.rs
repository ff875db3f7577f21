//! `tutti.v1.AgentService` over the inbound port.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};
use tutti_api::v1;
use tutti_api::v1::agent_service_server::AgentService;
use tutti_core::ids::{AgentId, Capability};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, CallLimits};
use tutti_core::ports::inbound::agents::{AgentStatus, Agents, BreakerState, RegisterAgent};

use super::caller::{caller, namespace, recorded};
use super::convert::moment;
use super::errors::{read, request_id, required_reason, status, wrong};

/// Longest time between two signs of life.
const MAX_HEARTBEAT_SECONDS: u32 = 24 * 3_600;

/// Most capabilities in one request.
const MAX_CAPABILITIES: usize = 1_000;

/// Longest URL of an agent, in bytes.
const MAX_URL_BYTES: usize = 2_048;

/// The service of one server.
pub(super) struct AgentApi {
    pub(super) agents: Arc<dyn Agents>,
}

#[tonic::async_trait]
impl AgentService for AgentApi {
    async fn register_agent(
        &self,
        request: Request<v1::RegisterAgentRequest>,
    ) -> Result<Response<v1::RegisterAgentResponse>, Status> {
        let by = recorded(&caller(&request), "");
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        if asked.url.len() > MAX_URL_BYTES {
            return Err(wrong("url", format!("must be at most {MAX_URL_BYTES} bytes")));
        }
        if asked.heartbeat_seconds > MAX_HEARTBEAT_SECONDS {
            return Err(wrong("heartbeat_seconds", format!("must be at most {MAX_HEARTBEAT_SECONDS}")));
        }
        let heartbeat = Some(asked.heartbeat_seconds).filter(|seconds| *seconds > 0);
        let id: AgentId = read("agent_id", &asked.agent_id)?;
        let request = RegisterAgent {
            namespace,
            request: request_id(&asked.request_id)?,
            endpoint: AgentEndpoint { id: id.clone(), url: asked.url, access: access_in(&asked.access_json)? },
            capabilities: capabilities(&asked.capabilities)?,
            heartbeat: heartbeat.map(|seconds| Duration::from_secs(seconds.into())),
            limits: limits_in(asked.max_in_flight, &asked.rate).map_err(|reason| wrong("rate", reason))?,
            by: by.clone(),
        };
        let agent = self.agents.register(request).await.map_err(|error| status(&error))?;
        tracing::info!(agent = %id, url = agent.url, by, "agent registered");
        Ok(Response::new(v1::RegisterAgentResponse { agent: Some(agent_out(agent)) }))
    }

    async fn deregister_agent(
        &self,
        request: Request<v1::DeregisterAgentRequest>,
    ) -> Result<Response<v1::DeregisterAgentResponse>, Status> {
        let by = recorded(&caller(&request), "");
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let (id, request): (AgentId, _) = (read("agent_id", &asked.agent_id)?, request_id(&asked.request_id)?);
        required_reason(&asked.reason)?;
        let removed = self.agents.deregister(&namespace, &id).await.map_err(|error| status(&error))?;
        tracing::info!(agent = %id, by, reason = asked.reason, %request, "agent deregistered");
        Ok(Response::new(v1::DeregisterAgentResponse { was_absent: !removed }))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::AgentHeartbeatRequest>,
    ) -> Result<Response<v1::AgentHeartbeatResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let id: AgentId = read("agent_id", &asked.agent_id)?;
        self.agents.heartbeat(&namespace, &id, asked.load).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::AgentHeartbeatResponse {}))
    }

    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let agents = self.agents.list(&namespace).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::ListAgentsResponse { agents: agents.into_iter().map(agent_out).collect() }))
    }

    async fn discover_agents(
        &self,
        request: Request<v1::DiscoverAgentsRequest>,
    ) -> Result<Response<v1::DiscoverAgentsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let wanted = capabilities(&request.get_ref().capabilities)?;
        let agents = self.agents.discover(&namespace, &wanted).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::DiscoverAgentsResponse { agents: agents.into_iter().map(agent_out).collect() }))
    }
}

fn capabilities(names: &[String]) -> Result<Vec<Capability>, Status> {
    if names.len() > MAX_CAPABILITIES {
        return Err(wrong("capabilities", format!("must be at most {MAX_CAPABILITIES}")));
    }
    names.iter().enumerate().map(|(index, name)| read(&format!("capabilities[{index}]"), name)).collect()
}

/// What it takes to be let in. What is wrong with it is not repeated: it may be a secret in the wrong place.
fn access_in(json: &str) -> Result<AgentAccess, Status> {
    if json.is_empty() {
        return Ok(AgentAccess::default());
    }
    serde_json::from_str(json).map_err(|_| {
        let form = r#"must be an object such as {"credentials": {"bearer": "env:NAME"}}, with secrets by reference"#;
        wrong("access_json", form)
    })
}

/// Limits as they stand in messages.
pub(super) fn limits_in(max_in_flight: u32, rate: &str) -> Result<CallLimits, String> {
    let rate = if rate.is_empty() { None } else { Some(rate.parse()?) };
    Ok(CallLimits { max_in_flight: NonZeroU32::new(max_in_flight), rate })
}

/// The form of limits in messages.
pub(super) fn limits_out(limits: CallLimits) -> (u32, String) {
    let rate = limits.rate.as_ref().map(ToString::to_string);
    (limits.max_in_flight.map_or(0, NonZeroU32::get), rate.unwrap_or_default())
}

fn agent_out(agent: AgentStatus) -> v1::Agent {
    let (max_in_flight, rate) = limits_out(agent.limits);
    let (breaker, breaker_until) = match agent.breaker {
        BreakerState::Closed => (v1::BreakerState::Closed, None),
        BreakerState::Open { until } => (v1::BreakerState::Open, Some(moment(until))),
        BreakerState::HalfOpen => (v1::BreakerState::HalfOpen, None),
    };
    v1::Agent {
        id: agent.id.to_string(),
        url: agent.url,
        capabilities: agent.capabilities.iter().map(ToString::to_string).collect(),
        healthy: agent.healthy,
        in_flight: agent.in_flight,
        load: agent.load,
        success_rate: agent.success_rate,
        latency_seconds: agent.latency.map(|latency| latency.as_secs_f64()),
        last_seen_at: agent.last_seen.map(moment),
        from_file: agent.of_file,
        breaker: breaker.into(),
        breaker_until,
        resting_until: agent.resting_until.map(moment),
        max_in_flight,
        rate,
    }
}
