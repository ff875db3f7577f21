//! The agents that are registered while a server runs: the inbound port over the registry, which forgets, and the
//! documents of a store, which do not.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tutti_core::ids::{AgentId, Capability, Namespace, RequestId};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, AgentTransport};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::agents::{AgentStatus, Agents, RegisterAgent};
use tutti_core::ports::records::{Put, Record, RecordKey, RecordKind, RecordStore};
use tutti_core::time::Timestamp;

use super::access::{all, read, written};
use super::errors::of_store;
use crate::dispatcher::{AgentRecord, AgentState, Registry};

/// Says why a URL may not be called, if it may not.
pub type CheckUrl = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Requests that an agent remembers, newest ones, so that a late copy of an old one changes nothing.
const REMEMBERED: usize = 16;

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
    changing: Mutex<()>,
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
        Self::enlist(&registry, &*records, clock.now()).await?;
        Ok(Self { registry, records, transport, clock, check_url, changing: Mutex::new(()) })
    }

    /// Puts the agents of a store into a registry, for an engine that nobody registers agents at. Those that stand in it
    /// already come before those of the store that have their names.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn enlist(registry: &Registry, records: &dyn RecordStore, now: Timestamp) -> Result<(), RequestError> {
        for record in all(records, RecordKind::Agent, "").await? {
            let (namespace, id) = parted(&record.key.name)?;
            let kept: Kept = read(&record)?;
            if !registry.register_in(&namespace, kept.record(id.clone()), kept.heartbeat(), now) {
                tracing::warn!(agent = %id, %namespace, "left out: an agent of the agents file has its name");
            }
        }
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
        if request.heartbeat.is_some_and(|period| period.is_zero()) {
            return Err(RequestError::invalid("heartbeat", "must be longer than nothing"));
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
        let _turn = self.changing.lock().await;
        if let Some(done) = self.before(&request).await? {
            return Ok(done);
        }
        let RegisterAgent { namespace, request, endpoint, heartbeat, by, .. } = request;
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
            registered_at: self.clock.now(),
            registered_by: by,
            requests,
        };
        let record = Record { key: key(&namespace, &id), revision, blob: written(&kept) };
        if let Put::Conflict(_) = self.records.put(record).await.map_err(of_store)? {
            return Err(RequestError::Unavailable(format!("agent {id} is changed by somebody else")));
        }
        if !self.registry.register_in(&namespace, kept.record(id.clone()), heartbeat, kept.registered_at) {
            return Err(of_file(&id));
        }
        let state = self.registry.state(&id, self.clock.now());
        state.map(status).ok_or_else(|| RequestError::Unavailable(format!("agent {id} is gone again")))
    }

    async fn deregister(&self, namespace: &Namespace, agent: &AgentId) -> Result<bool, RequestError> {
        let _turn = self.changing.lock().await;
        let owner = self.registry.state(agent, self.clock.now()).map(|state| state.namespace);
        let Some((record, _)) = self.kept(namespace, agent).await? else {
            return if owner == Some(None) { Err(of_file(agent)) } else { Ok(false) };
        };
        let removed = self.records.delete(&record.key, record.revision).await.map_err(of_store)?;
        if !removed {
            return Err(RequestError::Unavailable(format!("agent {agent} is changed by somebody else")));
        }
        if owner == Some(Some(namespace.clone())) {
            self.registry.deregister(agent);
        }
        Ok(true)
    }

    async fn heartbeat(&self, namespace: &Namespace, agent: &AgentId, load: Option<f64>) -> Result<(), RequestError> {
        if load.is_some_and(|load| !(0.0..=1.0).contains(&load)) {
            return Err(RequestError::invalid("load", "must be from 0 to 1"));
        }
        match self.registry.state(agent, self.clock.now()).map(|state| state.namespace) {
            Some(Some(owner)) if owner == *namespace => {}
            Some(None) => return Err(of_file(agent)),
            _ => return Err(RequestError::NotFound(format!("agent {agent}"))),
        }
        self.registry.heard(agent, load, self.clock.now());
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
        let Self { url, access, capabilities, .. } = self.clone();
        AgentRecord { id, url, access, capabilities }
    }

    fn heartbeat(&self) -> Option<Duration> {
        self.heartbeat_millis.map(Duration::from_millis)
    }
}

fn status(state: AgentState) -> AgentStatus {
    let AgentState { record, stats, namespace, healthy, load, last_seen } = state;
    AgentStatus {
        id: record.id,
        url: record.url,
        capabilities: record.capabilities,
        healthy,
        in_flight: stats.in_flight,
        load,
        success_rate: stats.success_rate(),
        last_seen,
        of_file: namespace.is_none(),
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Lock;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tutti_adapters_memory::MemoryStore;
    use tutti_core::ports::agent::{
        AgentCall, AgentDescription, AgentError, AgentErrorKind, AgentReply, Answer, UpdateSink,
    };

    use super::*;

    /// A clock that stands until it is set.
    #[derive(Default)]
    struct Stopped(AtomicI64);

    impl Stopped {
        fn set(&self, at: Timestamp) {
            self.0.store(at.as_micros(), Ordering::SeqCst);
        }
    }

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::SeqCst))
        }
        fn random(&self) -> u128 {
            0
        }
    }

    /// Agents that show their cards and are asked nothing else.
    #[derive(Default)]
    struct Cards(Lock<Vec<AgentEndpoint>>);

    #[async_trait]
    impl AgentTransport for Cards {
        async fn describe(&self, agent: &AgentEndpoint) -> Result<AgentDescription, AgentError> {
            self.0.lock().unwrap().push(agent.clone());
            if agent.url.contains("gone") {
                return Err(AgentError::new(AgentErrorKind::Unavailable, "nobody there"));
            }
            let capabilities = vec!["x".parse().unwrap(), "y".parse().unwrap()];
            Ok(AgentDescription { name: String::new(), version: String::new(), capabilities })
        }
        async fn call(&self, _: &AgentCall, _: &dyn UpdateSink) -> Result<Answer, AgentError> {
            unreachable!("nobody is called")
        }
        async fn reattach(&self, _: &AgentCall, _: &dyn UpdateSink) -> Result<Option<Answer>, AgentError> {
            unreachable!("nobody is called")
        }
        async fn answer(&self, _: &AgentCall, _: &AgentReply, _: &dyn UpdateSink) -> Result<Answer, AgentError> {
            unreachable!("nobody is called")
        }
        async fn cancel(&self, _: &AgentCall) -> Result<(), AgentError> {
            unreachable!("nobody is called")
        }
    }

    async fn service(records: &Arc<MemoryStore>, cards: &Arc<Cards>, clock: &Arc<Stopped>) -> AgentService {
        let registry = Registry::default();
        registry.register(AgentRecord {
            id: "filed".parse().unwrap(),
            url: "http://filed".to_owned(),
            access: AgentAccess::trusted(),
            capabilities: vec!["x".parse().unwrap()],
        });
        let check: CheckUrl = Arc::new(|url| if url.contains("evil") { Err("not there".to_owned()) } else { Ok(()) });
        AgentService::load(registry, records.clone(), cards.clone(), clock.clone(), check).await.unwrap()
    }

    fn wanted(namespace: &str, id: &str, url: &str, request: u128) -> RegisterAgent {
        RegisterAgent {
            namespace: namespace.parse().unwrap(),
            request: RequestId::from_u128(request),
            endpoint: AgentEndpoint { id: id.parse().unwrap(), url: url.to_owned(), access: AgentAccess::trusted() },
            capabilities: Vec::new(),
            heartbeat: None,
            by: "root".to_owned(),
        }
    }

    fn ids(agents: &[AgentStatus]) -> Vec<&str> {
        agents.iter().map(|agent| agent.id.as_str()).collect()
    }

    #[tokio::test]
    async fn a_registered_agent_is_there_after_a_restart_for_its_namespace_alone() {
        let (records, cards, clock) = (Arc::default(), Arc::default(), Arc::default());
        let (red, blue): (Namespace, Namespace) = ("red".parse().unwrap(), "blue".parse().unwrap());
        let period = Duration::from_secs(10);
        {
            let service = service(&records, &cards, &clock).await;
            let request = RegisterAgent { heartbeat: Some(period), ..wanted("red", "a", "http://a", 1) };
            let agent = service.register(request).await.unwrap();
            assert_eq!(agent.capabilities.len(), 2, "those of its card");
            assert!(agent.healthy && !agent.of_file);
            assert!(!cards.0.lock().unwrap()[0].access.trusted, "whatever was asked for");
        }
        let service = service(&records, &cards, &clock).await;
        assert_eq!(ids(&service.list(&red).await.unwrap()), ["a", "filed"]);
        assert_eq!(ids(&service.list(&blue).await.unwrap()), ["filed"]);
        let a: AgentId = "a".parse().unwrap();
        assert!(matches!(service.heartbeat(&blue, &a, None).await, Err(RequestError::NotFound(_))));
        assert!(!service.deregister(&blue, &a).await.unwrap());
        let taken = service.register(wanted("blue", "a", "http://b", 2)).await;
        assert!(matches!(taken, Err(RequestError::NotAllowed(_))));

        clock.set(Timestamp::default().plus(period * 2));
        assert!(!service.list(&red).await.unwrap()[0].healthy, "silent");
        let y = ["y".parse().unwrap()];
        assert!(!service.discover(&red, &y).await.unwrap()[0].healthy);
        assert!(matches!(service.heartbeat(&red, &a, Some(1.5)).await, Err(RequestError::Invalid(_))));
        service.heartbeat(&red, &a, Some(0.5)).await.unwrap();
        let agent = service.list(&red).await.unwrap().remove(0);
        assert_eq!((agent.healthy, agent.load, agent.last_seen), (true, Some(0.5), Some(clock.now())));
        assert!(service.deregister(&red, &a).await.unwrap());
        assert!(!service.deregister(&red, &a).await.unwrap());
        assert!(service.discover(&red, &y).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_may_not_be_called_or_cannot_is_not_registered() {
        let (records, cards, clock) = (Arc::default(), Arc::default(), Arc::default());
        let service = service(&records, &cards, &clock).await;
        for url in ["http://evil", "http://gone"] {
            let refused = service.register(wanted("default", "a", url, 1)).await.unwrap_err();
            let RequestError::Invalid(violations) = refused else { panic!("{refused}") };
            assert_eq!(violations[0].field, "url");
        }
        assert_eq!(cards.0.lock().unwrap().len(), 1, "what may not be called is not called");
        let filed = "filed".parse().unwrap();
        let refused = service.register(wanted("default", "filed", "http://a", 1)).await;
        assert!(matches!(refused, Err(RequestError::NotAllowed(_))));
        let refused = service.deregister(&Namespace::default(), &filed).await;
        assert!(matches!(refused, Err(RequestError::NotAllowed(_))));
        assert!(all(&*records, RecordKind::Agent, "").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_late_copy_of_a_request_changes_nothing() {
        let (records, cards, clock) = (Arc::default(), Arc::default(), Arc::default());
        let service = service(&records, &cards, &clock).await;
        service.register(wanted("default", "a", "http://one", 1)).await.unwrap();
        service.register(wanted("default", "a", "http://two", 2)).await.unwrap();
        let late = service.register(wanted("default", "a", "http://one", 1)).await.unwrap();
        assert_eq!(late.url, "http://two");
    }
}
