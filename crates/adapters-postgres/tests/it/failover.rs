//! Another server takes the place of the one that had the database.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tutti_adapters_postgres::{Address, Hints, OpenMode, Postgres, migrate};
use tutti_core::ids::RequestId;
use tutti_core::ports::fleet::{Fleet as _, Member, Standing};
use tutti_core::ports::inbox::{Inbox as _, InboxItem};
use tutti_core::ports::query::RunQuery as _;
use tutti_core::ports::store::{CommitOutcome, RunStore as _, StoreError};
use tutti_core::time::Timestamp;
use tutti_testkit::given::{READS, commit, new_run, run_id};
use tutti_testkit::postgres::Server;

use crate::until;

/// Runs that are written at once.
const RUNS: u64 = 4;

/// The database of servers that are reached by the sockets in these folders.
fn address(folders: &[&Path]) -> Address {
    let hosts: Vec<String> = folders.iter().map(|folder| folder.display().to_string().replace('/', "%2F")).collect();
    format!("postgres://postgres@{}/postgres", hosts.join(",")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_the_server_and_writers_go_on_at_its_standby() {
    let mut first = Server::start(&[]);
    migrate(&address(&[first.folder()])).await.unwrap();
    let second = first.standby();
    let both = address(&[first.folder(), second.folder()]);
    let store = Arc::new(Postgres::open(&both, OpenMode::Server).await.unwrap());
    let mut hints = Hints::listen(&both);
    let acknowledged: Arc<Vec<AtomicU64>> = Arc::new((0..RUNS).map(|_| AtomicU64::new(2)).collect());
    let stopped = Arc::<AtomicBool>::default();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..RUNS {
        let (store, acknowledged, stopped) = (store.clone(), acknowledged.clone(), stopped.clone());
        writers.spawn(async move {
            store.create(new_run(n)).await.unwrap();
            let mut repeated = 0;
            while !stopped.load(Ordering::SeqCst) {
                let last = acknowledged[n as usize].load(Ordering::SeqCst);
                let next = commit(run_id(n), 1, last, 1);
                // As it was, until it is known what became of it.
                loop {
                    match store.commit(vec![next.clone()]).await {
                        Ok(outcomes) => break assert_eq!(outcomes, [CommitOutcome::Committed], "at {last}"),
                        Err(StoreError::Unavailable(_)) => repeated += 1,
                        Err(error) => panic!("{error}"),
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                acknowledged[n as usize].store(last + 1, Ordering::SeqCst);
            }
            repeated
        });
    }
    let further = async |than: u64| {
        let at: Vec<u64> = acknowledged.iter().map(|last| last.load(Ordering::SeqCst) + than).collect();
        until("writers go on", async || {
            acknowledged.iter().zip(&at).all(|(last, at)| last.load(Ordering::SeqCst) >= *at)
        })
        .await;
    };
    further(30).await;
    first.crash();
    second.promote();
    further(30).await;
    stopped.store(true, Ordering::SeqCst);
    assert!(writers.join_all().await.into_iter().all(|repeated: u32| repeated > 0), "all of them noticed");
    for n in 0..RUNS {
        let history = store.events(run_id(n), 1, 100_000).await.unwrap();
        assert!(history.iter().zip(1..).all(|(stored, seq)| stored.event.seq == seq), "run {n} has a gap");
        assert_eq!(history.len() as u64, acknowledged[n as usize].load(Ordering::SeqCst));
    }
    // Hints come from there as well.
    let request = RequestId::from_u128(1);
    let item = InboxItem { run: run_id(0), request, at: Timestamp::from_micros(0), blob: "x".into() };
    store.post(item).await.unwrap();
    let heard = async { while !hints.next().await.contains(&run_id(0).slot()) {} };
    timeout(Duration::from_secs(10), heard).await.unwrap();

    // The old one comes back and knows nothing of it. It has no standby, and so it acknowledges nothing.
    first.restart();
    let old = Postgres::open(&address(&[first.folder()]), OpenMode::Server).await.unwrap();
    let split = commit(run_id(0), 1, old.events(run_id(0), 1, 100_000).await.unwrap().len() as u64, 1);
    assert!(timeout(Duration::from_secs(1), old.commit(vec![split])).await.is_err(), "nobody else has it");
    let joined = old.join(&"late".parse().unwrap(), Duration::from_secs(10), READS.reads).await;
    assert!(matches!(joined, Err(StoreError::Unavailable(_))), "who could only read takes no part: {joined:?}");
    let last = acknowledged[0].load(Ordering::SeqCst);
    let next = commit(run_id(0), 1, last, 1);
    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]), "it stays where it went");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lagging_standby_lacks_is_not_mixed_with_what_comes_after() {
    const LEASE: Duration = Duration::from_secs(10);
    let mut first = Server::start(&[]);
    migrate(&address(&[first.folder()])).await.unwrap();
    let second = first.asynchronous_standby();
    let store = Postgres::open(&address(&[first.folder(), second.folder()]), OpenMode::Server).await.unwrap();
    let join = async |server: &str| store.join(&server.parse().unwrap(), LEASE, READS.reads).await.unwrap();
    let renew = async |member: &Member| match store.renew(member).await.unwrap() {
        Standing::Holds { timeline, .. } => Some(timeline),
        Standing::Replaced => panic!("nobody took its id"),
        Standing::Unknown => None,
    };
    let claim = async |n| store.claim(run_id(n), READS).await.unwrap().claimed().unwrap();
    let commit = async |n, epoch, last, count| commit_to(&store, n, epoch, last, count).await.unwrap();
    let early = join("early").await;
    let timeline = renew(&early).await.unwrap();
    store.create(new_run(1)).await.unwrap();
    assert_eq!(claim(1).await.epoch, 2);

    second.stop_following(&first);
    let lost = claim(1).await;
    assert_eq!(commit(1, lost.epoch, 2, 3).await, [CommitOutcome::Committed], "acknowledged, and lost");
    store.create(new_run(2)).await.unwrap();
    let (again, late) = (join("early").await, join("late").await);
    first.crash();
    second.promote();

    // The next owner comes as far as the one whose claim was lost, who still believes that the run is his.
    until("each connection is with the standby", async || {
        let nothing = commit_to(&store, 1, 0, 0, 1).await.is_ok();
        nothing && store.give_up(&late, &BTreeSet::new()).await.is_ok()
    })
    .await;
    let next = claim(1).await;
    assert_eq!(next.last_seq, 2);
    assert!(next.epoch > lost.epoch, "{} after {}", next.epoch, lost.epoch);
    assert_eq!(commit(1, next.epoch, 2, 3).await, [CommitOutcome::Committed]);
    assert_eq!(commit(1, lost.epoch, 5, 1).await, [CommitOutcome::Refused], "his history is another one");
    assert_eq!(claim(1).await.epoch, next.epoch + 1);
    assert_eq!(commit(2, 1, 2, 1).await, [CommitOutcome::Refused], "nobody knows of it");
    let seqs: Vec<u64> = store.events(run_id(1), 1, 100).await.unwrap().iter().map(|e| e.event.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);

    // Servers whose joining was lost learn that, and numbers of their places in the row are not given again.
    assert_eq!((renew(&again).await, renew(&late).await), (None, None));
    for lost in [again, late] {
        let back = join(lost.server.as_str()).await;
        assert!(back.incarnation > lost.incarnation, "{back:?} after {lost:?}");
        assert!(renew(&back).await.is_some_and(|now| now != timeline), "it is another line of history");
        assert_eq!(store.renew(&lost).await, Ok(Standing::Replaced));
    }
}

async fn commit_to(
    store: &Postgres,
    n: u64,
    epoch: u64,
    last: u64,
    count: u64,
) -> Result<Vec<CommitOutcome>, StoreError> {
    store.commit(vec![commit(run_id(n), epoch, last, count)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_passed_over_or_refuses_until_it_is_promoted() {
    let mut first = Server::start(&[]);
    migrate(&address(&[first.folder()])).await.unwrap();
    let second = first.standby();
    let both = address(&[second.folder(), first.folder()]);
    for mode in [OpenMode::Engine, OpenMode::ReadOnly] {
        drop(Postgres::open(&both, mode).await.unwrap());
    }
    // An address that is moved from one to the other.
    let current = second.folder().join("current");
    symlink(first.folder(), &current).unwrap();
    let store = Postgres::open(&address(&[&current]), OpenMode::Engine).await.unwrap();
    store.create(new_run(1)).await.unwrap();
    let next = commit(run_id(1), 1, 2, 1);
    assert_eq!(store.commit(vec![next.clone()]).await, Ok(vec![CommitOutcome::Committed]));

    first.crash();
    let lost = store.commit(vec![next.clone()]).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    let refused = Postgres::open(&both, OpenMode::Engine).await.unwrap_err();
    let names_both = |why: &str| why.contains("it is a standby") && why.matches("tutti-pg-").count() >= 4;
    assert!(matches!(&refused, StoreError::Unavailable(why) if names_both(why)), "{refused}");
    std::fs::remove_file(&current).unwrap();
    symlink(second.folder(), &current).unwrap();
    for _ in 0..3 {
        let refused = store.commit(vec![next.clone()]).await;
        assert!(matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("25006")), "{refused:?}");
    }
    assert_eq!(store.events(run_id(1), 1, 10).await.unwrap().len(), 3, "a standby can be read");
    second.promote();
    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]), "it is known as applied");
    let next = commit(run_id(1), 1, 3, 1);
    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
}
