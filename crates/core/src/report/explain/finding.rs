//! One thing that there is to say, as data and in words.

use serde::{Deserialize, Serialize, Serializer};

use crate::ids::{AgentId, StepPath};
use crate::report::rfc3339;
use crate::run::words;
use crate::time::Timestamp;

/// One thing that there is to say of a run or a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which question it answers.
    pub aspect: Aspect,
    /// What it is, in a word for programs.
    pub reason: Reason,
    /// What it is, in words for people (may hold untrusted text).
    pub text: String,
    /// The moment that it speaks of: of something that happened when it did, of something to come when it is due.
    #[serde(serialize_with = "moment")]
    pub at: Option<Timestamp>,
    /// Steps that it speaks of.
    pub steps: Vec<StepPath>,
    /// Agents that it speaks of.
    pub agents: Vec<AgentId>,
    /// People who may decide; empty if no one in particular.
    pub people: Vec<String>,
}

words!(
    /// The question that a finding answers.
    Aspect {
        /// What it waits for.
        Waits = "waits",
        /// Why it failed, or what became of it.
        Failed = "failed",
        /// Why this agent.
        Chosen = "chosen",
        /// What happens next by itself.
        Next = "next",
        /// What somebody can do about it.
        Can = "can",
    }
);

words!(
    /// What a finding is.
    Reason {
        /// Steps before it are not complete.
        Dependencies = "dependencies",
        /// It is not to begin before a moment.
        NotBefore = "not_before",
        /// The run waits for room in the queue.
        Queue = "queue",
        /// It is tried again at a moment.
        Retry = "retry",
        /// As many attempts of the run are under way as its width allows.
        Width = "width",
        /// It must run alone, or another one does.
        Alone = "alone",
        /// Too little is left of the run's budget.
        Budget = "budget",
        /// Others have their turn before it.
        Turn = "turn",
        /// An agent works on as many attempts as it is asked for at once.
        AgentBusy = "agent_busy",
        /// An agent is not asked more often.
        AgentRate = "agent_rate",
        /// An agent wants to be left alone.
        AgentRests = "agent_rests",
        /// An agent's circuit breaker keeps it from being asked.
        AgentBreaker = "agent_breaker",
        /// An agent gives no sign of life.
        AgentSilent = "agent_silent",
        /// An agent was asked already.
        AgentAsked = "agent_asked",
        /// All agents together are not asked more for a capability.
        CapabilityLimit = "capability_limit",
        /// No agent is known that could be asked.
        NoAgent = "no_agent",
        /// Other runs wait for the same agents before it.
        Line = "line",
        /// The server carries out as many attempts as it may.
        Places = "places",
        /// Nobody who knows the agents was asked.
        AgentsUnknown = "agents_unknown",
        /// It can start, and is about to.
        Starting = "starting",
        /// An attempt is under way.
        Working = "working",
        /// A person must approve.
        Approval = "approval",
        /// A signal must come.
        Signal = "signal",
        /// A moment must come.
        Time = "time",
        /// Its agent asks something.
        Question = "question",
        /// It was answered, and its agent is about to be told.
        Answered = "answered",
        /// A person must decide what becomes of it.
        Decision = "decision",
        /// A person must say whether it happened.
        OutcomeUnknown = "outcome_unknown",
        /// How far the run is.
        Progress = "progress",
        /// An operator holds the run.
        Paused = "paused",
        /// The run is undoing what it did.
        Undoing = "undoing",
        /// Something could not be undone.
        Stuck = "stuck",
        /// The run is set aside.
        Quarantined = "quarantined",
        /// What was decided is not durable yet.
        Commit = "commit",
        /// The run is not driven by the server that was asked.
        Elsewhere = "elsewhere",
        /// An attempt failed.
        AttemptFailed = "attempt_failed",
        /// What a failure means, by whose word.
        Policy = "policy",
        /// What was undone.
        Undone = "undone",
        /// What is done still, though it was to be undone.
        NotUndone = "not_undone",
        /// It was not run because of what failed.
        Skipped = "skipped",
        /// It was not finished because the run ended.
        Cancelled = "cancelled",
        /// It is done.
        Done = "done",
        /// Why the run ended as it did.
        Ended = "ended",
        /// An agent was asked, and why this one.
        Agent = "agent",
        /// What is done only if something must be undone.
        Idle = "idle",
        /// An attempt's time is up.
        AttemptTimeout = "attempt_timeout",
        /// The run's time is up.
        RunTimeout = "run_timeout",
        /// What is waited for is overdue.
        Overdue = "overdue",
        /// Somebody can let the run go on.
        CanResume = "can_resume",
        /// Somebody can let it be tried again.
        CanRetry = "can_retry",
        /// Somebody can approve or reject.
        CanApprove = "can_approve",
        /// Somebody can answer.
        CanSignal = "can_signal",
        /// Somebody can raise the run's budget.
        CanRaise = "can_raise",
        /// Somebody can decide what becomes of a step.
        CanDecide = "can_decide",
        /// What a newer server says.
        Other = "other",
    }
);

impl Reason {
    /// The question that it answers.
    #[must_use]
    pub const fn aspect(self) -> Aspect {
        match self {
            Self::AttemptFailed
            | Self::Policy
            | Self::Undone
            | Self::NotUndone
            | Self::Skipped
            | Self::Cancelled
            | Self::Done
            | Self::Ended => Aspect::Failed,
            Self::Agent => Aspect::Chosen,
            Self::AttemptTimeout | Self::RunTimeout | Self::Overdue | Self::Idle => Aspect::Next,
            Self::CanResume
            | Self::CanRetry
            | Self::CanApprove
            | Self::CanSignal
            | Self::CanDecide
            | Self::CanRaise => Aspect::Can,
            _ => Aspect::Waits,
        }
    }
}

impl Finding {
    /// A finding in words.
    #[must_use]
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self {
            aspect: reason.aspect(),
            reason,
            text: text.into(),
            at: None,
            steps: Vec::new(),
            agents: Vec::new(),
            people: Vec::new(),
        }
    }

    /// The same, of a moment.
    #[must_use]
    pub fn at(self, at: Timestamp) -> Self {
        Self { at: Some(at), ..self }
    }

    /// The same, of steps.
    #[must_use]
    pub fn steps(self, steps: Vec<StepPath>) -> Self {
        Self { steps, ..self }
    }

    /// The same, of an agent.
    #[must_use]
    pub fn agent(self, agent: &AgentId) -> Self {
        Self { agents: vec![agent.clone()], ..self }
    }

    /// The same, of people.
    #[must_use]
    pub fn people(self, people: Vec<String>) -> Self {
        Self { people, ..self }
    }
}

#[expect(clippy::ref_option, reason = "the form that serde calls")]
fn moment<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(serializer)
}
