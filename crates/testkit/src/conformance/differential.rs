//! Two stores are asked the same, and must answer the same.

#![expect(clippy::unwrap_used, reason = "a difference is told by panicking; the names are good")]

mod walk;

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use tutti_core::ids::{Namespace, RequestId, RunId};
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbox::InboxItem;
use tutti_core::ports::query::ListRuns;
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey};
use tutti_core::ports::store::{
    ClaimOutcome, Claimer, Commit, CommitOutcome, Creation, DueRuns, NewRun, Snapshot, StoreError,
};
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, PayloadRef};

use self::walk::Walk;
use crate::given::run_id;
use crate::stores::Stores;

/// Few runs, so that operations meet.
const RUNS: u64 = 12;

/// Seeds of the comparison, and operations of each.
const SEEDS: u64 = 50;
const OPERATIONS: usize = 200;

/// Asks pairs of stores the same random operations, each pair those of another seed, and compares the answers. Every
/// operation must have had every sort of answer that it has in such a walk, so that nothing is left out unseen.
///
/// `fresh` makes two empty stores, and something that is kept until they are dropped, such as a temporary folder.
///
/// # Panics
/// At the first difference, naming the seed and the operation, and if an operation never had one of its answers.
pub fn differential<G>(fresh: impl AsyncFn() -> (G, [Stores; 2])) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..SEEDS {
        let (_guard, [one, other]) = runtime.block_on(fresh());
        for (answer, count) in runtime.block_on(compare(&one, &other, seed, OPERATIONS)) {
            *seen.entry(answer).or_default() += count;
        }
    }
    for answer in ANSWERS {
        assert!(seen.contains_key(*answer), "no operation was answered \"{answer}\": {seen:?}");
    }
}

/// Asks two empty stores the operations of a seed and compares the answers: writes that fit, that are stale, wrong or
/// repeated, claims, snapshots, payloads, documents, commands that wait, and every way to read, in pages. Of errors the kind
/// is compared, of page cursors whether there is one.
///
/// Gives how often each operation had which sort of answer.
async fn compare(a: &Stores, b: &Stores, seed: u64, operations: usize) -> BTreeMap<String, usize> {
    let mut walk = Walk::new(seed);
    let mut cursors = (None, None);
    let mut answers = BTreeMap::new();
    for number in 0..operations {
        let operation = walk.draw();
        let one = ask(a, &operation, &mut cursors.0).await;
        let other = ask(b, &operation, &mut cursors.1).await;
        let about = || format!("seed {seed}, operation {number}: {operation:?}");
        assert!(one == other, "{}\n one store: {one:?}\n the other: {other:?}", about());
        *answers.entry(format!("{} {}", operation.name(), one.sort)).or_default() += 1;
        walk.learn(&operation, &one);
    }
    for n in 1..=RUNS {
        let operation = Operation::Events { run: run_id(n), from: 1, limit: usize::MAX };
        let (one, other) = (ask(a, &operation, &mut None).await, ask(b, &operation, &mut None).await);
        assert!(one == other, "seed {seed}, the history of run {n} at the end");
    }
    answers
}

/// Operations and the sorts of answers that the walks of all seeds must show.
const ANSWERS: &[&str] = &[
    "Create ok",
    "Create exists",
    "Create key held",
    "Create permanent",
    "Commit ok",
    "Commit refused",
    "Commit permanent",
    "Commit nothing",
    "Claim ok",
    "Claim too new",
    "Claim nothing",
    "Due ok",
    "Due nothing",
    "SaveSnapshot ok",
    "SaveSnapshot permanent",
    "Snapshot ok",
    "Snapshot nothing",
    "Put ok",
    "Get ok",
    "Get nothing",
    "List ok",
    "List nothing",
    "List bad cursor",
    "Find ok",
    "Find nothing",
    "FindByPrefix ok",
    "FindByPrefix nothing",
    "Events ok",
    "Events nothing",
    "Definition ok",
    "Definition nothing",
    "Count ok",
    "Count nothing",
    "PutRecord ok",
    "PutRecord conflict",
    "GetRecord ok",
    "GetRecord nothing",
    "ListRecords ok",
    "ListRecords nothing",
    "DeleteRecord ok",
    "DeleteRecord nothing",
    "Post ok",
    "Post permanent",
    "Pending ok",
    "Pending nothing",
    "Outcome ok",
    "Outcome nothing",
    "ForgetOutcomes ok",
    "ForgetOutcomes nothing",
];

/// Something that a store is asked.
#[derive(Debug, Clone)]
enum Operation {
    Create(Box<NewRun>),
    Commit(Vec<Commit>),
    Claim(RunId, Claimer),
    Due(DueRuns),
    SaveSnapshot(RunId, Snapshot),
    Snapshot(RunId),
    Put(RunId, Bytes),
    Get(RunId, PayloadRef),
    /// Lists; `goes_on`: from where the last page of this store ended, if it did.
    List {
        query: ListRuns,
        goes_on: bool,
    },
    Find(Namespace, RunId),
    FindByPrefix(Namespace, String, usize),
    Events {
        run: RunId,
        from: u64,
        limit: usize,
    },
    Definition(Digest),
    Count(Namespace, RunFilter),
    PutRecord(Record),
    GetRecord(RecordKey),
    ListRecords(ListRecords),
    DeleteRecord(RecordKey, u64),
    Post(InboxItem),
    Pending(Vec<u16>, usize),
    Outcome(RunId, RequestId),
    ForgetOutcomes(Timestamp),
}

impl Operation {
    const fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "Create",
            Self::Commit(_) => "Commit",
            Self::Claim(..) => "Claim",
            Self::Due(_) => "Due",
            Self::SaveSnapshot(..) => "SaveSnapshot",
            Self::Snapshot(_) => "Snapshot",
            Self::Put(..) => "Put",
            Self::Get(..) => "Get",
            Self::List { .. } => "List",
            Self::Find(..) => "Find",
            Self::FindByPrefix(..) => "FindByPrefix",
            Self::Events { .. } => "Events",
            Self::Definition(_) => "Definition",
            Self::Count(..) => "Count",
            Self::PutRecord(_) => "PutRecord",
            Self::GetRecord(_) => "GetRecord",
            Self::ListRecords(_) => "ListRecords",
            Self::DeleteRecord(..) => "DeleteRecord",
            Self::Post(_) => "Post",
            Self::Pending(..) => "Pending",
            Self::Outcome(..) => "Outcome",
            Self::ForgetOutcomes(_) => "ForgetOutcomes",
        }
    }
}

/// What a store answered.
#[derive(Debug, PartialEq)]
struct Answer {
    /// `ok`, `nothing` or the kind of an error.
    sort: &'static str,
    whole: String,
    outcomes: Vec<CommitOutcome>,
    creation: Option<Creation>,
    put: Option<Put>,
}

impl Answer {
    fn of<T: Debug>(answer: Result<T, StoreError>) -> Self {
        let (sort, whole) = match answer {
            Ok(value) => {
                let whole = format!("{value:?}");
                (
                    if ["None", "[]", "([], false)", "{}", "false", "0"].contains(&whole.as_str()) {
                        "nothing"
                    } else {
                        "ok"
                    },
                    whole,
                )
            }
            Err(error) => (kind(&error), String::new()),
        };
        Self { sort, whole, outcomes: Vec::new(), creation: None, put: None }
    }
}

const fn kind(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Permanent(_) => "permanent",
        StoreError::Corrupt(_) => "corrupt",
        StoreError::BadCursor => "bad cursor",
        StoreError::InUse(_) => "in use",
    }
}

async fn ask(store: &Stores, operation: &Operation, cursor: &mut Option<String>) -> Answer {
    match operation.clone() {
        Operation::Create(new) => {
            let created = store.runs.create(*new).await;
            let creation = created.as_ref().ok().copied();
            let answer = Answer::of(created);
            let sort = match creation {
                Some(Creation::Exists(_)) => "exists",
                Some(Creation::KeyHeld(_)) => "key held",
                Some(Creation::Created) | None => answer.sort,
            };
            Answer { creation, sort, ..answer }
        }
        Operation::Commit(commits) => {
            let answer = store.runs.commit(commits).await;
            let outcomes = answer.clone().unwrap_or_default();
            let sort = if outcomes.contains(&CommitOutcome::Refused) { Some("refused") } else { None };
            let answer = Answer::of(answer);
            Answer { outcomes, sort: sort.unwrap_or(answer.sort), ..answer }
        }
        Operation::Claim(run, claimer) => {
            let claimed = store.runs.claim(run, claimer).await;
            let answer = Answer::of(claimed.clone());
            let sort = match claimed {
                Ok(ClaimOutcome::TooNew(_)) => "too new",
                Ok(ClaimOutcome::NotFound) => "nothing",
                Ok(ClaimOutcome::Claimed(_)) | Err(_) => answer.sort,
            };
            Answer { sort, ..answer }
        }
        Operation::Due(query) => Answer::of(store.runs.due(query).await),
        Operation::SaveSnapshot(run, snapshot) => Answer::of(store.runs.save_snapshot(run, snapshot).await),
        Operation::Snapshot(run) => Answer::of(store.runs.snapshot(run).await),
        Operation::Put(run, bytes) => Answer::of(store.payloads.put(run, bytes).await),
        Operation::Get(run, at) => Answer::of(store.payloads.get(run, at).await),
        Operation::List { mut query, goes_on } => {
            if goes_on {
                query.cursor = cursor.take();
            }
            let page = store.query.list(query).await;
            if let Ok(page) = &page {
                cursor.clone_from(&page.next);
            }
            Answer::of(page.map(|page| (page.runs, page.next.is_some())))
        }
        Operation::Find(namespace, run) => Answer::of(store.query.find(&namespace, run).await),
        Operation::FindByPrefix(namespace, prefix, limit) => {
            Answer::of(store.query.find_by_prefix(&namespace, &prefix, limit).await)
        }
        Operation::Events { run, from, limit } => Answer::of(store.query.events(run, from, limit).await),
        Operation::Definition(hash) => Answer::of(store.query.definition(hash).await),
        Operation::Count(namespace, filter) => Answer::of(store.query.count(&namespace, &filter).await),
        Operation::PutRecord(record) => {
            let put = store.records.put(record).await;
            let answer = Answer::of(put.clone());
            let sort = if matches!(put, Ok(Put::Conflict(_))) { "conflict" } else { answer.sort };
            Answer { put: put.ok(), sort, ..answer }
        }
        Operation::GetRecord(key) => Answer::of(store.records.get(&key).await),
        Operation::ListRecords(query) => Answer::of(store.records.list(query).await),
        Operation::DeleteRecord(key, revision) => Answer::of(store.records.delete(&key, revision).await),
        Operation::Post(item) => Answer::of(store.inbox.post(item).await),
        Operation::Pending(slots, limit) => Answer::of(store.inbox.pending(&slots, limit).await),
        Operation::Outcome(run, request) => Answer::of(store.inbox.outcome(run, request).await),
        Operation::ForgetOutcomes(before) => Answer::of(store.inbox.forget_outcomes(before).await),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tutti_adapters_memory::MemoryStore;

    use super::*;
    use crate::given::new_run;

    #[tokio::test]
    async fn a_store_answers_as_itself() {
        let [a, b] = [(); 2].map(|()| Stores::of(Arc::new(MemoryStore::new())));
        let answers = compare(&a, &b, 1, 500).await;
        assert_eq!(answers.values().sum::<usize>(), 500);
    }

    #[tokio::test]
    #[should_panic(expected = "seed 1, operation ")]
    async fn a_difference_is_found() {
        let [a, b] = [(); 2].map(|()| Stores::of(Arc::new(MemoryStore::new())));
        b.runs.create(new_run(RUNS)).await.unwrap();
        compare(&a, &b, 1, 500).await;
    }
}
