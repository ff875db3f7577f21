//! How events and states are kept: a kind, a version, and a blob that begins with a codec and a key id.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::event::{Event, Recorded};
use super::input::Command;
use super::origin::Origin;
use super::state::{Facts, RunState};
use crate::plan::Plan;
use crate::ports::store::{EncodedEvent, Snapshot};
use crate::workflow::Workflow;
use std::sync::Arc;

/// Version of the history format that this build writes.
pub const FORMAT: u16 = 6;

/// Version of the form of states in snapshots; raised whenever the form changes, so that old ones are folded anew.
pub const SNAPSHOT_SCHEMA: u16 = 5;

/// The body is plain JSON. Compressed bodies will have codecs of their own.
const CODEC_JSON: u8 = 0;

/// The body is not encrypted.
const NO_KEY: u16 = 0;

/// Bytes before the body: the codec and the key id.
const HEADER: usize = 3;

/// Why a blob cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Written by a newer build.
    #[error("event {seq} has kind {kind} version {version}, which this build does not know")]
    Unknown {
        /// The event.
        seq: u64,
        /// Its kind.
        kind: u16,
        /// The version of its form.
        version: u16,
    },
    /// Not what an encoder of any version writes.
    #[error("event {seq} cannot be read: {reason}")]
    Damaged {
        /// The event.
        seq: u64,
        /// Why.
        reason: String,
    },
}

macro_rules! kinds {
    ($($kind:literal => $variant:ident),+ $(,)?) => {
        /// The form of an event as it is kept.
        #[must_use]
        pub fn encode(recorded: &Recorded) -> EncodedEvent {
            let (kind, blob) = match &recorded.event { $(Event::$variant(body) => ($kind, wrap(body))),+ };
            EncodedEvent { seq: recorded.seq, at: recorded.at, kind, version: 1, blob }
        }

        /// Reads an event back.
        ///
        /// # Errors
        /// [`CodecError`].
        pub fn decode(stored: &EncodedEvent) -> Result<Recorded, CodecError> {
            let event = match (stored.kind, stored.version) {
                $(($kind, 1) => Event::$variant(unwrap(stored)?),)+
                (kind, version) => return Err(CodecError::Unknown { seq: stored.seq, kind, version }),
            };
            Ok(Recorded { seq: stored.seq, at: stored.at, event })
        }

        impl Event {
            /// The name of this kind of event.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($variant)),+ }
            }

            /// The event as data, for people and programs that look on.
            #[must_use]
            pub fn to_json(&self) -> serde_json::Value {
                let body = match self { $(Self::$variant(body) => serde_json::to_value(body)),+ };
                body.unwrap_or_default()
            }
        }

        /// Numbers and names of all kinds, as they stand in stores.
        pub const KINDS: &[(u16, &str)] = &[$(($kind, stringify!($variant))),+];
    };
}

// Numbers stand in stores: never reuse one, never change one.
kinds! {
    1 => RunCreated,
    2 => RunResumed,
    3 => RunCompleted,
    4 => RunFailed,
    5 => RunCancelled,
    6 => RunQuarantined,
    7 => RunPaused,
    8 => RunTerminated,
    9 => RunReopened,
    10 => RunAdmitted,
    11 => UndoStarted,
    12 => RunRewound,
    13 => RunStuck,
    14 => RunForked,
    15 => PlanRevised,
    20 => CheckpointCreated,
    40 => AttemptStarted,
    41 => TaskAssigned,
    42 => AttemptSuspended,
    43 => AttemptFailed,
    44 => SignalReceived,
    45 => AttemptResumed,
    46 => StepHeld,
    47 => StepDecided,
    48 => WaitOverdue,
    49 => ResultDiscarded,
    50 => ArtifactRecorded,
    60 => StepCompleted,
    61 => StepFailed,
    62 => StepRecovered,
    63 => StepExpanded,
    64 => StepChecked,
    65 => StepOmitted,
    66 => WaitClosed,
    70 => QualityAssessed,
    75 => BudgetWarned,
    76 => BudgetSpent,
    77 => BudgetRaised,
}

/// Oldest format whose readers understand all of these events.
#[must_use]
pub fn min_reader(events: &[Recorded]) -> u16 {
    events.iter().map(|recorded| format_of(&recorded.event)).max().unwrap_or(1)
}

/// The format that brought the queue, and priorities.
pub const QUEUE_FORMAT: u16 = 4;

/// The format that brought what follows failures, and steps that wait.
pub const RECOVERY_FORMAT: u16 = 5;

/// The format that brought judged answers, budgets, and plans that grow while they run.
pub const ORCHESTRATION_FORMAT: u16 = 6;

/// Oldest format whose readers understand a run of this workflow and origin: every member of them that no reader may pass over.
#[must_use]
pub fn format_of_run(workflow: &Workflow, origin: &Origin) -> u16 {
    let of_workflow = match workflow {
        _ if workflow.orchestrates() => ORCHESTRATION_FORMAT,
        _ if workflow.recovers() => RECOVERY_FORMAT,
        _ if !workflow.priority.is_normal() => QUEUE_FORMAT,
        _ => 1,
    };
    of_workflow.max(format_of_origin(origin))
}

const fn format_of_origin(origin: &Origin) -> u16 {
    match origin {
        Origin { quality: Some(_), .. } => ORCHESTRATION_FORMAT,
        Origin { priority, .. } if !priority.is_normal() => QUEUE_FORMAT,
        Origin { timeout: Some(_), .. } => 3,
        _ => 1,
    }
}

/// Oldest format whose readers know a command, and understand what a run records because of it.
#[must_use]
pub const fn format_of_command(command: &Command) -> u16 {
    match command {
        Command::Pause | Command::Terminate | Command::Retry | Command::Signal { .. } => 2,
        Command::Resume | Command::Cancel => 1,
        Command::PauseWork { .. }
        | Command::Checkpoint { .. }
        | Command::Rollback { .. }
        | Command::Decide { .. }
        | Command::Approve { .. } => RECOVERY_FORMAT,
        Command::Patch { .. } | Command::RaiseBudget { .. } => ORCHESTRATION_FORMAT,
    }
}

/// The format that brought the kind of an event, or a member of it that no reader may pass over.
const fn format_of(event: &Event) -> u16 {
    match event {
        Event::RunCreated(created) if created.turn.is_none() => format_of_origin(&created.origin),
        Event::RunCreated(_) | Event::RunAdmitted(_) => QUEUE_FORMAT,
        Event::RunPaused(_)
        | Event::RunTerminated(_)
        | Event::RunReopened(_)
        | Event::SignalReceived(_)
        | Event::AttemptResumed(_) => 2,
        Event::QualityAssessed(_) => ORCHESTRATION_FORMAT,
        Event::AttemptFailed(failed) if failed.uncounted => RECOVERY_FORMAT,
        Event::UndoStarted(_)
        | Event::RunRewound(_)
        | Event::RunStuck(_)
        | Event::RunForked(_)
        | Event::StepHeld(_)
        | Event::StepDecided(_)
        | Event::WaitOverdue(_)
        | Event::ResultDiscarded(_)
        | Event::StepRecovered(_) => RECOVERY_FORMAT,
        Event::StepExpanded(_)
        | Event::StepChecked(_)
        | Event::StepOmitted(_)
        | Event::WaitClosed(_)
        | Event::PlanRevised(_)
        | Event::BudgetWarned(_)
        | Event::BudgetSpent(_)
        | Event::BudgetRaised(_) => ORCHESTRATION_FORMAT,
        _ => 1,
    }
}

/// The body of an event as JSON text, byte for byte as it is kept; for those who pass events on.
///
/// # Errors
/// [`CodecError`].
pub fn body_json(stored: &EncodedEvent) -> Result<&str, CodecError> {
    let damaged = |reason: String| CodecError::Damaged { seq: stored.seq, reason };
    std::str::from_utf8(body(&stored.blob).map_err(damaged)?).map_err(|error| damaged(error.to_string()))
}

/// The blob of an event whose body [`body_json`] gave.
#[must_use]
pub fn blob_of_json(body: &str) -> Bytes {
    let mut blob = BytesMut::with_capacity(HEADER + body.len());
    blob.put_u8(CODEC_JSON);
    blob.put_u16(NO_KEY);
    blob.put_slice(body.as_bytes());
    blob.freeze()
}

/// The name of a kind of event; `None` for one that this build does not know.
#[must_use]
pub fn kind_name(kind: u16) -> Option<&'static str> {
    KINDS.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

/// A state as it is kept.
///
/// # Panics
/// Never: every part of a state serializes.
#[must_use]
pub fn encode_state(state: &RunState) -> Snapshot {
    Snapshot { seq: state.seq(), schema: SNAPSHOT_SCHEMA, blob: wrap(&state.facts) }
}

/// Reads a state back; `None` if it has another form or is of another definition: the history must be folded instead.
#[must_use]
pub fn decode_state(plan: &Arc<Plan>, snapshot: &Snapshot) -> Option<RunState> {
    if snapshot.schema != SNAPSHOT_SCHEMA {
        return None;
    }
    let facts: Facts = serde_json::from_slice(body(&snapshot.blob).ok()?).ok()?;
    let fits = facts.seq == snapshot.seq && facts.created.definition == plan.definition();
    if !fits {
        return None;
    }
    let plan = match &facts.grown {
        None => plan.clone(),
        Some(grown) => super::evolve::regrow(plan, grown)?,
    };
    Some(RunState { plan, facts })
}

fn wrap<T: Serialize + ?Sized>(body: &T) -> Bytes {
    let mut blob = BytesMut::with_capacity(256);
    blob.put_u8(CODEC_JSON);
    blob.put_u16(NO_KEY);
    let mut writer = blob.writer();
    serde_json::to_writer(&mut writer, body).expect("every recorded type serializes into memory");
    writer.into_inner().freeze()
}

fn unwrap<T: DeserializeOwned>(stored: &EncodedEvent) -> Result<T, CodecError> {
    let damaged = |reason: String| CodecError::Damaged { seq: stored.seq, reason };
    let body = body(&stored.blob).map_err(damaged)?;
    serde_json::from_slice(body).map_err(|e| damaged(e.to_string()))
}

fn body(blob: &[u8]) -> Result<&[u8], String> {
    match blob {
        [CODEC_JSON, key_high, key_low, body @ ..] if u16::from_be_bytes([*key_high, *key_low]) == NO_KEY => Ok(body),
        [codec, high, low, ..] => {
            Err(format!("codec {codec} with key {} is not known to this build", u16::from_be_bytes([*high, *low])))
        }
        _ => Err(format!("{} bytes, less than the {HEADER} bytes of the header", blob.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::testing::Given;
    use super::*;
    use crate::run::{evolve, fold};

    #[test]
    fn a_history_and_its_snapshots_read_back() {
        let mut run =
            Given::steps("- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a], critical: true}");
        run.start("a", "x").unwrap();
        run.fail("a", crate::ports::agent::AgentErrorKind::Unavailable, true).unwrap();
        run.start("a", "y").unwrap();
        run.complete("a").unwrap();
        for event in run.history.iter().map(encode) {
            assert_eq!(blob_of_json(body_json(&event).unwrap()), event.blob);
        }
        let half = encode_state(&run.state);
        let seen = run.history.len();
        run.start("b", "x").unwrap();
        run.complete("b").unwrap();

        let again: Vec<Recorded> = run.history.iter().map(|e| decode(&encode(e)).unwrap()).collect();
        assert_eq!(again, run.history);
        let mut state = decode_state(run.state.plan(), &half).unwrap();
        for event in &run.history[seen..] {
            evolve(&mut state, event, &mut Vec::new());
        }
        assert_eq!(Some(state), fold(run.state.plan(), &run.history), "snapshot and tail are the whole");
    }

    /// Histories as each format wrote them, together one event of every kind: they must read the same for ever.
    const GOLDEN: &[&str] = &[
        include_str!("golden/format-1.jsonl"),
        include_str!("golden/format-2.jsonl"),
        include_str!("golden/format-3.jsonl"),
        include_str!("golden/format-4.jsonl"),
        include_str!("golden/format-5.jsonl"),
        include_str!("golden/format-6.jsonl"),
        include_str!("golden/format-6-budget.jsonl"),
    ];

    #[derive(serde::Deserialize)]
    struct GoldenLine {
        seq: u64,
        at: i64,
        kind: u16,
        version: u16,
        body: Box<serde_json::value::RawValue>,
    }

    #[test]
    fn histories_of_every_format_read_and_write_the_same() {
        let mut kinds = std::collections::BTreeSet::new();
        for line in GOLDEN.iter().flat_map(|golden| golden.lines()) {
            let golden: GoldenLine = serde_json::from_str(line).unwrap();
            kinds.insert(golden.kind);
            let blob = [&[CODEC_JSON, 0, 0], golden.body.get().as_bytes()].concat();
            let stored = EncodedEvent {
                seq: golden.seq,
                at: crate::time::Timestamp::from_micros(golden.at),
                kind: golden.kind,
                version: golden.version,
                blob: blob.into(),
            };
            let again = encode(&decode(&stored).unwrap());
            assert_eq!(again, stored, "{}\n{}", line, String::from_utf8_lossy(&again.blob[3..]));
        }
        assert_eq!(kinds, KINDS.iter().map(|(kind, _)| *kind).collect(), "one of every kind");
    }

    #[test]
    fn what_this_build_does_not_know_is_told_apart_from_damage() {
        let run = Given::steps("- {id: a, capability: c}");
        let mut event = encode(&run.history[0]);
        event.kind = 999;
        assert!(matches!(decode(&event), Err(CodecError::Unknown { kind: 999, .. })));
        let mut event = encode(&run.history[0]);
        event.blob = Bytes::from_static(b"\x09\x00\x00{}");
        assert!(matches!(decode(&event), Err(CodecError::Damaged { .. })));
        event.blob = Bytes::new();
        assert!(matches!(decode(&event), Err(CodecError::Damaged { .. })));
    }

    #[test]
    fn kinds_have_distinct_numbers() {
        let mut numbers: Vec<u16> = KINDS.iter().map(|(number, _)| *number).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), KINDS.len());
    }
}
