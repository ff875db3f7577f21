//! The faults of a simulation, and how often each struck.

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault { $($(#[$doc])* $name),+ }

        impl Fault {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

faults! {
    /// A commit or creation did not reach the store.
    Unavailable,
    /// The store did what was asked and its answer was lost.
    LostAnswer,
    /// A copy of a commit reached the store long after it.
    LateCopy,
    /// A commit was refused because another owner had the run.
    Refused,
    /// A server died before its commit reached the store.
    CrashBeforeCommit,
    /// A server died after its commit and before the answer.
    CrashAfterCommit,
    /// A server died at some other moment.
    CrashBetween,
    /// A run was taken from a server that was alive and went on.
    Zombie,
    /// An agent failed an attempt that another one mended.
    AgentFailed,
    /// A message was lost on its way to the agent.
    MessageLost,
    /// An attempt's end was told twice.
    DuplicateEnd,
    /// A task was found again at its agent after a take-over.
    FoundAgain,
    /// A task was not found again, and its message was sent.
    NotFound,
    /// A run was set aside because it was claimed again and again without progress.
    Quarantined,
    /// A run was cancelled by an operator.
    Cancelled,
    /// A run was cancelled while an agent waited for somebody.
    CancelledWhileWaiting,
    /// A run was held by an operator, and let go later.
    Paused,
    /// A server was shut down while it drove runs, and let go of them.
    Drained,
    /// A run's time was up.
    Expired,
    /// A run that had left memory came back at its moment.
    Woken,
    /// A run that had found no room came in from the queue.
    Queued,
    /// A run waited because no agent could be asked.
    WaitedForAgent,
    /// An agent failed so often that its breaker opened.
    BreakerOpened,
    /// An agent failed so that another attempt cannot mend it.
    FailedForGood,
    /// The same request was made twice.
    AskedTwice,
    /// A failed run was undone, and its data stayed.
    Compensated,
    /// A failed run was rolled back to its last checkpoint, as its policy wants it.
    RolledBackByPolicy,
    /// A run was rolled back by a person.
    RolledBack,
    /// A held run was rolled back, and stayed held.
    RolledBackPaused,
    /// A failed run was rolled back, and went on.
    RevivedByRollback,
    /// What a run did could not be undone.
    Stuck,
    /// A person decided about what could not be undone.
    DecidedStuck,
    /// Nobody knew whether an attempt was carried out that must not be made twice.
    OutcomeUnknown,
    /// A step that failed for good waited for a person.
    Escalated,
    /// A person decided about a step.
    DecidedHeld,
    /// A step that failed for good began anew.
    Recovered,
    /// A result came after it was abandoned.
    Discarded,
    /// What a step asked was overdue.
    Overdue,
    /// Somebody answered what a step asked.
    Answered,
    /// A checkpoint was made.
    Checkpointed,
    /// A run was held, and its work left to the agents.
    PausedAndLeft,
    /// A run was held, and its work stopped.
    PausedAndStopped,
    /// A run was held while it was undone.
    PausedWhileUndoing,
    /// A run was terminated.
    Terminated,
    /// A failed run was reopened.
    Retried,
    /// A run began where another one stood.
    Forked,
    /// A run was told that its budget is nearly spent.
    BudgetWarned,
    /// Too little was left of a run's budget to go on.
    BudgetSpent,
    /// A run failed because its budget was spent.
    FailedByBudget,
    /// Somebody raised a run's budget.
    BudgetRaised,
}

/// How often each kind of fault struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<u64>);

impl Default for Faults {
    fn default() -> Self {
        Self(vec![0; Fault::ALL.len()])
    }
}

impl Faults {
    /// Counts one.
    pub fn strike(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// How often a kind struck.
    #[must_use]
    pub fn count(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// Adds the counts of another simulation.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum += more);
    }

    /// The kinds that never struck.
    #[must_use]
    pub fn missing(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|fault| self.count(*fault) == 0).collect()
    }
}
