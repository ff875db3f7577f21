use std::sync::Mutex as Lock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tutti_adapters_memory::MemoryStore;
use tutti_core::ports::agent::{
    AgentCall, AgentDescription, AgentError, AgentErrorKind, AgentReply, Answer, UpdateSink,
};

use tutti_core::ports::records::ListRecords;
use tutti_core::ports::store::StoreError;

use super::*;
use crate::dispatcher::Ending;

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
        limits: CallLimits::default(),
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
        limits: CallLimits::default(),
        by: "root".to_owned(),
    }
}

/// A server that shares the store with others.
async fn server(records: &Arc<MemoryStore>, name: &str, clock: &Arc<Stopped>) -> AgentService {
    service(records, &Arc::default(), clock).await.shared(&name.parse().unwrap())
}

/// Lets a server look around once.
async fn look(server: &AgentService) {
    server.look(server.shared.as_ref().unwrap()).await.unwrap();
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

#[tokio::test(start_paused = true)]
async fn what_one_server_registers_and_takes_out_another_knows_a_look_later() {
    let (records, clock) = (Arc::default(), Arc::default());
    let (here, there) = (server(&records, "here", &clock).await, server(&records, "there", &clock).await);
    let (red, a): (Namespace, AgentId) = ("red".parse().unwrap(), "a".parse().unwrap());
    let later = || async { timeout(LOOK + Duration::from_millis(1), there.follow()).await.unwrap_err() };
    here.register(wanted("red", "a", "http://one", 1)).await.unwrap();
    assert_eq!(ids(&there.list(&red).await.unwrap()), ["filed"]);
    later().await;
    assert_eq!(ids(&there.list(&red).await.unwrap()), ["a", "filed"]);
    assert_eq!(there.list(&"blue".parse().unwrap()).await.unwrap().len(), 1, "its namespace alone has it");

    // Replaced, and replaced by a document whose revision was seen before.
    here.register(wanted("red", "a", "http://two", 2)).await.unwrap();
    later().await;
    assert_eq!(there.list(&red).await.unwrap()[0].url, "http://two");
    for (url, request) in [("http://three", 3), ("http://four", 4)] {
        assert!(here.deregister(&red, &a).await.unwrap());
        here.register(wanted("red", "a", url, request)).await.unwrap();
        later().await;
        assert_eq!(there.list(&red).await.unwrap()[0].url, url);
    }
    assert!(there.deregister(&red, &a).await.unwrap(), "whoever registered it");
    later().await;
    look(&here).await;
    for server in [&here, &there] {
        assert_eq!(ids(&server.list(&red).await.unwrap()), ["filed"]);
    }
}

#[tokio::test]
async fn a_server_that_shares_its_store_does_not_wait_to_be_told_what_it_is_asked_for() {
    let (records, clock) = (Arc::default(), Arc::default());
    let (here, there) = (server(&records, "here", &clock).await, server(&records, "there", &clock).await);
    let (red, a): (Namespace, AgentId) = ("red".parse().unwrap(), "a".parse().unwrap());
    assert!(matches!(there.heartbeat(&red, &a, None).await, Err(RequestError::NotFound(_))));
    here.register(wanted("red", "a", "http://one", 1)).await.unwrap();
    let taken = there.register(wanted("blue", "a", "http://b", 2)).await;
    assert!(matches!(taken, Err(RequestError::NotAllowed(_))), "the name is given");
    let again = there.register(wanted("red", "a", "http://one", 1)).await.unwrap();
    assert_eq!(again.url, "http://one");
    let record = records.get(&key(&red, &a)).await.unwrap().unwrap();
    assert_eq!(record.revision, 1, "a copy of a request changes nothing, at whichever server");

    here.register(wanted("red", "b", "http://two", 3)).await.unwrap();
    there.heartbeat(&red, &"b".parse().unwrap(), Some(0.5)).await.unwrap();
    assert_eq!(there.list(&red).await.unwrap()[1].load, Some(0.5));
}

#[tokio::test]
async fn a_sign_of_life_counts_at_every_server_whatever_their_clocks_say() {
    let (records, clock, slow): (_, Arc<Stopped>, Arc<Stopped>) = Default::default();
    let (period, day) = (Duration::from_secs(30), Duration::from_secs(86_400));
    let (mut now, a): (_, AgentId) = (Timestamp::default(), "a".parse().unwrap());
    let mut pass = |span| {
        now = now.plus(span);
        slow.set(now);
        clock.set(now.plus(day));
    };
    pass(Duration::ZERO);
    let (here, there) = (server(&records, "here", &clock).await, server(&records, "there", &slow).await);
    let default = Namespace::default();
    let request = RegisterAgent { heartbeat: Some(period), ..wanted("default", "a", "http://a", 1) };
    here.register(request).await.unwrap();
    look(&there).await;
    for _ in 0..5 {
        pass(period);
        here.heartbeat(&default, &a, Some(0.25)).await.unwrap();
        look(&here).await;
        look(&there).await;
        let agent = there.list(&default).await.unwrap().remove(0);
        assert_eq!((agent.healthy, agent.load, agent.last_seen), (true, Some(0.25), Some(slow.now())));
    }
    // One that is started now knows nothing of when it was: it counts as there for its period, not longer.
    let new = server(&records, "new", &slow).await;
    look(&new).await;
    assert_eq!(new.list(&default).await.unwrap()[0].last_seen, None);
    // From here on it is silent.
    pass(period + Duration::from_secs(1));
    look(&there).await;
    assert!(!here.list(&default).await.unwrap()[0].healthy);
    assert!(!new.list(&default).await.unwrap()[0].healthy);
    pass(Duration::from_secs(8));
    look(&there).await;
    assert!(!there.list(&default).await.unwrap()[0].healthy);
    // And is heard again, by the other.
    there.heartbeat(&default, &a, None).await.unwrap();
    look(&there).await;
    for server in [&here, &new] {
        look(server).await;
        assert!(server.list(&default).await.unwrap()[0].healthy);
    }
}

#[tokio::test]
async fn what_a_server_heard_is_removed_long_after_its_end_and_written_again_if_it_lives() {
    let (records, clock): (Arc<MemoryStore>, Arc<Stopped>) = Default::default();
    let (here, there) = (server(&records, "here", &clock).await, server(&records, "there", &clock).await);
    let (default, a): (_, AgentId) = (Namespace::default(), "a".parse().unwrap());
    here.register(wanted("default", "a", "http://a", 1)).await.unwrap();
    let documents = || all(&*records, RecordKind::AgentSigns, "");
    for hours in [0, 2] {
        clock.set(Timestamp::default().plus(Duration::from_secs(hours * 3600)));
        here.heartbeat(&default, &a, None).await.unwrap();
        look(&here).await;
        look(&here).await;
        let written = documents().await.unwrap();
        assert_eq!((written.len(), written[0].revision), (1, 1), "once for what was heard once");
        look(&there).await;
        clock.set(clock.now().plus(Duration::from_secs(3601)));
        look(&there).await;
        assert!(documents().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn one_document_that_cannot_be_read_keeps_nobody_out() {
    let (records, clock): (Arc<MemoryStore>, _) = Default::default();
    let here = server(&records, "here", &clock).await;
    here.register(wanted("red", "b", "http://b", 1)).await.unwrap();
    let damaged = |namespace: &str, name: &str| {
        let record = Record {
            key: key(&namespace.parse().unwrap(), &name.parse().unwrap()),
            revision: 0,
            blob: bytes::Bytes::from_static(b"?"),
        };
        let records = records.clone();
        async move { records.put(record).await.unwrap() }
    };
    damaged("red", "a").await;
    let red = "red".parse().unwrap();
    for server in [here, server(&records, "new", &clock).await] {
        look(&server).await;
        assert_eq!(ids(&server.list(&red).await.unwrap()), ["b", "filed"]);
    }
    // A name that two namespaces gave at once is the same one's everywhere.
    let there = server(&records, "there", &clock).await;
    damaged("blue", "b").await;
    look(&there).await;
    assert_eq!(ids(&there.list(&red).await.unwrap()), ["filed"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_falls_silent_because_the_store_is_away() {
    let (away, clock): (Arc<Away>, Arc<Stopped>) = Default::default();
    let transport: Arc<Cards> = Arc::default();
    let check: CheckUrl = Arc::new(|_| Ok(()));
    let service = AgentService::load(Registry::default(), away.clone(), transport, clock.clone(), check).await.unwrap();
    let service = service.shared(&"here".parse().unwrap());
    let (default, period) = (Namespace::default(), Duration::from_secs(30));
    for id in ["there", "silent"] {
        let request = RegisterAgent { heartbeat: Some(period), ..wanted("default", id, "http://a", 1) };
        service.register(request).await.unwrap();
    }
    clock.set(clock.now().plus(period + Duration::from_secs(1)));
    service.heartbeat(&default, &"there".parse().unwrap(), None).await.unwrap();
    away.1.store(true, Ordering::SeqCst);
    let since = clock.now();
    while clock.now() < since.plus(period * 3) {
        timeout(LOOK + Duration::from_millis(1), service.follow()).await.unwrap_err();
        clock.set(clock.now().plus(LOOK));
    }
    let healthy: Vec<bool> = service.list(&default).await.unwrap().iter().map(|agent| agent.healthy).collect();
    assert_eq!(healthy, [false, true], "of whom nothing was heard before is not heard of now");
    away.1.store(false, Ordering::SeqCst);
    clock.set(clock.now().plus(period));
    timeout(LOOK + Duration::from_millis(1), service.follow()).await.unwrap_err();
    assert!(!service.list(&default).await.unwrap()[1].healthy, "it had its time");
}

/// A store that does not answer at times.
#[derive(Default)]
struct Away(MemoryStore, AtomicBool);

impl Away {
    fn store(&self) -> Result<&MemoryStore, StoreError> {
        if self.1.load(Ordering::SeqCst) { Err(StoreError::Unavailable("away".to_owned())) } else { Ok(&self.0) }
    }
}

#[async_trait]
impl RecordStore for Away {
    async fn put(&self, record: Record) -> Result<Put, StoreError> {
        self.store()?.put(record).await
    }
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.store()?.get(key).await
    }
    async fn list(&self, query: ListRecords) -> Result<Vec<Record>, StoreError> {
        self.store()?.list(query).await
    }
    async fn delete(&self, key: &RecordKey, revision: u64) -> Result<bool, StoreError> {
        self.store()?.delete(key, revision).await
    }
}

#[tokio::test]
async fn what_one_server_learns_counts_at_all_and_is_told_now_and_then() {
    let (records, clock) = (Arc::new(MemoryStore::new()), Arc::new(Stopped::default()));
    let (one, two) = (server(&records, "one", &clock).await, server(&records, "two", &clock).await);
    let id: AgentId = "filed".parse().unwrap();
    let call = |server: &AgentService, error: Option<AgentErrorKind>| {
        let mut grant = server.registry.go_on(id.clone(), "x".parse().unwrap());
        grant.asked(clock.now());
        let took = grant.took(clock.now().plus(Duration::from_millis(100)));
        let error = error.map(|kind| AgentError::new(kind, "no"));
        let ending = error.as_ref().map_or(Ending::Well(took), Ending::Badly);
        server.registry.end(grant, ending, clock.now());
    };
    call(&one, None);
    call(&one, Some(AgentErrorKind::Failed));
    call(&two, None);
    for _ in 0..6 {
        look(&one).await;
        look(&two).await;
    }
    for server in [&one, &two] {
        let status = &server.list(&Namespace::default()).await.unwrap()[0];
        let rate = (status.success_rate.unwrap() * 3.0).round();
        assert_eq!((rate, status.latency), (2.0, Some(Duration::from_millis(100))), "two of three");
    }
    let documents = || all(&*records, RecordKind::AgentLessons, "");
    let before = documents().await.unwrap();
    assert_eq!(before.len(), 2);
    for _ in 0..6 {
        look(&one).await;
    }
    assert_eq!(documents().await.unwrap(), before, "nothing new, nothing written");
}
