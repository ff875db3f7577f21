//! Filters of lists and counts.

use std::collections::BTreeMap;

use tutti_core::ids::Namespace;
use tutti_core::ports::filter::{Condition, RunFilter, Term};
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::ports::store::NewRun;
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;

use super::Subject;
use crate::given::{commit, new_run, run_id, summary};

/// When the runs were created: a second apart.
const START: i64 = 1_700_000_000_000_000;

/// Filters that each take some of the runs and leave some.
const FILTERS: [&str; 24] = [
    "state:failed",
    "state:failed,running,stuck",
    "-state:failed",
    "-state:failed,running",
    "workflow:rare",
    "workflow:rare,Rare",
    "-workflow:rare",
    "version:2.0",
    "-version:2.0",
    "session:s-1",
    "-session:s-1",
    "key:order/3",
    "-key:order/3",
    "label.team=billing",
    "-label.team=billing",
    "label.a.b=1",
    "label.odd=\"\\\"quoted\\\" \\\\ \u{1f3bc}\"",
    "since:2023-11-14T22:13:30Z",
    "until:2023-11-14T22:13:30Z",
    "-since:2023-11-14T22:13:30Z",
    "state:failed workflow:rare",
    "-session:s-1 -label.team=billing state:running",
    "session:s-1 -key:order/3 since:2023-11-14T22:13:25Z until:2023-11-14T22:13:50Z",
    "-session:s-1 -session:s-2 -state:stuck",
];

pub async fn each_filter_takes_what_it_asks_for(store: Subject) {
    let runs = fill(&store).await;
    for text in FILTERS {
        let filter = RunFilter::parse(text, Timestamp::from_micros(START)).unwrap();
        let expected: Vec<_> = runs.iter().rev().filter(|run| filter.takes(run)).map(|run| run.run).collect();
        assert!(!expected.is_empty() && expected.len() < runs.len(), "{text} chooses");
        for limit in [3, 1_000] {
            let query = ListRuns { filter: filter.clone(), limit, ..ListRuns::default() };
            assert_eq!(store.list_all(query).await, expected, "{text}, in pages of {limit}");
        }
        let counts = store.query.count(&Namespace::default(), &filter).await.unwrap();
        assert_eq!(counts, counted(runs.iter().filter(|run| filter.takes(run))), "{text}");
    }
}

pub async fn what_no_run_has_takes_none(store: Subject) {
    fill(&store).await;
    let odd = ["'; DROP TABLE run_view; --", "$.team", "%", "", "null", "\0"];
    let mut none = vec![Condition::State(Vec::new()), Condition::Workflow(Vec::new())];
    none.extend([Condition::Session("nobody".parse().unwrap()), Condition::Key("\"order/3\"".parse().unwrap())]);
    none.extend([Timestamp::MAX].map(Condition::Since));
    none.extend([Timestamp::from_micros(i64::MIN)].map(Condition::Until));
    none.extend(odd.map(|text| Condition::Version(text.to_owned())));
    none.extend(odd.map(|text| Condition::Label("team".parse().unwrap(), text.to_owned())));
    for condition in none {
        let filter = RunFilter::default().and(condition.clone());
        assert!(list(&store, filter.clone()).await.is_empty(), "{condition:?}");
        assert!(store.query.count(&Namespace::default(), &filter).await.unwrap().is_empty(), "{condition:?}");
        let opposite = RunFilter { terms: vec![Term { not: true, is: condition.clone() }] };
        assert_eq!(list(&store, opposite).await.len(), 40, "not {condition:?}");
    }
}

pub async fn a_filter_may_have_many_terms(store: Subject) {
    fill(&store).await;
    let others = (0..200).map(|n| Condition::Session(format!("other-{n}").parse().unwrap()));
    let terms: Vec<Term> = others.map(|is| Term { not: true, is }).collect();
    assert_eq!(list(&store, RunFilter { terms }).await.len(), 40);
    let workflows = (0..2_000).map(|n| format!("w-{n}").parse().unwrap()).collect();
    assert!(list(&store, RunFilter::default().and(Condition::Workflow(workflows))).await.is_empty());
}

pub async fn filters_follow_the_summary(store: Subject) {
    let run = store.create(new_run(1)).await;
    let mut line = summary(run);
    line.session = Some("s".parse().unwrap());
    line.key = Some("k".parse().unwrap());
    line.labels = [("team".parse().unwrap(), "billing".to_owned())].into();
    let filter = RunFilter::parse("session:s key:k label.team=billing", Timestamp::from_micros(START)).unwrap();
    assert!(list(&store, filter.clone()).await.is_empty());
    let mut change = commit(run, 1, 2, 1);
    change.summary = Some(line.clone());
    store.commit(change).await;
    assert_eq!(list(&store, filter).await, [run]);
    assert_eq!(store.summary(run).await, line);
}

pub async fn runs_are_counted_by_state(store: Subject) {
    let (mine, others): (Namespace, Namespace) = (Namespace::default(), "other".parse().unwrap());
    let all = RunFilter::default();
    assert_eq!(store.query.count(&mine, &all).await, Ok(BTreeMap::new()));
    let mut runs = fill(&store).await;
    assert_eq!(store.query.count(&mine, &all).await, Ok(counted(runs.iter())));
    assert_eq!(store.query.count(&others, &all).await, Ok(BTreeMap::new()));
    store.create(NewRun { namespace: others.clone(), ..new_run(100) }).await;
    assert_eq!(store.query.count(&others, &all).await, Ok([(RunStatus::Pending, 1)].into()));

    runs[0].status = RunStatus::Quarantined;
    let mut change = commit(runs[0].run, 1, 2, 1);
    change.summary = Some(runs[0].clone());
    store.commit(change).await;
    assert_eq!(store.query.count(&mine, &all).await, Ok(counted(runs.iter())));
}

/// Forty runs that differ in everything that a filter asks for.
async fn fill(store: &Subject) -> Vec<RunSummary> {
    let statuses = [RunStatus::Running, RunStatus::Failed, RunStatus::Completed, RunStatus::Stuck];
    let mut runs = Vec::new();
    for n in 1..=40 {
        let mut new = new_run(n);
        let line = &mut new.summary;
        line.status = statuses[n as usize % 4];
        line.workflow = ["common", "rare", "Rare", "common", "common"][n as usize % 5].parse().unwrap();
        line.version = if n % 3 == 0 { "2.0" } else { "1.0" }.to_owned();
        line.created_at = Timestamp::from_micros(START + n as i64 * 1_000_000);
        line.session = [None, Some("s-1"), Some("S-1"), Some("s-2")][n as usize / 2 % 4].map(|s| s.parse().unwrap());
        line.key = (n % 7 < 4).then(|| format!("order/{}", n % 7).parse().unwrap());
        let labels = match n % 6 {
            0 => vec![],
            1 => vec![("team", "billing"), ("a.b", "1")],
            2 => vec![("team", "Billing"), ("a.b", "01")],
            3 => vec![("odd", "\"quoted\" \\ \u{1f3bc}")],
            4 => vec![("Team", "billing"), ("x", "team"), ("odd", "a\0b\n")],
            _ => vec![("team", "true")],
        };
        line.labels = labels.into_iter().map(|(name, value)| (name.parse().unwrap(), value.to_owned())).collect();
        runs.push(line.clone());
        store.create(new).await;
    }
    assert_eq!(store.summary(run_id(40)).await, runs[39]);
    runs
}

async fn list(store: &Subject, filter: RunFilter) -> Vec<tutti_core::ids::RunId> {
    store.list_all(ListRuns { filter, ..ListRuns::default() }).await
}

fn counted<'r>(runs: impl Iterator<Item = &'r RunSummary>) -> BTreeMap<RunStatus, u64> {
    let mut counts = BTreeMap::new();
    runs.for_each(|run| *counts.entry(run.status).or_default() += 1);
    counts
}
