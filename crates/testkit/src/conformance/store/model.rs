//! Random calls, compared with the plainest model of a store's guard.

use std::collections::HashMap;

use tutti_core::ids::RunId;
use tutti_core::ports::store::{Claimer, Commit, CommitOutcome, Creation, NewRun};

use super::Subject;
use crate::given::{READS, commit, new_run, run_id};

/// Few runs, so that calls meet.
const RUNS: u64 = 4;
const WALKS: u64 = 20;
const CALLS: usize = 150;

#[derive(Debug, Clone)]
struct Guard {
    epoch: u64,
    last_seq: u64,
    claims: u32,
    last: u128,
    epochs: Vec<u64>,
}

/// A small generator of its own (xorshift64*): walks are the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

pub async fn random_walks_match_the_model(store: Subject) {
    for walk in 0..WALKS {
        let mut chance = Chance(walk * 2 + 1);
        let mut model: HashMap<RunId, Guard> = HashMap::new();
        let mut sent: Vec<Commit> = Vec::new();
        for _ in 0..CALLS {
            let n = walk * RUNS + chance.below(RUNS) + 1;
            match chance.below(8) {
                0 => create(&store, &mut model, n).await,
                1 => claim(&store, &mut model, run_id(n), chance.below(3) == 0).await,
                _ => {
                    let first = walk * RUNS + 1;
                    let runs = (first..first + RUNS).filter(|_| chance.below(2) == 0).collect::<Vec<_>>();
                    let commits = runs.into_iter().map(|n| pick(&mut chance, &model, &sent, run_id(n))).collect();
                    sent.extend(apply(&store, &mut model, commits).await);
                }
            }
        }
        for (run, guard) in model {
            let epochs: Vec<u64> = store.history(run).await.iter().map(|stored| stored.epoch).collect();
            assert_eq!(epochs, guard.epochs, "in walk {walk}");
        }
    }
}

async fn create(store: &Subject, model: &mut HashMap<RunId, Guard>, n: u64) {
    let new = NewRun { ..new_run(n) };
    let (run, commit_id) = (new.run, new.commit_id);
    let expected = if model.contains_key(&run) { Creation::Exists(run) } else { Creation::Created };
    assert_eq!(store.runs.create(new).await, Ok(expected));
    let fresh = Guard { epoch: 1, last_seq: 2, claims: 0, last: commit_id, epochs: vec![1, 1] };
    model.entry(run).or_insert(fresh);
}

async fn claim(store: &Subject, model: &mut HashMap<RunId, Guard>, run: RunId, again: bool) {
    let claimed = store.runs.claim(run, Claimer { again, ..READS }).await.unwrap().claimed();
    let expected = model.get_mut(&run).map(|guard| {
        guard.epoch += 1;
        guard.claims = if again { guard.claims.max(1) } else { guard.claims + 1 };
        (guard.epoch, guard.claims, guard.last_seq)
    });
    assert_eq!(claimed.map(|claim| (claim.epoch, claim.claims, claim.last_seq)), expected);
}

/// A good commit, one that is wrong in something, or one that was sent before.
fn pick(chance: &mut Chance, model: &HashMap<RunId, Guard>, sent: &[Commit], run: RunId) -> Commit {
    let (epoch, last_seq) = model.get(&run).map_or((1, 0), |guard| (guard.epoch, guard.last_seq));
    let count = chance.below(4);
    match chance.below(8) {
        0 => commit(run, epoch.saturating_sub(1), last_seq, count),
        1 => commit(run, epoch, last_seq.saturating_sub(1), count),
        2 => commit(run, epoch + 1, last_seq + 1, count),
        3 | 4 => match sent.iter().rev().find(|commit| commit.run == run) {
            Some(before) => before.clone(),
            None => commit(run, epoch, last_seq, count),
        },
        _ => commit(run, epoch, last_seq, count),
    }
}

async fn apply(store: &Subject, model: &mut HashMap<RunId, Guard>, commits: Vec<Commit>) -> Vec<Commit> {
    let mut expected = Vec::new();
    for commit in &commits {
        expected.push(match model.get_mut(&commit.run) {
            Some(guard) if guard.last_seq == commit.expected && guard.epoch == commit.epoch => {
                guard.last_seq += commit.events.len() as u64;
                guard.epochs.resize(guard.last_seq as usize, commit.epoch);
                guard.last = commit.commit_id;
                guard.claims = 0;
                CommitOutcome::Committed
            }
            Some(guard) if guard.last == commit.commit_id => CommitOutcome::Committed,
            _ => CommitOutcome::Refused,
        });
    }
    assert_eq!(store.commit_all(commits.clone()).await, expected);
    commits
}
