//! Two stores are asked the same, and must answer the same.

#![expect(clippy::unwrap_used, reason = "a difference is told by panicking; the names are good")]

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use tutti_core::ids::{Namespace, RequestId, RunId};
use tutti_core::ports::filter::{Condition, RunFilter, Term};
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::ports::store::{
    Commit, CommitOutcome, Creation, DueRuns, EncodedEvent, NewRun, Snapshot, StoreError, Wake,
};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, PayloadRef};

use crate::given::{new_run, run_id, summary};
use crate::sim::Rng;
use crate::stores::Stores;

/// Few runs, so that operations meet.
const RUNS: u64 = 12;

/// Asks two empty stores the same random operations of a seed and compares the answers: writes that fit, that are stale,
/// wrong or repeated, claims, snapshots, payloads, and every way to read, in pages. Of errors the kind is compared, of page
/// cursors whether there is one.
///
/// Gives how often each operation had which sort of answer, so that a caller can see that nothing was left out.
///
/// # Panics
/// At the first difference, naming the seed and the operation.
pub async fn differential(a: &Stores, b: &Stores, seed: u64, operations: usize) -> BTreeMap<String, usize> {
    let mut walk = Walk { rng: Rng::new(seed), known: BTreeMap::new(), sent: Vec::new(), payloads: Vec::new() };
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

/// Something that a store is asked.
#[derive(Debug, Clone)]
enum Operation {
    Create(Box<NewRun>),
    Commit(Vec<Commit>),
    Claim(RunId),
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
}

impl Operation {
    const fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "Create",
            Self::Commit(_) => "Commit",
            Self::Claim(_) => "Claim",
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
}

impl Answer {
    fn of<T: Debug>(answer: Result<T, StoreError>) -> Self {
        let (sort, whole) = match answer {
            Ok(value) => {
                let whole = format!("{value:?}");
                (if ["None", "[]", "([], false)"].contains(&whole.as_str()) { "nothing" } else { "ok" }, whole)
            }
            Err(error) => (kind(&error), String::new()),
        };
        Self { sort, whole, outcomes: Vec::new(), creation: None }
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
            let sort = if matches!(creation, Some(Creation::Exists(_))) { Some("exists") } else { None };
            let answer = Answer::of(created);
            Answer { creation, sort: sort.unwrap_or(answer.sort), ..answer }
        }
        Operation::Commit(commits) => {
            let answer = store.runs.commit(commits).await;
            let outcomes = answer.clone().unwrap_or_default();
            let sort = if outcomes.contains(&CommitOutcome::Refused) { Some("refused") } else { None };
            let answer = Answer::of(answer);
            Answer { outcomes, sort: sort.unwrap_or(answer.sort), ..answer }
        }
        Operation::Claim(run) => Answer::of(store.runs.claim(run).await),
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
    }
}

/// Draws operations, most of which fit what the stores hold.
struct Walk {
    rng: Rng,
    /// Epoch and last sequence number of the runs that exist.
    known: BTreeMap<RunId, (u64, u64)>,
    sent: Vec<Commit>,
    payloads: Vec<(RunId, PayloadRef)>,
}

impl Walk {
    fn draw(&mut self) -> Operation {
        match self.rng.below(24) {
            0..=3 => Operation::Create(Box::new(self.new_run())),
            4..=9 => self.commits(),
            10 | 11 => Operation::Claim(self.run()),
            12 => self.due(),
            13 => {
                let run = self.run();
                let seq = self.near(self.known.get(&run).map_or(0, |(_, last_seq)| *last_seq));
                let snapshot = Snapshot { seq, schema: self.rng.below(3) as u16, blob: self.bytes() };
                Operation::SaveSnapshot(run, snapshot)
            }
            14 => Operation::Snapshot(self.run()),
            15 => {
                let (run, bytes) = (self.run(), self.bytes());
                self.payloads.push((run, PayloadRef::to(&bytes)));
                Operation::Put(run, bytes)
            }
            16 => self.get(),
            17 | 18 => self.list(),
            19 => Operation::Find(self.namespace(), self.run()),
            20 => self.find_by_prefix(),
            21 | 22 => {
                let (run, from) = (self.run(), 1 + self.rng.below(12));
                let limit = [0, 1, 3, usize::MAX][self.rng.below(4) as usize];
                Operation::Events { run, from, limit }
            }
            _ => Operation::Definition(self.definition().0),
        }
    }

    fn learn(&mut self, operation: &Operation, answer: &Answer) {
        match operation {
            Operation::Create(new) if answer.creation == Some(Creation::Created) => {
                self.known.insert(new.run, (1, new.events.len() as u64));
            }
            Operation::Claim(run) => {
                self.known.entry(*run).and_modify(|(epoch, _)| *epoch += 1);
            }
            Operation::Commit(commits) => {
                for (commit, outcome) in commits.iter().zip(&answer.outcomes) {
                    let last = commit.expected + commit.events.len() as u64;
                    if let (CommitOutcome::Committed, Some(known)) = (outcome, self.known.get_mut(&commit.run)) {
                        known.1 = known.1.max(last);
                    }
                }
                self.sent.extend(commits.iter().cloned());
            }
            _ => {}
        }
    }

    fn run(&mut self) -> RunId {
        run_id(1 + self.rng.below(RUNS))
    }

    /// Mostly the number itself, sometimes one beside it.
    fn near(&mut self, number: u64) -> u64 {
        match self.rng.below(8) {
            0 => number.saturating_sub(1),
            1 => number + 1,
            _ => number,
        }
    }

    fn namespace(&mut self) -> Namespace {
        ["default", "other"][self.rng.below(2) as usize].parse().unwrap()
    }

    fn definition(&mut self) -> (Digest, Bytes) {
        let bytes = Bytes::from(format!("workflow {}", self.rng.below(4)));
        (Digest::of(&bytes), bytes)
    }

    fn bytes(&mut self) -> Bytes {
        let length = [0, 1, 40, 9_000][self.rng.below(4) as usize];
        let first = self.rng.next();
        (0..length).map(|i| (first >> (i % 57)) as u8).collect()
    }

    fn wake(&mut self) -> Wake {
        match self.rng.below(4) {
            0 => Wake::Active,
            1 => Wake::At(Timestamp::from_micros(self.rng.below(10) as i64)),
            2 => Wake::OnInput,
            _ => Wake::Never,
        }
    }

    fn events(&mut self, from: u64) -> Vec<EncodedEvent> {
        let count = self.rng.below(4);
        let gap = u64::from(self.rng.percent(3));
        (from + gap..from + gap + count)
            .map(|seq| EncodedEvent {
                seq,
                at: Timestamp::from_micros(self.rng.below(1_000) as i64 - 500),
                kind: self.rng.below(60) as u16,
                version: 1 + self.rng.below(3) as u16,
                blob: self.bytes(),
            })
            .collect()
    }

    /// The workflow of a run stays; whatever changes in the life of a run is drawn.
    fn summary(&mut self, run: RunId) -> RunSummary {
        let statuses = [RunStatus::Pending, RunStatus::Running, RunStatus::Completed, RunStatus::Failed];
        let error = ["", "odd \u{1F980} \"text\"\n", "plain"][self.rng.below(3) as usize];
        RunSummary {
            workflow: ["sales", "stock"][usize::from(run.as_uuid().as_bytes()[15] % 2)].parse().unwrap(),
            status: statuses[self.rng.below(4) as usize],
            completed: self.rng.below(9) as u32,
            failed: self.rng.below(9) as u32,
            updated_at: Timestamp::from_micros(self.rng.below(1_000_000) as i64),
            ended_at: self.rng.percent(50).then_some(Timestamp::from_micros(5)),
            error: (!error.is_empty()).then(|| error.to_owned()),
            ..summary(run)
        }
    }

    fn new_run(&mut self) -> NewRun {
        let n = 1 + self.rng.below(RUNS);
        let run = run_id(n);
        let definition = match self.rng.below(30) {
            0 => (Digest::of(b"something else"), Bytes::from_static(b"workflow")),
            _ => self.definition(),
        };
        let request = if self.rng.percent(10) { 1 + self.rng.below(RUNS) } else { n };
        NewRun {
            namespace: self.namespace(),
            request: RequestId::from_u128(u128::from(request)),
            summary: RunSummary { definition: definition.0, ..self.summary(run) },
            definition,
            events: self.events(1),
            wake: self.wake(),
            min_reader: self.rng.below(5) as u16,
            commit_id: self.rng.bits(),
            ..new_run(n)
        }
    }

    fn commits(&mut self) -> Operation {
        let mut commits: Vec<Commit> = Vec::new();
        for _ in 0..self.rng.below(4) {
            let run = self.run();
            if commits.iter().any(|commit| commit.run == run) && !self.rng.percent(5) {
                continue;
            }
            let before = self.sent.iter().rev().find(|commit| commit.run == run).cloned();
            let repeats = self.rng.percent(15);
            let commit = before.filter(|_| repeats).unwrap_or_else(|| self.commit(run));
            commits.push(commit);
        }
        Operation::Commit(commits)
    }

    fn commit(&mut self, run: RunId) -> Commit {
        let (epoch, last_seq) = self.known.get(&run).copied().unwrap_or((1, 0));
        let expected = self.near(last_seq);
        Commit {
            run,
            epoch: self.near(epoch),
            expected,
            commit_id: self.rng.bits(),
            events: self.events(expected + 1),
            summary: if self.rng.percent(40) { Some(self.summary(run)) } else { None },
            wake: self.wake(),
            min_reader: self.rng.below(5) as u16,
        }
    }

    fn due(&mut self) -> Operation {
        let ends = [0, 300, 700, tutti_core::limits::SLOTS];
        let (one, two) = (ends[self.rng.below(4) as usize], ends[self.rng.below(4) as usize]);
        Operation::Due(DueRuns {
            slots: one.min(two)..one.max(two),
            now: Timestamp::from_micros(self.rng.below(12) as i64),
            after: self.rng.percent(40).then(|| run_id(1 + self.rng.clone().below(RUNS))),
            limit: [0, 1, 3, usize::MAX][self.rng.below(4) as usize],
        })
    }

    fn get(&mut self) -> Operation {
        let unknown = (run_id(1), PayloadRef::to(b"never put"));
        let at = self.rng.below(self.payloads.len() as u64 + 1) as usize;
        let (run, at) = self.payloads.get(at).copied().unwrap_or(unknown);
        Operation::Get(if self.rng.percent(20) { self.run() } else { run }, at)
    }

    fn list(&mut self) -> Operation {
        let query = ListRuns {
            namespace: self.namespace(),
            filter: self.filter(),
            limit: [0, 1, 2, 5, 5_000][self.rng.below(5) as usize],
            cursor: self.rng.percent(5).then(|| "forged".to_owned()),
        };
        Operation::List { goes_on: query.cursor.is_none() && self.rng.percent(50), query }
    }

    fn filter(&mut self) -> RunFilter {
        let mut filter = RunFilter::default();
        if self.rng.percent(50) {
            filter.terms.push(Term { not: self.rng.percent(40), is: self.condition() });
        }
        filter
    }

    fn condition(&mut self) -> Condition {
        let statuses = [RunStatus::Pending, RunStatus::Running, RunStatus::Completed];
        match self.rng.below(2) {
            0 => Condition::State(vec![statuses[self.rng.below(3) as usize]]),
            _ => Condition::Workflow(vec!["sales".parse().unwrap()]),
        }
    }

    fn find_by_prefix(&mut self) -> Operation {
        let id = self.run().to_string();
        let length = self.rng.below(id.len() as u64 + 1) as usize;
        let prefix = match self.rng.below(8) {
            0 => id[..length].to_uppercase(),
            1 => format!("{}%", &id[..length]),
            2 => format!("{}_", &id[..length]),
            _ => id[..length].to_owned(),
        };
        let limit = [0, 1, 3, usize::MAX][self.rng.below(4) as usize];
        Operation::FindByPrefix(self.namespace(), prefix, limit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tutti_adapters_memory::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn a_store_answers_as_itself() {
        let [a, b] = [(); 2].map(|()| Stores::of(Arc::new(MemoryStore::new())));
        let answers = differential(&a, &b, 1, 500).await;
        assert_eq!(answers.values().sum::<usize>(), 500);
    }

    #[tokio::test]
    #[should_panic(expected = "seed 1, operation ")]
    async fn a_difference_is_found() {
        let [a, b] = [(); 2].map(|()| Stores::of(Arc::new(MemoryStore::new())));
        b.runs.create(new_run(RUNS)).await.unwrap();
        differential(&a, &b, 1, 500).await;
    }
}
