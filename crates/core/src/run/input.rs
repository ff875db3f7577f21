//! What may be asked of a run, or observed about it.

use serde::{Deserialize, Serialize};

use crate::budget::Amounts;
use crate::ids::{AgentId, AttemptKey, RequestId, StepPath};
use crate::ports::agent::{AgentError, AgentReport, Need};
use crate::quality::Findings;
use crate::value::{Json, Payload};

use crate::plan::PlanPatch;

use super::choice::AgentChoice;
use super::event::{ArtifactRecorded, RunForked};
use super::status::{RunStatus, words};
use crate::time::Timestamp;

/// Something asked or observed. It may be refused; what is accepted becomes events.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A step that was admitted is about to be asked of an agent.
    StartAttempt {
        /// The step.
        step: StepPath,
        /// Whom.
        agent: AgentId,
        /// Why this one, if several have the capability.
        choice: Option<AgentChoice>,
    },
    /// A step that was admitted cannot be asked of anybody now. Counts as an attempt.
    RefuseAttempt {
        /// The step.
        step: StepPath,
        /// Why.
        error: AgentError,
        /// Chance, 0 to 1, for the jitter of the wait.
        chance: f64,
    },
    /// The agent gave the attempt's task an id.
    NoteTask {
        /// The attempt.
        key: AttemptKey,
        /// The agent's id of the task.
        task: String,
    },
    /// The attempt's task waits for somebody.
    SuspendAttempt {
        /// The attempt.
        key: AttemptKey,
        /// For what.
        need: Need,
        /// What the agent asks.
        message: String,
        /// The moment that a step waits for, if its input holds it.
        until: Option<Timestamp>,
        /// What a person is shown to decide by.
        shown: Option<Payload>,
    },
    /// The attempt succeeded. Payloads it names are in the payload store already.
    CompleteAttempt {
        /// The attempt.
        key: AttemptKey,
        /// The step's output.
        output: Payload,
        /// What came with it.
        artifacts: Vec<ArtifactRecorded>,
        /// Input fields that were left out because their path had no value.
        missing_inputs: Vec<String>,
        /// What the agent told beside its answer.
        report: Option<Box<AgentReport>>,
        /// Steps that the output adds to the plan.
        grows: Option<Box<PlanPatch>>,
        /// What was found out about its quality.
        findings: Option<Box<Findings>>,
    },
    /// The attempt failed.
    FailAttempt {
        /// The attempt.
        key: AttemptKey,
        /// Why.
        error: AgentError,
        /// True if another suitable agent has not been asked in this round.
        other_agent: bool,
        /// Chance, 0 to 1, for the jitter of the wait.
        chance: f64,
    },
    /// The attempt of a step whose question was answered was admitted again.
    ContinueAttempt {
        /// The step.
        step: StepPath,
    },
    /// The moment of a step that waits has come.
    ExpireWait {
        /// The step.
        step: StepPath,
    },
    /// The attempt of a step that holds others found out how often it does so: they begin.
    ExpandStep {
        /// The attempt.
        key: AttemptKey,
        /// The number of the first time.
        first: u32,
        /// How many times.
        count: u32,
    },
    /// The attempt of a step that has a condition found out whether it holds.
    CheckStep {
        /// The attempt.
        key: AttemptKey,
        /// None: it holds. Else why it does not, for people.
        omitted: Option<String>,
    },
    /// The run begins where another one stood. The first input of a run, if it comes.
    ForkRun(Box<RunForked>),
    /// The run leaves the queue.
    AdmitRun,
    /// The run's time is up.
    ExpireRun,
    /// An operator or a client wants something of the run.
    Command {
        /// What.
        command: Command,
        /// Who, why, and by which request.
        order: Order,
    },
    /// The run takes its server down.
    QuarantineRun {
        /// Why.
        reason: String,
    },
}

/// What operators and clients may want of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Nothing is started any more; attempts under way come to their end, and their results count.
    Pause,
    /// The run goes on, also one that was set aside; its time starts anew.
    Resume,
    /// The run ends, and agents are asked to stop what is under way.
    Cancel,
    /// The run ends at once; agents are not asked.
    Terminate,
    /// A failed run goes on with the steps that are not complete; of a stuck one what could not be undone is tried again.
    Retry,
    /// As [`Pause`](Self::Pause), but attempts under way do not come to their end.
    PauseWork {
        /// What becomes of them.
        work: Work,
    },
    /// A named point to which the run can be rolled back.
    Checkpoint {
        /// Its name.
        name: String,
    },
    /// What was done after a point is undone, newest first, and the run goes on from there.
    Rollback {
        /// Where to.
        to: Point,
        /// False: nothing is called; the run is rewound only.
        compensate: bool,
    },
    /// A person says what becomes of a step that is held, or that could not be undone.
    Decide {
        /// The path of the step; empty if only one is held.
        step: String,
        /// What.
        verdict: Verdict,
        /// The output, for a verdict that says that the step is done; in the payload store already if it is large.
        output: Option<Payload>,
    },
    /// A person approves what a step asks, or rejects it.
    Approve {
        /// The path of the step; empty if only one asks.
        step: String,
        /// True: approved.
        approved: bool,
        /// What was filled in.
        data: Option<Json>,
    },
    /// The plan is changed.
    Patch {
        /// How.
        patch: Box<PlanPatch>,
    },
    /// There is more to spend.
    RaiseBudget {
        /// What is added.
        add: Amounts,
    },
    /// A step that waits for somebody gets an answer.
    Signal {
        /// The path of the step; empty if only one waits.
        step: String,
        /// The answer; in the payload store already if it is large.
        answer: Payload,
    },
}

/// A point in a run's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// After the event with this number.
    Seq(u64),
    /// The newest checkpoint of this name.
    Checkpoint(String),
}

/// What becomes of attempts that are under way when a run is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// They come to their end, and their results count.
    #[default]
    Finish,
    /// Nobody waits for them; when the run goes on, their agents are asked how they ended.
    Leave,
    /// Their agents are asked to stop; when the run goes on, the steps are begun anew.
    Cancel,
}

impl Work {
    /// True for what is done if nothing is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

words!(
    /// What a person decides about a step that is held, or that could not be undone.
    Verdict {
        /// It begins anew. Of an attempt whose outcome is not known: it did not happen.
        Retry = "retry",
        /// It is done: the output is given. Of what undoes a step: it was undone by hand.
        Done = "done",
        /// It is left out: its output is nothing. Of what undoes a step: it stays as it is.
        Skip = "skip",
        /// It has failed.
        Fail = "fail",
        /// Its agent is asked again what became of the attempt.
        Ask = "ask",
    }
);

/// Who wants something of a run, why, and by which request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The caller's id of the request: a run applies one once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
}

impl Order {
    /// An order without a request id.
    pub fn new(by: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { by: by.into(), reason: reason.into(), request: None }
    }
}

impl Input {
    /// True if the input need not be durable at once: it may wait a moment for company.
    #[must_use]
    pub const fn is_deferrable(&self) -> bool {
        matches!(self, Self::NoteTask { .. })
    }
}

/// Why an input was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The run has ended, or is set aside.
    #[error("the run is {0}")]
    RunIs(RunStatus),
    /// The run has no such step.
    #[error("the run has no step \"{0}\"")]
    NoSuchStep(StepPath),
    /// The attempt is not the one under way: it is over, or of an abandoned generation.
    #[error("attempt {0} is not under way")]
    NotUnderWay(String),
    /// The step was not admitted, or has an attempt under way already.
    #[error("step \"{0}\" cannot start now")]
    NotStartable(StepPath),
    /// The step does not wait for anybody, or none or several do and the signal names none.
    #[error("{}", not_waiting(.step, .waiting))]
    NotWaiting {
        /// The step that was named; empty if none was.
        step: String,
        /// The steps that wait.
        waiting: Vec<StepPath>,
    },
    /// The run's time is not up, or that of the step.
    #[error("the run has time left")]
    NotExpired,
    /// The step is not held for a decision, or none or several are and none was named.
    #[error("{}", not_held(.step, .held))]
    NotHeld {
        /// The step that was named; empty if none was.
        step: String,
        /// The steps that are held.
        held: Vec<StepPath>,
    },
    /// The verdict makes no sense for the step.
    #[error("step \"{0}\" cannot be decided so: {1}")]
    BadVerdict(StepPath, &'static str),
    /// Whoever decides may not.
    #[error("{by} may not decide step \"{step}\": {why}")]
    NotApprover {
        /// Who tried.
        by: String,
        /// The step.
        step: StepPath,
        /// Who may.
        why: String,
    },
    /// The run has no such point.
    #[error("the run cannot be rolled back to {0}")]
    NoSuchPoint(String),
    /// The run undoes what it did.
    #[error("the run is undoing what it did; wait until it has, or terminate it")]
    Undoing,
    /// A checkpoint cannot have this name.
    #[error("the name of the checkpoint {0}")]
    BadCheckpoint(String),
    /// The plan of the run does not change.
    #[error("the plan of this run is fixed; a workflow with `executor: dynamic` may be changed while it runs")]
    NotAmendable,
    /// The change was made from another plan than that of now.
    #[error("the change was made from revision {base} of the plan; it is at revision {now}")]
    StalePatch {
        /// The revision that it was made from.
        base: u32,
        /// The revision of now.
        now: u32,
    },
    /// The plan cannot be changed so.
    #[error("{field}: {reason}")]
    BadPatch {
        /// The field of the change that is wrong.
        field: String,
        /// Why.
        reason: String,
    },
    /// The run has all the checkpoints that it may have.
    #[error("a run may have {0} checkpoints")]
    TooManyCheckpoints(usize),
    /// The budget cannot be raised so.
    #[error("{0}")]
    BadBudget(String),
}

/// Why an input was refused, for whoever asked, and perhaps elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// What would have to be different.
    pub fault: Fault,
    /// Why.
    pub reason: String,
}

/// What would have to be different for an input that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The run's state.
    State,
    /// What was given, by the field of the request.
    Field(String),
    /// Whoever asks.
    Caller,
}

impl From<&Rejection> for Refusal {
    fn from(rejection: &Rejection) -> Self {
        let fault = match rejection {
            Rejection::NoSuchStep(_) => Fault::Field("step".to_owned()),
            Rejection::NoSuchPoint(_) => Fault::Field("to".to_owned()),
            Rejection::BadVerdict(..) => Fault::Field("verdict".to_owned()),
            Rejection::BadCheckpoint(_) => Fault::Field("name".to_owned()),
            Rejection::BadPatch { field, .. } => Fault::Field(format!("patch.{field}")),
            Rejection::BadBudget(_) => Fault::Field("add".to_owned()),
            Rejection::NotApprover { .. } => Fault::Caller,
            Rejection::RunIs(_)
            | Rejection::NotUnderWay(_)
            | Rejection::NotStartable(_)
            | Rejection::NotWaiting { .. }
            | Rejection::NotExpired
            | Rejection::NotHeld { .. }
            | Rejection::NotAmendable
            | Rejection::StalePatch { .. }
            | Rejection::Undoing
            | Rejection::TooManyCheckpoints(_) => Fault::State,
        };
        Self { fault, reason: rejection.to_string() }
    }
}

fn not_held(step: &str, held: &[StepPath]) -> String {
    let words = ["no step is named", "is not held for a decision", "and none is held for a decision", "these are held"];
    not_meant(step, held, words)
}

fn not_waiting(step: &str, waiting: &[StepPath]) -> String {
    let words = ["the signal names no step", "does not wait for an answer", "and no other does", "these do"];
    not_meant(step, waiting, words)
}

/// That it cannot be meant what was named, and which could be.
fn not_meant(step: &str, others: &[StepPath], [unnamed, wrong, none, these]: [&str; 4]) -> String {
    let names: Vec<&str> = others.iter().map(StepPath::as_str).collect();
    let who = match step {
        "" => unnamed.to_owned(),
        step => format!("step \"{}\" {wrong}", step.escape_debug()),
    };
    match names[..] {
        [] => format!("{who}, {none}"),
        _ => format!("{who}; {these}: {}", names.join(", ")),
    }
}
