//! Lists of runs.

use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::filter::{Condition, RunFilter};
use tutti_core::ports::query::ListRuns;
use tutti_core::ports::store::{NewRun, StoreError};
use tutti_core::run::RunStatus;

use super::Subject;
use crate::given::{commit, new_run, run_id, summary};

pub async fn runs_come_newest_first(store: Subject) {
    for n in [3, 1, 5, 2, 4] {
        store.create(new_run(n)).await;
    }
    let page = store.query.list(ListRuns::default()).await.unwrap();
    assert_eq!(page.runs, [5, 4, 3, 2, 1].map(|n| summary(run_id(n))));
    assert_eq!(page.next, None);
}

pub async fn pages_cover_every_run_once(store: Subject) {
    let mut runs = store.create_many(23).await;
    runs.reverse();
    for limit in [1, 2, 7, 22, 23, 24] {
        assert_eq!(store.list_all(ListRuns { limit, ..ListRuns::default() }).await, runs, "in pages of {limit}");
    }
}

pub async fn new_runs_do_not_disturb_the_pages(store: Subject) {
    let mut runs = store.create_many(10).await;
    runs.reverse();
    let (mut seen, next) = store.page(ListRuns { limit: 4, ..ListRuns::default() }).await;
    for n in 11..=15 {
        store.create(new_run(n)).await;
    }
    seen.extend(store.list_all(ListRuns { limit: 4, cursor: next, ..ListRuns::default() }).await);
    assert_eq!(seen, runs);
}

pub async fn the_last_page_has_no_cursor(store: Subject) {
    assert_eq!(store.page(ListRuns::default()).await, (Vec::new(), None));
    store.create_many(6).await;
    let (first, next) = store.page(ListRuns { limit: 3, ..ListRuns::default() }).await;
    assert_eq!(first, [6, 5, 4].map(run_id));
    assert!(next.is_some());
    let (last, next) = store.page(ListRuns { limit: 3, cursor: next, ..ListRuns::default() }).await;
    assert_eq!(last, [3, 2, 1].map(run_id));
    assert_eq!(next, None);
}

pub async fn filters_choose_by_state_and_workflow(store: Subject) {
    for n in 1..=40 {
        let mut new = new_run(n);
        new.summary.status = if n % 2 == 0 { RunStatus::Running } else { RunStatus::Failed };
        new.summary.workflow = if n % 5 == 0 { "rare" } else { "common" }.parse().unwrap();
        store.create(new).await;
    }
    let running = by_state(RunStatus::Running);
    let rare = Condition::Workflow(vec!["rare".parse().unwrap()]);
    let (rare, both) = (RunFilter::default().and(rare.clone()), running.clone().and(rare));
    let expected = |fits: fn(u64) -> bool| (1..=40).rev().filter(|n| fits(*n)).map(run_id).collect::<Vec<_>>();
    for limit in [3, 100] {
        let all = ListRuns { limit, ..ListRuns::default() };
        let list = store.list_all(ListRuns { filter: running.clone(), ..all.clone() }).await;
        assert_eq!(list, expected(|n| n % 2 == 0));
        let list = store.list_all(ListRuns { filter: rare.clone(), ..all.clone() }).await;
        assert_eq!(list, expected(|n| n % 5 == 0));
        let list = store.list_all(ListRuns { filter: both.clone(), ..all.clone() }).await;
        assert_eq!(list, expected(|n| n % 10 == 0));
        let list = store.list_all(ListRuns { filter: by_state(RunStatus::Stuck), ..all }).await;
        assert!(list.is_empty());
    }
}

pub async fn a_filter_follows_the_state(store: Subject) {
    let runs = store.create_many(3).await;
    let mut change = commit(runs[1], 1, 2, 1);
    let mut line = summary(runs[1]);
    line.status = RunStatus::Running;
    change.summary = Some(line);
    store.commit(change).await;
    let with = |status| ListRuns { filter: by_state(status), ..ListRuns::default() };
    assert_eq!(store.list_all(with(RunStatus::Running)).await, [runs[1]]);
    assert_eq!(store.list_all(with(RunStatus::Pending)).await, [runs[2], runs[0]]);
}

pub async fn namespaces_are_apart(store: Subject) {
    for n in 1..=6 {
        store.create(NewRun { namespace: of(n), ..new_run(n) }).await;
    }
    for (namespace, others) in [(of(1), of(2)), (of(2), of(1))] {
        let query = ListRuns { namespace: namespace.clone(), limit: 2, ..ListRuns::default() };
        let runs = store.list_all(query).await;
        assert_eq!(runs, (1..=6).rev().filter(|n| of(*n) == namespace).map(run_id).collect::<Vec<_>>());
        for run in runs {
            assert_eq!(store.query.find(&namespace, run).await, Ok(Some(summary(run))));
            assert_eq!(store.query.find(&others, run).await, Ok(None));
            assert_eq!(store.query.find_by_prefix(&others, &run.to_string(), 10).await, Ok(Vec::new()));
        }
    }
    let nobody = ListRuns { namespace: "nobody".parse().unwrap(), ..ListRuns::default() };
    assert!(store.list_all(nobody).await.is_empty());
    assert_eq!(store.query.find(&of(1), run_id(99)).await, Ok(None));

    fn of(n: u64) -> Namespace {
        if n.is_multiple_of(2) { "even" } else { "odd" }.parse().unwrap()
    }
}

pub async fn limits_are_kept(store: Subject) {
    store.create_many(1_010).await;
    for (limit, count) in [(0, 50), (1, 1), (999, 999), (1_000, 1_000), (1_001, 1_000), (usize::MAX, 1_000)] {
        let (runs, next) = store.page(ListRuns { limit, ..ListRuns::default() }).await;
        assert_eq!(runs.len(), count, "for a limit of {limit}");
        assert!(next.is_some());
    }
}

pub async fn a_forged_cursor_is_refused(store: Subject) {
    store.create_many(5).await;
    let (_, next) = store.page(ListRuns { limit: 2, ..ListRuns::default() }).await;
    let next = next.unwrap();
    let mut forged: Vec<String> = vec![String::new(), "1".into(), "\0é\u{202e}".into(), run_id(3).to_string()];
    forged.extend(["'; --".into(), "9".repeat(1_000), format!("{next}0"), next[1..].to_string()]);
    for at in 0..next.len() {
        let other = if next.as_bytes()[at] == b'0' { "1" } else { "0" };
        forged.push(format!("{}{other}{}", &next[..at], &next[at + 1..]));
    }
    for cursor in forged {
        let page = store.query.list(ListRuns { cursor: Some(cursor.clone()), ..ListRuns::default() }).await;
        assert_eq!(page.err(), Some(StoreError::BadCursor), "{cursor:?}");
    }
    let again = store.query.list(ListRuns { cursor: Some(next), ..ListRuns::default() }).await.unwrap();
    assert_eq!(again.runs.len(), 3);
}

pub async fn a_run_is_found_by_the_beginning_of_its_id(store: Subject) {
    let runs = store.create_many(20).await;
    for prefix_of in [runs[0], runs[7]] {
        let text = prefix_of.to_string();
        for length in 0..=text.len() {
            let prefix = &text[..length];
            let expected: Vec<RunId> =
                runs.iter().rev().filter(|run| run.to_string().starts_with(prefix)).copied().collect();
            assert_eq!(by_prefix(&store, prefix, 100).await, expected, "{prefix:?}");
        }
    }
    assert_eq!(by_prefix(&store, "", 3).await, [20, 19, 18].map(run_id));
    assert!(by_prefix(&store, "", 0).await.is_empty());
    let whole = store.query.find_by_prefix(&Namespace::default(), &runs[4].to_string(), 1).await.unwrap();
    assert_eq!(whole, [summary(runs[4])]);
}

pub async fn odd_prefixes_find_nothing(store: Subject) {
    let run = store.create(new_run(1)).await.to_string();
    let simple = run.replace('-', "");
    let longer = format!("{run}0");
    let dashes = format!("{}--", &run[..8]);
    for prefix in ["%", "_", "*", "g", "\0", " ", "é", "0 ", &simple, &longer, &dashes, &run.to_uppercase()] {
        assert!(by_prefix(&store, prefix, 10).await.is_empty(), "{prefix:?}");
    }
}

fn by_state(status: RunStatus) -> RunFilter {
    RunFilter::default().and(Condition::State(vec![status]))
}

async fn by_prefix(store: &Subject, prefix: &str, limit: usize) -> Vec<RunId> {
    let found = store.query.find_by_prefix(&Namespace::default(), prefix, limit).await.unwrap();
    found.into_iter().map(|run| run.run).collect()
}
