//! Other processes post while an engine has the file.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ids::{RequestId, RunId};
use tutti_core::limits::SLOTS;
use tutti_core::ports::inbox::{Consumed, Inbox as _, InboxItem};
use tutti_core::ports::query::RunQuery as _;
use tutti_core::ports::store::{Commit, CommitOutcome, RunStore as _, StoreError};
use tutti_core::time::Timestamp;
use tutti_testkit::given::{commit, new_run, run_id};

/// Tells the test that it is a process that posts, and where the file is.
const STORE: &str = "TUTTI_TEST_BESIDE_STORE";

/// Which of them it is.
const NUMBER: &str = "TUTTI_TEST_BESIDE_NUMBER";

/// Runs that are committed to, flat out.
const RUNS: u64 = 8;

/// Processes that post, callers in each, and items of each caller.
const PROCESSES: u64 = 2;
const CALLERS: u64 = 4;
const ITEMS: u64 = 50;

const COMMITTED: CommitOutcome = CommitOutcome::Committed;

/// Longest that all of it may take.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn nothing_that_other_processes_post_is_lost() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(path) = std::env::var_os(STORE) {
        let number = std::env::var(NUMBER).unwrap().parse().unwrap();
        return runtime.block_on(post_and_wait(Path::new(&path), number));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let engine = Arc::new(Sqlite::open(&path, OpenMode::Engine).unwrap());
    runtime.block_on(async {
        for n in 0..RUNS {
            engine.create(new_run(n)).await.unwrap();
        }
        let mut posters: Vec<Child> = (0..PROCESSES).map(|number| start(&path, number)).collect();
        let mut owners = JoinSet::new();
        for n in 0..RUNS {
            owners.spawn(own(engine.clone(), run_id(n)));
        }
        let consumed: u64 = owners.join_all().await.into_iter().sum();
        assert_eq!(consumed, PROCESSES * CALLERS * ITEMS, "each once");
        for poster in &mut posters {
            let status = poster.wait().unwrap();
            assert!(status.success(), "a process that posts: {status}");
        }
    });
}

/// Commits to a run without a pause, and consumes what comes for it, until all of it came. How much that was.
async fn own(store: Arc<Sqlite>, run: RunId) -> u64 {
    let (mut last, mut consumed) = (2, 0);
    let expected = (0..PROCESSES * CALLERS * ITEMS).filter(|n| run_of(*n) == run).count() as u64;
    let deadline = Instant::now() + DEADLINE;
    while consumed < expected {
        assert!(Instant::now() < deadline, "{consumed} of {expected} items came for {run}");
        let items = store.pending(&[run.slot()], 100).await.unwrap();
        let items: Vec<InboxItem> = items.into_iter().filter(|item| item.run == run).collect();
        consumed += items.len() as u64;
        let settled = items.iter().map(|item| Consumed { request: item.request, at: item.at, outcome: outcome(item) });
        let next = Commit { consumed: settled.collect(), ..commit(run, 1, last, 3) };
        last += 3;
        assert_eq!(store.commit(vec![next]).await, Ok(vec![COMMITTED]));
    }
    consumed
}

/// Posts from many callers and waits until each item has its outcome.
async fn post_and_wait(path: &Path, number: u64) {
    let store = Arc::new(Sqlite::open(path, OpenMode::Beside).unwrap());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = store.clone();
        callers.spawn(async move {
            for n in 0..ITEMS {
                let item = item((number * CALLERS + caller) * ITEMS + n);
                assert_eq!(store.post(item.clone()).await, Ok(()));
                let deadline = Instant::now() + DEADLINE;
                let settled = loop {
                    let settled = store.outcome(item.run, item.request).await.unwrap();
                    if settled.is_some() || Instant::now() > deadline {
                        break settled;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                };
                assert_eq!(settled, Some(outcome(&item)));
            }
        });
    }
    callers.join_all().await;
}

fn start(path: &Path, number: u64) -> Child {
    let mut child = child("nothing_that_other_processes_post_is_lost", path);
    child.env(NUMBER, number.to_string()).spawn().unwrap()
}

/// A process that runs a test of this file as one that posts.
fn child(test: &str, path: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("beside::{test}"), "--nocapture"]).env(STORE, path);
    child.stdin(Stdio::null()).stdout(Stdio::null());
    child
}

/// One of many items for few runs.
pub fn item(n: u64) -> InboxItem {
    InboxItem {
        run: run_of(n),
        request: RequestId::from_u128(u128::from(n)),
        at: Timestamp::from_micros(n as i64),
        blob: Bytes::from(n.to_string()),
    }
}

fn run_of(n: u64) -> RunId {
    run_id(n % RUNS)
}

fn outcome(item: &InboxItem) -> Bytes {
    Bytes::from([b"done with ", &item.blob[..]].concat())
}

#[test]
fn who_is_killed_while_it_posts_harms_nobody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(path) = std::env::var_os(STORE) {
        return runtime.block_on(post_until_killed(Path::new(&path)));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let engine = Sqlite::open(&path, OpenMode::Engine).unwrap();
    runtime.block_on(engine.create(new_run(0))).unwrap();
    let mut last = 2;
    for acknowledged in [1, 30, 200, 5] {
        let mut poster =
            child("who_is_killed_while_it_posts_harms_nobody", &path).stderr(Stdio::piped()).spawn().unwrap();
        let mut answers = BufReader::new(poster.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut posted: Vec<String> = Vec::new();
        for _ in 0..acknowledged {
            posted.extend(answers.next());
            assert_eq!(runtime.block_on(engine.commit(vec![commit(run_id(0), 1, last, 3)])), Ok(vec![COMMITTED]));
            last += 3;
        }
        poster.kill().unwrap();
        poster.wait().unwrap();
        // What it said before it died counts as well.
        posted.extend(answers);
        assert!(posted.len() >= acknowledged, "it was killed by nobody");
        let waiting = runtime.block_on(engine.pending(&every_slot(), usize::MAX)).unwrap();
        let waiting: HashSet<String> = waiting.into_iter().map(|item| item.request.to_string()).collect();
        for request in posted {
            assert!(waiting.contains(&request), "{request} was acknowledged");
        }
    }
}

/// Posts to one run and tells each request that was acknowledged.
async fn post_until_killed(path: &Path) {
    let store = Sqlite::open(path, OpenMode::Beside).unwrap();
    let first = u64::from(std::process::id()) << 32;
    for n in first.. {
        let item = InboxItem { run: run_id(0), ..item(n) };
        assert_eq!(store.post(item.clone()).await, Ok(()));
        writeln!(std::io::stderr().lock(), "{}", item.request).unwrap();
    }
}

#[tokio::test]
async fn it_works_without_an_engine_and_is_in_no_engines_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let engine = Sqlite::open(&path, OpenMode::Engine).unwrap();
    engine.create(new_run(1)).await.unwrap();
    drop(engine);
    let item = InboxItem { run: run_id(1), ..item(1) };
    let beside = [(); 2].map(|()| Sqlite::open(&path, OpenMode::Beside).unwrap());
    for store in &beside {
        assert_eq!(store.post(item.clone()).await, Ok(()));
        assert_eq!(store.events(run_id(1), 1, 10).await.unwrap().len(), 2);
    }
    let engine = Sqlite::open(&path, OpenMode::Engine).expect("nobody else runs an engine");
    for store in beside.iter().chain([&engine]) {
        assert_eq!(store.pending(&every_slot(), 10).await, Ok(vec![item.clone()]));
    }
    drop((beside, engine));
    assert!(!folder.path().join("tutti.db-wal").exists(), "closing tidies up");
    let reader = Sqlite::open(&path, OpenMode::ReadOnly).unwrap();
    assert_eq!(reader.pending(&every_slot(), 10).await, Ok(vec![item.clone()]), "it is in the file");
    assert!(matches!(reader.post(item).await, Err(StoreError::Permanent(_))), "readers post nothing");
}

fn every_slot() -> Vec<u16> {
    (0..SLOTS).collect()
}
