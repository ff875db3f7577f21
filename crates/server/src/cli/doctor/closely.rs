//! One run, closely: its history, what is kept beside it, its payloads.

use std::sync::Arc;
use std::time::Duration;

use tutti_core::ids::RunId;
use tutti_core::invariants::{HistoryCheck, Violation, check_glance, check_kept, epochs_never_fall};
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::plan::Plan;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inspect::{Inspect, KeptRun};
use tutti_core::ports::query::RunSummary;
use tutti_core::ports::store::{Snapshot, StoreError, StoredEvent};
use tutti_core::report::rfc3339;
use tutti_core::run::{Event, FORMAT, Phase, Recorded, RunState, SNAPSHOT_SCHEMA, decode, decode_state};
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, Payload, PayloadRef};

use super::runs::LATE;
use crate::clock::SystemClock;
use crate::store::Reader;

/// How far in the future a run may have been created or changed before the clock is doubted.
const AHEAD: Duration = Duration::from_secs(60);

/// Checks runs one after another.
pub(super) struct Checker<'l> {
    reader: &'l Reader,
    store: &'l dyn Inspect,
    /// The plan that was needed last.
    plan: Option<(Digest, Arc<Plan>)>,
}

/// What was found out about one run.
#[derive(Default)]
pub(super) struct Verdict {
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// Payloads that are there.
    pub payloads: usize,
    /// An attempt or the run itself should have ended long ago.
    pub late: Option<String>,
    /// Needs a newer build.
    pub too_new: bool,
}

impl<'l> Checker<'l> {
    pub(super) fn new(reader: &'l Reader, store: &'l dyn Inspect) -> Self {
        Self { reader, store, plan: None }
    }

    /// Checks a run.
    ///
    /// # Errors
    /// A store that cannot be read any more.
    pub(super) async fn check(&mut self, run: RunId) -> Result<Verdict, StoreError> {
        let mut verdict = Verdict::default();
        let kept = match self.store.kept(run).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(verdict),
            Err(error) => return damage(verdict, error),
        };
        match self.history(&kept, &mut verdict).await {
            Ok(()) => Ok(verdict),
            Err(error) => damage(verdict, error),
        }
    }

    /// Folds the events of a run up to what its guard says, page by page.
    async fn history(&mut self, kept: &KeptRun, verdict: &mut Verdict) -> Result<(), StoreError> {
        let glance = &kept.glance;
        verdict.violations = check_glance(glance);
        let (Some(guard), Some(line)) = (&glance.guard, &kept.line) else { return Ok(()) };
        if guard.min_reader > i64::from(FORMAT) {
            verdict.too_new = true;
            return Ok(());
        }
        ahead(line.created_at.max(line.updated_at), verdict);
        let plan = match self.plan(line).await? {
            Ok(plan) => plan,
            Err(why) => {
                verdict.violations.push(Violation { invariant: "definition_is_kept", detail: why });
                return Ok(());
            }
        };
        let run = glance.run;
        let end = u64::try_from(guard.last_seq.max(glance.last_event.unwrap_or(0))).unwrap_or(0);
        let mut check = HistoryCheck::new(plan);
        let mut before: Option<StoredEvent> = None;
        let mut from = 1;
        while from <= end {
            let mut page = self.reader.query.events(run, from, EVENTS_PAGE).await?;
            page.retain(|event| event.event.seq <= end);
            let Some(last) = page.last().cloned() else { break };
            let joined: Vec<StoredEvent> = before.take().into_iter().chain(page).collect();
            if let Err(violation) = epochs_never_fall(&joined) {
                verdict.violations.push(violation);
            }
            for stored in joined.iter().filter(|stored| stored.event.seq >= from) {
                let recorded = decode(&stored.event).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                if let Err(violation) = check.next(&recorded) {
                    verdict.violations.push(violation);
                    return Ok(());
                }
                self.values(run, &recorded, verdict).await?;
                if let Some(snapshot) = kept.snapshot.as_ref().filter(|kept| kept.seq == recorded.seq) {
                    snapshot_agrees(snapshot, check.state(), verdict);
                }
            }
            from = last.event.seq + 1;
            before = Some(last);
        }
        match check.end() {
            Ok(state) => {
                verdict.violations.extend(check_kept(kept, &state));
                verdict.late = late(&state);
            }
            Err(violation) => verdict.violations.push(violation),
        }
        Ok(())
    }

    /// The plan of a run, or why there is none.
    async fn plan(&mut self, line: &RunSummary) -> Result<Result<Arc<Plan>, String>, StoreError> {
        if let Some((_, plan)) = self.plan.as_ref().filter(|(hash, _)| *hash == line.definition) {
            return Ok(Ok(plan.clone()));
        }
        // Whether the store can be read is one question, what it holds another.
        self.reader.query.definition(line.definition).await.or_else(corrupt_is_none)?;
        Ok(match self.reader.plan(line).await {
            Ok(plan) => {
                self.plan = Some((line.definition, plan.clone()));
                Ok(plan)
            }
            Err(failure) => Err(failure.message().to_owned()),
        })
    }

    /// Whether the values that an event keeps beside the history are there.
    async fn values(&self, run: RunId, recorded: &Recorded, verdict: &mut Verdict) -> Result<(), StoreError> {
        for at in payloads(&recorded.event) {
            let why = match self.reader.payloads.get(run, at).await {
                Ok(Some(content)) if content.len() as u64 == at.len => {
                    verdict.payloads += 1;
                    continue;
                }
                Ok(Some(content)) => format!("has {} bytes instead of {}", content.len(), at.len),
                Ok(None) => "is not in the store".to_owned(),
                Err(StoreError::Corrupt(why)) => why,
                Err(error) => return Err(error),
            };
            let detail = format!("payload {} of event {} {why}", at.hash, recorded.seq);
            verdict.violations.push(Violation { invariant: "payloads_are_kept", detail });
        }
        Ok(())
    }
}

pub(super) fn unreadable(why: String) -> Violation {
    Violation { invariant: "what_is_kept_can_be_read", detail: why }
}

/// What was found so far, if it is the run that cannot be read and not the store.
fn damage(mut verdict: Verdict, error: StoreError) -> Result<Verdict, StoreError> {
    match error {
        StoreError::Corrupt(why) => {
            verdict.violations.push(unreadable(why));
            Ok(verdict)
        }
        error => Err(error),
    }
}

/// Nothing, if it is what was asked for that cannot be read and not the store.
pub(super) fn corrupt_is_none<T>(error: StoreError) -> Result<Option<T>, StoreError> {
    if let StoreError::Corrupt(_) = error { Ok(None) } else { Err(error) }
}

/// A run from the future: the clock was set back, or is wrong now.
fn ahead(at: Timestamp, verdict: &mut Verdict) {
    let ahead = at.since(SystemClock.now());
    if ahead > AHEAD {
        let detail = format!("it is {} s in the future", ahead.as_secs());
        verdict.violations.push(Violation { invariant: "clocks_agree", detail });
    }
}

/// A snapshot is what the events up to it fold to; one of another schema is not read by anybody here.
fn snapshot_agrees(snapshot: &Snapshot, folded: Option<&RunState>, verdict: &mut Verdict) {
    let Some(folded) = folded else { return };
    if snapshot.schema != SNAPSHOT_SCHEMA {
        return;
    }
    if decode_state(folded.plan(), snapshot).as_ref() != Some(folded) {
        let detail = format!("the snapshot of event {} is not what the events fold to", snapshot.seq);
        verdict.violations.push(Violation { invariant: "snapshot_is_the_fold", detail });
    }
}

/// What should have ended by itself long ago: a server that drives the run would have ended it.
fn late(state: &RunState) -> Option<String> {
    let now = SystemClock.now();
    if !state.status().is_open() {
        return None;
    }
    let over = |at: Timestamp| now.since(at) > LATE;
    let attempt = state.steps().iter().enumerate().find_map(|(index, step)| match &step.phase {
        // An answer gives an attempt more time.
        Phase::Open(open) if open.suspended.is_none() && open.answers == 0 => {
            let planned = state.plan().step(u32::try_from(index).ok()?);
            let end = open.started_at.plus(planned.timeout.0);
            over(end)
                .then(|| format!("attempt {} of {} should have ended at {}", step.attempts, planned.id, rfc3339(end)))
        }
        _ => None,
    });
    attempt.or_else(|| over(state.deadline()).then(|| format!("it should have ended at {}", rfc3339(state.deadline()))))
}

/// What an event keeps beside the history.
fn payloads(event: &Event) -> Vec<PayloadRef> {
    let of = |payload: &Payload| match payload {
        Payload::Stored(at) => Some(*at),
        Payload::Inline(_) => None,
    };
    let one = match event {
        Event::RunCreated(created) => of(&created.data),
        Event::RunForked(forked) => return forked.completed.iter().filter_map(|step| of(&step.output)).collect(),
        Event::AttemptSuspended(suspended) => suspended.shown.as_ref().and_then(of),
        Event::SignalReceived(signal) => of(&signal.answer),
        Event::StepCompleted(completed) => of(&completed.output),
        Event::ArtifactRecorded(artifact) => Some(artifact.content),
        _ => None,
    };
    one.into_iter().collect()
}
