//! What the client of a server asks about its tokens and agents.

use std::time::Duration;

use tutti_api::v1;
use tutti_api::v1::access_service_client::AccessServiceClient;
use tutti_api::v1::agent_service_client::AgentServiceClient;
use tutti_core::ids::{AgentId, Namespace, RequestId};
use tutti_core::ports::inbound::access::{Caller, CreateToken, CreatedToken, TokenInfo};
use tutti_core::ports::inbound::agents::{AgentStatus, BreakerState, RegisterAgent};

use super::access::{role_in, role_out};
use super::agents::{limits_in, limits_out};
use super::client::{ApiClient, ApiError, named, timed};
use super::convert::{moment, moment_in};

impl ApiClient {
    /// Creates a token.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn create_token(&self, request: CreateToken) -> Result<CreatedToken, ApiError> {
        let Caller { name, role, namespace } = request.caller;
        let request = v1::CreateTokenRequest {
            request_id: request.request.to_string(),
            name,
            role: role_out(role).into(),
            namespace: namespace.as_ref().map(ToString::to_string).unwrap_or_default(),
            expires_at: request.expires_at.map(moment),
        };
        let answer = AccessServiceClient::new(self.link.clone()).create_token(timed(request)).await?.into_inner();
        let token = answer.token.ok_or_else(|| unread("no token"))?;
        Ok(CreatedToken { info: token_in(token)?, token: answer.text })
    }

    /// All tokens that this caller may see.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn list_tokens(&self) -> Result<Vec<TokenInfo>, ApiError> {
        let request = timed(v1::ListTokensRequest::default());
        let answer = AccessServiceClient::new(self.link.clone()).list_tokens(request).await?.into_inner();
        answer.tokens.into_iter().map(token_in).collect()
    }

    /// Revokes a token; false if it was revoked before.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn revoke_token(&self, id: &str, request: RequestId, reason: &str) -> Result<bool, ApiError> {
        let (token_id, reason) = (id.to_owned(), reason.to_owned());
        let request = v1::RevokeTokenRequest { token_id, request_id: request.to_string(), reason };
        let answer = AccessServiceClient::new(self.link.clone()).revoke_token(timed(request)).await?;
        Ok(!answer.into_inner().was_revoked)
    }

    /// Registers an agent.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn register_agent(&self, request: RegisterAgent) -> Result<AgentStatus, ApiError> {
        let access = &request.endpoint.access;
        let has_access = access.tls.is_some() || access.credentials.is_some();
        let access_json = if has_access { serde_json::to_string(access).ok() } else { None };
        let heartbeat_seconds =
            request.heartbeat.map_or(0, |period| u32::try_from(period.as_secs()).unwrap_or(u32::MAX));
        let (max_in_flight, rate) = limits_out(request.limits);
        let request = v1::RegisterAgentRequest {
            namespace: named(&request.namespace),
            request_id: request.request.to_string(),
            agent_id: request.endpoint.id.to_string(),
            url: request.endpoint.url,
            capabilities: request.capabilities.iter().map(ToString::to_string).collect(),
            heartbeat_seconds,
            access_json: access_json.unwrap_or_default(),
            max_in_flight,
            rate,
        };
        let answer = AgentServiceClient::new(self.link.clone()).register_agent(timed(request)).await?;
        agent_in(answer.into_inner().agent.ok_or_else(|| unread("no agent"))?)
    }

    /// Takes an agent out; false if there was none.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn deregister_agent(
        &self,
        namespace: &Namespace,
        agent: &AgentId,
        request: RequestId,
        reason: &str,
    ) -> Result<bool, ApiError> {
        let request = v1::DeregisterAgentRequest {
            namespace: named(namespace),
            agent_id: agent.to_string(),
            request_id: request.to_string(),
            reason: reason.to_owned(),
        };
        let answer = AgentServiceClient::new(self.link.clone()).deregister_agent(timed(request)).await?;
        Ok(!answer.into_inner().was_absent)
    }

    /// All agents of a namespace.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn list_agents(&self, namespace: &Namespace) -> Result<Vec<AgentStatus>, ApiError> {
        let request = timed(v1::ListAgentsRequest { namespace: named(namespace) });
        let answer = AgentServiceClient::new(self.link.clone()).list_agents(request).await?.into_inner();
        answer.agents.into_iter().map(agent_in).collect()
    }
}

fn unread(why: impl std::fmt::Display) -> ApiError {
    ApiError::Unavailable(format!("the server's answer cannot be read: {why}"))
}

fn token_in(token: v1::Token) -> Result<TokenInfo, ApiError> {
    let namespace = Some(token.namespace).filter(|name| !name.is_empty());
    Ok(TokenInfo {
        id: token.id,
        caller: Caller {
            name: token.name,
            role: role_in(token.role).ok_or_else(|| unread("a role that is not known here"))?,
            namespace: namespace.map(|name| name.parse()).transpose().map_err(unread)?,
        },
        created_at: moment_in(token.created_at.as_ref()).ok_or_else(|| unread("a token without a time"))?,
        created_by: token.created_by,
        expires_at: moment_in(token.expires_at.as_ref()),
        revoked_at: moment_in(token.revoked_at.as_ref()),
    })
}

fn agent_in(agent: v1::Agent) -> Result<AgentStatus, ApiError> {
    let capabilities: Result<_, _> = agent.capabilities.iter().map(|name| name.parse()).collect();
    let until = moment_in(agent.breaker_until.as_ref());
    let breaker = match agent.breaker() {
        v1::BreakerState::Open => BreakerState::Open { until: until.unwrap_or_default() },
        v1::BreakerState::HalfOpen => BreakerState::HalfOpen,
        v1::BreakerState::Unspecified | v1::BreakerState::Closed => BreakerState::Closed,
    };
    Ok(AgentStatus {
        id: agent.id.parse().map_err(unread)?,
        url: agent.url,
        capabilities: capabilities.map_err(unread)?,
        healthy: agent.healthy,
        breaker,
        resting_until: moment_in(agent.resting_until.as_ref()),
        limits: limits_in(agent.max_in_flight, &agent.rate).map_err(unread)?,
        in_flight: agent.in_flight,
        load: agent.load,
        success_rate: agent.success_rate,
        latency: agent.latency_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        last_seen: moment_in(agent.last_seen_at.as_ref()),
        of_file: agent.from_file,
    })
}
