//! Finding runs that have ended.

use tutti_core::ids::Namespace;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::retention::EndedRuns;
use tutti_core::time::Timestamp;

use super::{Subject, all, moment, of};
use crate::given::{new_run, run_id};

pub async fn what_ended_before_a_moment_is_found(store: Subject) {
    store.create(new_run(1)).await;
    for (n, after) in [(2, 500), (3, 100), (4, 300)] {
        store.end(new_run(n), after).await;
    }
    assert_eq!(store.ended(100).await, []);
    assert_eq!(store.ended(301).await, [run_id(4), run_id(3)]);
    assert_eq!(store.ended(1_000).await, [run_id(4), run_id(3), run_id(2)]);
    // The id says that it was made later: clocks that differ do not make it older.
    assert_eq!(store.end(new_run(900), 600).await.run, run_id(900));
    assert_eq!(store.ended(700).await, [run_id(4), run_id(3), run_id(2)]);
    assert_eq!(store.ended(901).await.len(), 4);
}

pub async fn ended_runs_come_in_pages_newest_first(store: Subject) {
    for n in 1..=5 {
        store.end(new_run(n), 10).await;
    }
    let page = async |before, limit| {
        let found = store.retention.ended(EndedRuns { before, limit, ..all() }).await.unwrap();
        assert!(found.iter().all(|run| run.last_seq == 3 && run.summary.ended_at == Some(moment(10))), "{found:?}");
        found.into_iter().map(|run| run.summary.run).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, [run_id(5), run_id(4)]);
    assert_eq!(page(Some(run_id(4)), 2).await, [run_id(3), run_id(2)]);
    assert_eq!(page(Some(run_id(2)), 2).await, [run_id(1)]);
    assert!(page(Some(run_id(1)), 2).await.is_empty() && page(None, 0).await.is_empty());
}

pub async fn a_filter_and_a_namespace_hold(store: Subject) {
    store.end(new_run(1), 10).await;
    let mut other = new_run(2);
    other.summary.version = "2.0".to_owned();
    store.end(other, 10).await;
    store.end(of("red", 3), 10).await;
    let found = async |namespace: &str, filter: &str| {
        let filter = RunFilter::parse(filter, Timestamp::default()).unwrap();
        let query = EndedRuns { namespace: namespace.parse().unwrap(), filter, ..all() };
        let found = store.retention.ended(query).await.unwrap();
        found.into_iter().map(|run| run.summary.run).collect::<Vec<_>>()
    };
    assert_eq!(found("default", "version:2.0").await, [run_id(2)]);
    assert_eq!(found("default", "state:failed,completed -version:2.0").await, [run_id(1)]);
    assert!(found("default", "state:running").await.is_empty());
    assert_eq!(found("red", "").await, [run_id(3)]);
    assert!(found("blue", "").await.is_empty());
}

pub async fn the_namespaces_of_runs_are_told(store: Subject) {
    assert_eq!(store.retention.namespaces().await, Ok(vec![]));
    let red = store.end(of("red", 1), 10).await;
    for (namespace, n) in [("blue", 2), ("red", 3), ("default", 4), ("blue", 5)] {
        store.create(of(namespace, n)).await;
    }
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<Namespace>>();
    assert_eq!(store.retention.namespaces().await, Ok(names(&["blue", "default", "red"])));
    assert_eq!(store.purge(&[red]).await, [true]);
    assert_eq!(store.retention.namespaces().await, Ok(names(&["blue", "default", "red"])), "another one is there");
    let green = store.end(of("green", 6), 10).await;
    assert_eq!(store.purge(&[green]).await, [true]);
    assert_eq!(store.retention.namespaces().await, Ok(names(&["blue", "default", "red"])));
}
