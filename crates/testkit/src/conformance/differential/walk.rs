//! The operations of a seed.

mod inbox;

use std::collections::BTreeMap;

use bytes::Bytes;
use tutti_core::ids::{LabelName, Namespace, RequestId, RunId, RunKey, SessionId};
use tutti_core::ports::filter::{Condition, RunFilter, Term};
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey, RecordKind};
use tutti_core::ports::store::{
    Claimer, Commit, CommitOutcome, Creation, Due, DueRuns, EncodedEvent, KeyClaim, NewRun, Snapshot, Wake,
};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, PayloadRef};

use super::{Answer, Operation, RUNS};
use crate::given::{new_run, run_id, summary};
use crate::sim::Rng;

const STATUSES: [RunStatus; 4] = [RunStatus::Pending, RunStatus::Running, RunStatus::Completed, RunStatus::Failed];
const TEXTS: [&str; 5] = ["plain", "odd \u{1F980} \"text\"\n", "", "a\0b", "'--"];
const NAMES: [&str; 6] = ["a", "a/1", "a/2", "b", "\u{ffff}", "\u{1f980}"];

/// Draws operations, most of which fit what the stores hold.
pub(super) struct Walk {
    rng: Rng,
    /// Epoch and last sequence number of the runs that exist.
    known: BTreeMap<RunId, (u64, u64)>,
    sent: Vec<Commit>,
    payloads: Vec<(RunId, PayloadRef)>,
    /// Last run that took each key.
    holders: BTreeMap<(Namespace, RunKey), RunId>,
    /// Revisions of the documents that were written.
    revisions: BTreeMap<RecordKey, u64>,
    /// Items that were posted.
    posted: u64,
}

impl Walk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            known: BTreeMap::new(),
            sent: Vec::new(),
            payloads: Vec::new(),
            holders: BTreeMap::new(),
            revisions: BTreeMap::new(),
            posted: 0,
        }
    }

    pub(super) fn draw(&mut self) -> Operation {
        match self.rng.below(38) {
            0..=3 => Operation::Create(Box::new(self.new_run())),
            4..=9 => self.commits(),
            10 | 11 => {
                let (reads, again) = (self.rng.below(10) as u16, self.rng.percent(30));
                Operation::Claim(self.run(), Claimer { reads, again })
            }
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
            23 => Operation::Definition(self.definition().0),
            24 => Operation::Count(self.namespace(), self.filter()),
            25..=27 => {
                let (key, revision) = self.record();
                Operation::PutRecord(Record { key, revision, blob: self.bytes() })
            }
            28 => Operation::GetRecord(self.record().0),
            29 | 30 => self.list_records(),
            31 => {
                let (key, revision) = self.record();
                Operation::DeleteRecord(key, revision)
            }
            _ => self.inbox(),
        }
    }

    pub(super) fn learn(&mut self, operation: &Operation, answer: &Answer) {
        match operation {
            Operation::Create(new) if answer.creation == Some(Creation::Created) => {
                self.known.insert(new.run, (1, new.events.len() as u64));
                if let Some(claim) = &new.key {
                    self.holders.insert((new.namespace.clone(), claim.key.clone()), new.run);
                }
            }
            Operation::Claim(run, _) if answer.sort == "ok" => {
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
            Operation::PutRecord(record) => {
                if let Some(Put::Stored(revision)) = answer.put {
                    self.revisions.insert(record.key.clone(), revision);
                }
            }
            Operation::DeleteRecord(key, _) if answer.sort == "ok" => {
                self.revisions.remove(key);
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
            1 => Wake::At(Timestamp::from_micros(1 + self.rng.below(10) as i64)),
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
        let labels = (0..self.rng.below(3)).map(|_| (self.label(), self.text())).collect();
        RunSummary {
            workflow: ["sales", "stock"][usize::from(run.as_uuid().as_bytes()[15] % 2)].parse().unwrap(),
            status: STATUSES[self.rng.below(4) as usize],
            version: self.text(),
            completed: self.rng.below(9) as u32,
            failed: self.rng.below(9) as u32,
            updated_at: Timestamp::from_micros(self.rng.below(1_000_000) as i64),
            ended_at: self.rng.percent(50).then_some(Timestamp::from_micros(5)),
            created_at: Timestamp::from_micros(self.rng.below(10) as i64 - 5),
            error: self.rng.percent(60).then(|| self.text()),
            key: self.rng.percent(40).then(|| self.key()),
            session: self.rng.percent(40).then(|| self.session()),
            labels,
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
        let namespace = self.namespace();
        NewRun {
            key: self.rng.percent(40).then(|| self.claim(&namespace)),
            namespace,
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

    fn claim(&mut self, namespace: &Namespace) -> KeyClaim {
        let key = self.key();
        let from = match self.rng.below(4) {
            0 => None,
            1 => Some(self.run()),
            _ => self.holders.get(&(namespace.clone(), key.clone())).copied(),
        };
        KeyClaim { key, from }
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
            consumed: self.consumed(),
            min_reader: self.rng.below(5) as u16,
        }
    }

    fn due(&mut self) -> Operation {
        let ends = [0, 300, 700, tutti_core::limits::SLOTS];
        let (one, two) = (ends[self.rng.below(4) as usize], ends[self.rng.below(4) as usize]);
        let after = self.rng.percent(40).then(|| run_id(1 + self.rng.clone().below(RUNS)));
        let until = Timestamp::from_micros(self.rng.below(12) as i64);
        Operation::Due(DueRuns {
            slots: (one.min(two)..one.max(two)).collect(),
            due: if self.rng.percent(50) { Due::Active(after) } else { Due::Until(until) },
            reads: self.rng.below(8) as u16,
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
        let terms = (0..self.rng.below(4)).map(|_| Term { not: self.rng.percent(40), is: self.condition() });
        RunFilter { terms: terms.collect() }
    }

    fn condition(&mut self) -> Condition {
        match self.rng.below(8) {
            0 => Condition::State((0..self.rng.below(4)).map(|_| STATUSES[self.rng.below(4) as usize]).collect()),
            1 => Condition::Workflow(
                ["sales", "stock"][..self.rng.below(3) as usize].iter().map(|id| id.parse().unwrap()).collect(),
            ),
            2 => Condition::Version(self.text()),
            3 => Condition::Session(self.session()),
            4 => Condition::Key(self.key()),
            5 => Condition::Label(self.label(), self.text()),
            6 => Condition::Since(Timestamp::from_micros(self.rng.below(12) as i64 - 6)),
            _ => Condition::Until(Timestamp::from_micros(self.rng.below(12) as i64 - 6)),
        }
    }

    fn text(&mut self) -> String {
        TEXTS[self.rng.below(TEXTS.len() as u64) as usize].to_owned()
    }

    fn key(&mut self) -> RunKey {
        ["k", "K", "'%"][self.rng.below(3) as usize].parse().unwrap()
    }

    fn session(&mut self) -> SessionId {
        ["s", "S"][self.rng.below(2) as usize].parse().unwrap()
    }

    fn label(&mut self) -> LabelName {
        ["l", "L", "l.m"][self.rng.below(3) as usize].parse().unwrap()
    }

    /// The key of a document, and mostly its revision.
    fn record(&mut self) -> (RecordKey, u64) {
        let key = RecordKey {
            kind: RecordKind::ALL[self.rng.below(2) as usize],
            namespace: self.namespace(),
            name: NAMES[self.rng.below(NAMES.len() as u64) as usize].to_owned(),
        };
        let revision = self.near(self.revisions.get(&key).copied().unwrap_or(0));
        (key, revision)
    }

    fn list_records(&mut self) -> Operation {
        let (key, _) = self.record();
        Operation::ListRecords(ListRecords {
            kind: key.kind,
            namespace: key.namespace,
            prefix: ["", "", "a", "a/", "\u{1f980}"][self.rng.below(5) as usize].to_owned(),
            after: self.rng.percent(40).then_some(key.name),
            limit: [0, 1, 3, usize::MAX][self.rng.below(4) as usize],
        })
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
