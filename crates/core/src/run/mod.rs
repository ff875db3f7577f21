//! Runs: inputs are decided into events, events evolve the state. Nothing else changes a run.
//!
//! `decide(state, input, now) → events` may refuse; `evolve(state, event)` cannot fail. [`apply`] joins the two and adds
//! what follows by itself (the end of the run).

mod apply;
mod budget;
mod choice;
mod codec;
mod event;
mod evolve;
mod input;
mod labels;
mod origin;
mod rules;
mod state;
mod status;
mod step;

pub use apply::{Applied, apply, create};
pub use choice::{AgentChoice, ChoiceReason, PassedOver};
pub use codec::{
    CodecError, FORMAT, KINDS, QUEUE_FORMAT, RECOVERY_FORMAT, SNAPSHOT_SCHEMA, blob_of_json, body_json, decode,
    decode_state, encode, encode_state, format_of_command, format_of_run, kind_name, min_reader,
};
pub use event::{
    Afterwards, ArtifactRecorded, AttemptFailed, AttemptResumed, AttemptStarted, AttemptSuspended, BudgetRaised,
    BudgetSpent, BudgetWarned, CheckpointCreated, Event, Failure, ForkedStep, KeptAnswer, QualityAssessed,
    QualityVerdict, Recorded, ResultDiscarded, RunAdmitted, RunCancelled, RunCompleted, RunCreated, RunFailed,
    RunForked, RunPaused, RunQuarantined, RunReopened, RunResumed, RunRewound, RunStuck, RunTerminated, SignalReceived,
    StepCompleted, StepDecided, StepFailed, StepHeld, StepRecovered, TaskAssigned, UndoStarted, Undone, WaitOverdue,
};
pub use evolve::{evolve, fold};
pub use input::{Command, Fault, Input, Order, Point, Refusal, Rejection, Verdict, Work};
pub(crate) use labels::without_asking;
pub use labels::{OWN_LABELS, asking, forked_from};
pub use origin::Origin;
pub use rules::preview as preview_patch;
pub use state::{Held, Judged, OpenAttempt, Phase, RunState, StepState, Undo};
pub(crate) use status::words;
pub use status::{RunStatus, StepStatus};
