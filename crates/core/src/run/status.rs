//! The states that people and programs see.

use serde::{Deserialize, Serialize};

/// An enumeration with a word for each of its values.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word used in files, answers and stores.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("\"{}\" is not one of: {}", text.escape_debug(), [$($word),+].join(", "))),
                }
            }
        }
    };
}

pub(crate) use words;

words!(
    /// State of a run.
    RunStatus {
        /// Accepted, not begun: it waits for room.
        Pending = "pending",
        /// Steps are in flight or about to be.
        Running = "running",
        /// Stopped by an operator; nothing is started.
        Paused = "paused",
        /// Nothing can be done before somebody answers.
        Waiting = "waiting",
        /// Every step is complete.
        Completed = "completed",
        /// A step failed for good, or the time was up.
        Failed = "failed",
        /// Ended by an operator, gracefully.
        Cancelled = "cancelled",
        /// Ended by an operator, at once.
        Terminated = "terminated",
        /// An undo failed; an operator must decide.
        Stuck = "stuck",
        /// Set aside because it takes its server down.
        Quarantined = "quarantined",
    }
);

impl RunStatus {
    /// True while steps may be started and results are taken.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Waiting)
    }

    /// True while results of attempts are taken: a paused run takes those of the attempts that were under way.
    #[must_use]
    pub const fn takes_results(self) -> bool {
        self.is_open() || matches!(self, Self::Paused)
    }

    /// True if the run has ended and nothing but an operator can change it.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Terminated)
    }
}

words!(
    /// State of a step in a run.
    StepStatus {
        /// Waits for other steps, or for its turn.
        Pending = "pending",
        /// An attempt is under way.
        Running = "running",
        /// Failed and will be tried again at a moment.
        Retrying = "retrying",
        /// Its agent waits for somebody.
        Waiting = "waiting",
        /// Done.
        Completed = "completed",
        /// Failed for good.
        Failed = "failed",
        /// Not run because a step before it failed.
        Skipped = "skipped",
        /// Not finished because the run ended.
        Cancelled = "cancelled",
        /// Started, not safe to repeat, and no answer is known.
        OutcomeUnknown = "outcome_unknown",
    }
);

impl StepStatus {
    /// True if the step will not change while the run goes on.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Skipped | Self::Cancelled)
    }
}
