use std::sync::Mutex;

use tutti_adapters_memory::MemoryStore;
use tutti_core::ids::RequestId;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::query::RunSummary;
use tutti_core::ports::store::{EncodedEvent, NewRun, RunStore as _, Wake};
use tutti_core::run::RunStatus;
use tutti_core::value::Digest;

use super::*;

const DAY: i64 = 24 * 3600 * 1_000_000;
const NOW: i64 = 20_000 * DAY;

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(NOW)
    }
    fn random(&self) -> u128 {
        7
    }
}

struct World {
    store: Arc<MemoryStore>,
    house: RetentionService,
    told: Arc<Mutex<Removed>>,
}

impl World {
    fn new(keep: Keep) -> Self {
        let (store, told) = (Arc::new(MemoryStore::new()), Arc::new(Mutex::new(Removed::default())));
        let sum = told.clone();
        let tell = move |removed: Removed| {
            let mut sum = sum.lock().unwrap();
            sum.runs += removed.runs;
            sum.events += removed.events;
            sum.payloads += removed.payloads;
            sum.definitions += removed.definitions;
        };
        let reading = (store.clone() as Arc<dyn RunQuery>, store.clone() as Arc<dyn RecordStore>);
        let house = RetentionService::new(store.clone(), reading, Arc::new(Stopped), keep, tell);
        Self { store, house, told }
    }

    /// A run of a namespace that ended so many days ago, with so many events; open if it has no end.
    async fn create(&self, namespace: &str, n: u8, ended: Option<i64>, events: u64) -> RunId {
        let made = ended.unwrap_or(100);
        let run = RunId::new(u64::try_from((NOW - made * DAY) / 1_000 - 1).unwrap(), [n; 10]);
        let at = Timestamp::from_micros(NOW - made * DAY);
        let event = |seq| EncodedEvent { seq, at, kind: 40, version: 1, blob: Bytes::from_static(b"\0\0\0{}") };
        let body = Bytes::from(vec![n]);
        let summary = RunSummary {
            run,
            workflow: "w".parse().unwrap(),
            version: String::new(),
            definition: Digest::of(&body),
            status: if ended.is_some() { RunStatus::Completed } else { RunStatus::Running },
            steps: 1,
            completed: 1,
            failed: 0,
            created_at: at,
            updated_at: at,
            ended_at: ended.map(|_| at),
            error: None,
            key: None,
            session: None,
            labels: Default::default(),
        };
        let new = NewRun {
            namespace: namespace.parse().unwrap(),
            run,
            request: RequestId::from_u128(n.into()),
            key: None,
            definition: (Digest::of(&body), body),
            events: (1..=events).map(event).collect(),
            summary,
            wake: if ended.is_some() { Wake::Never } else { Wake::OnInput },
            min_reader: 1,
            commit_id: n.into(),
        };
        self.store.create(new).await.unwrap();
        run
    }

    async fn is_there(&self, namespace: &str, run: RunId) -> bool {
        self.store.find(&namespace.parse().unwrap(), run).await.unwrap().is_some()
    }
}

fn days(days: u64) -> Keep {
    Keep::For(Span(Duration::from_secs(days * 24 * 3600)))
}

fn request(ended_days_ago: i64) -> PurgeRequest {
    PurgeRequest {
        namespace: Namespace::default(),
        filter: RunFilter::default(),
        ended_before: Timestamp::from_micros(NOW - ended_days_ago * DAY),
        before: None,
        limit: 0,
        dry_run: false,
    }
}

#[tokio::test(start_paused = true)]
async fn runs_go_by_the_rule_of_their_namespace_or_else_by_the_servers() {
    let world = World::new(days(30));
    let red: Namespace = "red".parse().unwrap();
    let blue: Namespace = "blue".parse().unwrap();
    world.house.set_retention(&red, Some(days(5))).await.unwrap();
    world.house.set_retention(&blue, Some(Keep::Forever)).await.unwrap();
    let mut runs = Vec::new();
    for (n, (namespace, ended, stays)) in (1..).zip([
        ("default", Some(31), false),
        ("default", Some(29), true),
        ("default", None, true),
        ("red", Some(6), false),
        ("red", Some(4), true),
        ("blue", Some(90), true),
    ]) {
        runs.push((namespace, world.create(namespace, n, ended, 3).await, stays));
    }
    world.house.apply_rules().await.unwrap();
    for (namespace, run, stays) in runs {
        assert_eq!(world.is_there(namespace, run).await, stays, "{namespace} {run}");
    }
    assert_eq!(*world.told.lock().unwrap(), Removed { runs: 2, events: 6, ..Removed::default() });
}

#[tokio::test]
async fn a_rule_is_set_shown_and_taken_back() {
    let world = World::new(Keep::Forever);
    let red: Namespace = "red".parse().unwrap();
    let server = RetentionRule { keep: Keep::Forever, own: false };
    assert_eq!(world.house.retention(&red).await, Ok(server));
    for keep in [days(7), days(9), Keep::Forever] {
        let own = RetentionRule { keep, own: true };
        assert_eq!(world.house.set_retention(&red, Some(keep)).await, Ok(own));
        assert_eq!(world.house.retention(&red).await, Ok(own));
    }
    assert_eq!(world.house.retention(&Namespace::default()).await, Ok(server), "of its namespace alone");
    for _ in 0..2 {
        assert_eq!(world.house.set_retention(&red, None).await, Ok(server));
    }
    let at_once = Keep::For(Span(Duration::from_millis(999)));
    assert!(matches!(world.house.set_retention(&red, Some(at_once)).await, Err(RequestError::Invalid(_))));
}

#[tokio::test]
async fn what_would_be_purged_is_told_and_stays() {
    let world = World::new(Keep::Forever);
    let old = world.create("default", 1, Some(40), 3).await;
    world.create("default", 2, Some(10), 3).await;
    let dry = world.house.purge(PurgeRequest { dry_run: true, ..request(30) }).await.unwrap();
    assert_eq!(dry.runs.iter().map(|run| run.summary.run).collect::<Vec<_>>(), [old]);
    assert!(world.is_there("default", old).await);
    let done = world.house.purge(request(30)).await.unwrap();
    assert_eq!(done, dry);
    assert!(!world.is_there("default", old).await);
    assert_eq!(world.house.purge(request(30)).await, Ok(PurgePage::default()), "nothing is left");
    let future = PurgeRequest { ended_before: Timestamp::from_micros(NOW + 1), ..request(0) };
    assert!(matches!(world.house.purge(future).await, Err(RequestError::Invalid(_))));
}

#[tokio::test]
async fn a_page_ends_with_its_work() {
    let world = World::new(Keep::Forever);
    for n in 1..=5 {
        world.create("default", n, Some(40), MAX_PURGE_EVENTS / 2).await;
    }
    let (mut before, mut pages) = (None, Vec::new());
    loop {
        let page = world.house.purge(PurgeRequest { before, ..request(30) }).await.unwrap();
        pages.push(page.runs.len());
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages, [2, 2, 1]);
    let large = world.create("default", 9, Some(40), MAX_PURGE_EVENTS + 1).await;
    assert_eq!(world.house.purge(request(30)).await.unwrap().runs.len(), 1, "one run is a page, whatever it has");
    assert!(!world.is_there("default", large).await);
}

#[tokio::test]
async fn who_asks_for_a_purged_run_is_told_when_it_went() {
    let world = World::new(Keep::Forever);
    let namespace = Namespace::default();
    let run = world.create("default", 1, Some(40), 3).await;
    let mut hash = HistoryHash::default();
    world.store.events(run, 1, 10).await.unwrap().iter().for_each(|stored| hash.add(stored));
    world.house.purge(request(30)).await.unwrap();
    let stone = world.store.tombstone(&namespace, run).await.unwrap().unwrap();
    assert_eq!((stone.history, stone.last_seq, stone.status), (hash.digest(), 3, RunStatus::Completed));
    let text = missing(Some(&*world.store), &namespace, run).await.unwrap().to_string();
    assert!(text.contains(&format!("there is no run {run} any more: it was purged at 2024-")), "{text}");
    let never = RunId::new(1, [1; 10]);
    let text = missing(Some(&*world.store), &namespace, never).await.unwrap().to_string();
    assert_eq!(text, format!("there is no run {never}"));
}
