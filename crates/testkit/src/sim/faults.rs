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
