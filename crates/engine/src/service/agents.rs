//! The agents that are registered while a server runs: the inbound port over the registry, which forgets, and the
//! documents of a store, which do not.

mod known;
mod lessons;
mod pages;
mod signs;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tutti_core::ids::{AgentId, Capability, Namespace, RequestId, ServerId};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, AgentTransport, CallLimits};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::agents::{AgentStatus, Agents, RegisterAgent};
use tutti_core::ports::records::{Put, Record, RecordKey, RecordKind, RecordStore};
use tutti_core::time::Timestamp;

use self::known::Known;
use self::lessons::Lessons;
use self::signs::Signs;
use super::access::{all, read, written};
use super::errors::of_store;
use crate::dispatcher::{AgentRecord, AgentState, Registry};

/// Says why a URL may not be called, if it may not.
pub type CheckUrl = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Requests that an agent remembers, newest ones, so that a late copy of an old one changes nothing.
const REMEMBERED: usize = 16;

/// How often a server looks what others that share its store have registered, taken out and heard.
const LOOK: Duration = Duration::from_secs(2);

/// The registry of a server, kept in a store.
///
/// Agents that are registered here are not trusted: what they may be and be given is for the transport's policy to say.
pub struct AgentService {
    registry: Registry,
    records: Arc<dyn RecordStore>,
    transport: Arc<dyn AgentTransport>,
    clock: Arc<dyn Clock>,
    check_url: CheckUrl,
    /// Held while the documents and the registry change together.
    known: Mutex<Known>,
    /// What the servers that share the store tell each other, if this one shares it.
    shared: Option<Shared>,
}

struct Shared {
    signs: Signs,
    lessons: Lessons,
}

/// A registered agent as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    url: String,
    #[serde(default)]
    access: AgentAccess,
    capabilities: Vec<Capability>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heartbeat_millis: Option<u64>,
    #[serde(default, skip_serializing_if = "CallLimits::is_none")]
    limits: CallLimits,
    registered_at: Timestamp,
    registered_by: String,
    /// The oldest first.
    requests: Vec<RequestId>,
}

impl AgentService {
    /// The registry, with the agents of the store in it as [`enlist`](Self::enlist) puts them there.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn load(
        registry: Registry,
        records: Arc<dyn RecordStore>,
        transport: Arc<dyn AgentTransport>,
        clock: Arc<dyn Clock>,
        check_url: CheckUrl,
    ) -> Result<Self, RequestError> {
        let known = Known::default().with(&registry, &*records, clock.now()).await?;
        let known = Mutex::new(known);
        Ok(Self { registry, records, transport, clock, check_url, known, shared: None })
    }

    /// The same for a server that shares the store with others, under its id among them:
    /// [`follow`](Self::follow) keeps up with them.
    #[must_use]
    pub fn shared(self, server: &ServerId) -> Self {
        let shared = Shared { signs: Signs::of(server), lessons: Lessons::of(server) };
        Self { shared: Some(shared), ..self }
    }

    /// Puts the agents of a store into a registry, for an engine that nobody registers agents at. Those that stand in it
    /// already come before those of the store that have their names.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn enlist(registry: &Registry, records: &dyn RecordStore, now: Timestamp) -> Result<(), RequestError> {
        Known::default().with(registry, records, now).await.map(drop)
    }

    /// Keeps up with the servers that share the store: what is registered, taken out and heard at one of them is known
    /// here at most two looks later. Never ends; does nothing for a server that shares with nobody.
    pub async fn follow(&self) -> Infallible {
        let Some(shared) = &self.shared else { return pending().await };
        loop {
            sleep(LOOK).await;
            let why = match timeout(LOOK, self.look(shared)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the store does not answer".to_owned(),
            };
            tracing::warn!(why, "it is not known which agents other servers have registered and heard");
            // Who is silent cannot be told from who is not heard of.
            self.registry.excuse(self.clock.now());
        }
    }

    async fn look(&self, shared: &Shared) -> Result<(), RequestError> {
        self.refresh().await?;
        shared.signs.exchange(&self.registry, &*self.records, self.clock.now()).await?;
        shared.lessons.exchange(&self.registry, &*self.records, self.clock.now()).await
    }

    /// Brings the registry to what the documents say.
    async fn refresh(&self) -> Result<(), RequestError> {
        let mut known = self.known.lock().await;
        let documents = all(&*self.records, RecordKind::Agent, "").await?;
        known.bring(&self.registry, documents, self.clock.now());
        Ok(())
    }

    async fn kept(&self, namespace: &Namespace, agent: &AgentId) -> Result<Option<(Record, Kept)>, RequestError> {
        let found = self.records.get(&key(namespace, agent)).await.map_err(of_store)?;
        found.map(|record| read(&record).map(|kept| (record.clone(), kept))).transpose()
    }

    /// The agent as it stands, if this request has registered it. Refuses a name that is not the namespace's.
    async fn before(&self, request: &RegisterAgent) -> Result<Option<AgentStatus>, RequestError> {
        let id = &request.endpoint.id;
        let state = self.registry.state(id, self.clock.now());
        match state.as_ref().map(|state| state.namespace.as_ref()) {
            Some(None) => return Err(of_file(id)),
            Some(Some(owner)) if *owner != request.namespace => {
                return Err(RequestError::NotAllowed(format!("the id {id} is not free at this server")));
            }
            _ => {}
        }
        let kept = self.kept(&request.namespace, id).await?;
        let done = kept.is_some_and(|(_, kept)| kept.requests.contains(&request.request));
        Ok(state.filter(|_| done).map(status))
    }

    /// What the agent's card says that it can do.
    async fn ask(&self, endpoint: &AgentEndpoint) -> Result<Vec<Capability>, RequestError> {
        (self.check_url)(&endpoint.url).map_err(|why| RequestError::invalid("url", why))?;
        let described = self.transport.describe(endpoint).await;
        let described =
            described.map_err(|error| RequestError::invalid("url", format!("the agent cannot be used: {error}")))?;
        Ok(described.capabilities)
    }
}

#[async_trait]
impl Agents for AgentService {
    async fn register(&self, mut request: RegisterAgent) -> Result<AgentStatus, RequestError> {
        request.endpoint.access.trusted = false;
        if request.endpoint.id.is_engine() {
            let reason = "is the name of the engine itself: steps that ask no agent ask it; choose another one";
            return Err(RequestError::invalid("agent_id", reason));
        }
        if request.heartbeat.is_some_and(|period| period.is_zero()) {
            return Err(RequestError::invalid("heartbeat", "must be longer than nothing"));
        }
        if self.shared.is_some() {
            // The name may have been given at another server.
            self.refresh().await?;
        }
        if let Some(done) = self.before(&request).await? {
            return Ok(done);
        }
        // Asked without holding anything up: it may take its time.
        let of_card = self.ask(&request.endpoint).await?;
        let capabilities = if request.capabilities.is_empty() { of_card } else { request.capabilities.clone() };
        if capabilities.is_empty() {
            let reason = "are required: the agent's card names no skill that could be a capability";
            return Err(RequestError::invalid("capabilities", reason));
        }
        let mut known = self.known.lock().await;
        if let Some(done) = self.before(&request).await? {
            return Ok(done);
        }
        let RegisterAgent { namespace, request, endpoint, heartbeat, limits, by, .. } = request;
        let (revision, mut requests) = match self.kept(&namespace, &endpoint.id).await? {
            Some((record, kept)) => (record.revision, kept.requests),
            None => (0, Vec::new()),
        };
        requests.push(request);
        requests.drain(..requests.len().saturating_sub(REMEMBERED));
        let AgentEndpoint { id, url, access } = endpoint;
        let kept = Kept {
            url,
            access,
            capabilities,
            heartbeat_millis: heartbeat.map(|period| u64::try_from(period.as_millis()).unwrap_or(u64::MAX)),
            limits,
            registered_at: self.clock.now(),
            registered_by: by,
            requests,
        };
        let mut record = Record { key: key(&namespace, &id), revision, blob: written(&kept) };
        match self.records.put(record.clone()).await.map_err(of_store)? {
            Put::Stored(revision) => record.revision = revision,
            Put::Conflict(_) => return Err(changed(&id)),
        }
        known.put(&self.registry, (namespace, id.clone()), record, self.clock.now());
        let state = self.registry.state(&id, self.clock.now());
        state.map(status).ok_or_else(|| RequestError::Unavailable(format!("agent {id} is gone again")))
    }

    async fn deregister(&self, namespace: &Namespace, agent: &AgentId) -> Result<bool, RequestError> {
        let mut known = self.known.lock().await;
        let owner = self.registry.state(agent, self.clock.now()).map(|state| state.namespace);
        let Some((record, _)) = self.kept(namespace, agent).await? else {
            return if owner == Some(None) { Err(of_file(agent)) } else { Ok(false) };
        };
        let removed = self.records.delete(&record.key, record.revision).await.map_err(of_store)?;
        if !removed {
            return Err(changed(agent));
        }
        known.forget(&self.registry, (namespace, agent));
        Ok(true)
    }

    async fn heartbeat(&self, namespace: &Namespace, agent: &AgentId, load: Option<f64>) -> Result<(), RequestError> {
        if load.is_some_and(|load| !(0.0..=1.0).contains(&load)) {
            return Err(RequestError::invalid("load", "must be from 0 to 1"));
        }
        let owner = || self.registry.state(agent, self.clock.now()).map(|state| state.namespace);
        let mut found = owner();
        if found.is_none() && self.shared.is_some() && self.kept(namespace, agent).await?.is_some() {
            // It was registered at another server just now.
            self.refresh().await?;
            found = owner();
        }
        match found {
            Some(Some(owner)) if owner == *namespace => {}
            Some(None) => return Err(of_file(agent)),
            _ => return Err(RequestError::NotFound(format!("agent {agent}"))),
        }
        let now = self.clock.now();
        self.registry.heard(agent, load, now, Duration::ZERO);
        if let Some(shared) = &self.shared {
            shared.signs.heard(agent, load, now);
        }
        Ok(())
    }

    async fn list(&self, namespace: &Namespace) -> Result<Vec<AgentStatus>, RequestError> {
        Ok(self.registry.list_for(namespace, self.clock.now()).into_iter().map(status).collect())
    }

    async fn discover(
        &self,
        namespace: &Namespace,
        capabilities: &[Capability],
    ) -> Result<Vec<AgentStatus>, RequestError> {
        if capabilities.is_empty() {
            return Err(RequestError::invalid("capabilities", "at least one is required"));
        }
        Ok(self.registry.discover(namespace, capabilities, self.clock.now()).into_iter().map(status).collect())
    }
}

impl Kept {
    fn record(&self, id: AgentId) -> AgentRecord {
        let Self { url, access, capabilities, limits, .. } = self.clone();
        AgentRecord { id, url, access, capabilities, limits }
    }

    fn heartbeat(&self) -> Option<Duration> {
        self.heartbeat_millis.map(Duration::from_millis)
    }
}

fn status(state: AgentState) -> AgentStatus {
    let AgentState { record, stats, learned, namespace, healthy, breaker, resting_until, load, last_seen } = state;
    AgentStatus {
        id: record.id,
        url: record.url,
        capabilities: record.capabilities,
        healthy,
        breaker,
        resting_until,
        limits: record.limits,
        in_flight: stats.in_flight,
        load,
        success_rate: learned.success_rate(),
        latency: learned.latency(),
        last_seen,
        of_file: namespace.is_none(),
    }
}

fn changed(id: &AgentId) -> RequestError {
    RequestError::Unavailable(format!("agent {id} is changed by somebody else"))
}

fn of_file(id: &AgentId) -> RequestError {
    RequestError::NotAllowed(format!("agent {id} stands in the server's agents file, and stays as the file says"))
}

/// Agents of all namespaces stand in `default`, so that a server finds them at one place when it starts. Neither part of
/// the name can hold a `/`.
fn key(namespace: &Namespace, agent: &AgentId) -> RecordKey {
    RecordKey { kind: RecordKind::Agent, namespace: Namespace::default(), name: format!("{namespace}/{agent}") }
}

fn parted(name: &str) -> Result<(Namespace, AgentId), RequestError> {
    let parts = name.split_once('/').and_then(|(namespace, id)| Some((namespace.parse().ok()?, id.parse().ok()?)));
    parts.ok_or_else(|| RequestError::Damaged(format!("a registered agent is called {name}")))
}
