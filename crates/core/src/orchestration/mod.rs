//! Presets of the master orchestrator, above the rules of the heart: which of the seven phases a run goes through. A preset is
//! worked out when a run starts ([`Rules::settle`]), turns into the settings that runs have anyway, and is recorded with the
//! run for those who look at it. A run for which nobody asked for a preset has none of this.

mod domain;
mod settle;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::StepId;
use crate::workflow::Executor;

pub use self::domain::Domain;
pub use self::settle::{Rules, SYNTHESIS_TYPE, Settled};

/// A set of phases by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Most phases are off: one step at a time, the first failure ends the run, nothing is judged, no agent plans.
    Lightweight,
    /// All phases.
    #[default]
    Full,
}

/// A phase of the master orchestrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The graph is weighed before anything starts: the executor is chosen from it, and the plan may change while it runs.
    Analysis,
    /// Requests in plain words are given to a planner agent.
    Planning,
    /// What happens in the run is told as it happens.
    Streaming,
    /// Answers are judged.
    Quality,
    /// The run shares data with the other runs of its session, and with no others.
    Sessions,
    /// What does not depend on a failed step goes on, as far as the workflow says nothing else.
    ErrorHandling,
    /// Artifacts are told as they come, and the results are put together at the end.
    Artifacts,
}

/// What is said about orchestration in one place: by a submission, a workflow, a domain or the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// Which phases are on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Phases that are on or off whatever the preset.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<Phase, bool>,
    /// The domain that the run belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// How a run is orchestrated, as it is recorded with the run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Orchestration {
    /// The preset.
    pub preset: Preset,
    /// The phases that are on, in their order.
    pub phases: Vec<Phase>,
    /// The domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Who planned it, if the workflow was made of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_by: Option<String>,
    /// Microseconds that analysis took before the run was recorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub analysis_micros: u64,
    /// Microseconds that planning took before that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub planning_micros: u64,
    /// The step that puts the results together, if one was added for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthesis: Option<StepId>,
}

impl Preset {
    /// The word used in files and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lightweight => "lightweight",
            Self::Full => "full",
        }
    }

    /// True if the phase is on, if nothing else is said about it.
    #[must_use]
    pub const fn has(self, phase: Phase) -> bool {
        match self {
            Self::Full => true,
            // Sharing a session by accident would be no saving.
            Self::Lightweight => matches!(phase, Phase::Sessions),
        }
    }
}

impl Phase {
    /// Every phase, in their order.
    pub const ALL: [Self; 7] = [
        Self::Analysis,
        Self::Planning,
        Self::Streaming,
        Self::Quality,
        Self::Sessions,
        Self::ErrorHandling,
        Self::Artifacts,
    ];

    /// The word used in files and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Analysis => "analysis",
            Self::Planning => "planning",
            Self::Streaming => "streaming",
            Self::Quality => "quality",
            Self::Sessions => "sessions",
            Self::ErrorHandling => "error_handling",
            Self::Artifacts => "artifacts",
        }
    }

    /// What it is, for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Analysis => "pre-planning analysis",
            Self::Planning => "planner delegation",
            Self::Streaming => "streaming",
            Self::Quality => "quality validation",
            Self::Sessions => "session isolation",
            Self::ErrorHandling => "error handling",
            Self::Artifacts => "artifacts and result",
        }
    }

    /// Its place among the others, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl Orchestration {
    /// True if a phase is on.
    #[must_use]
    pub fn has(&self, phase: Phase) -> bool {
        self.phases.contains(&phase)
    }

    /// The executor that stands for one that was asked for: without analysis nothing is weighed, and steps go one by one.
    #[must_use]
    pub fn executor(&self, asked: Executor) -> Executor {
        if asked == Executor::Auto && !self.has(Phase::Analysis) { Executor::Basic } else { asked }
    }

    /// How long it took to analyse and to plan before the run was recorded.
    #[must_use]
    pub const fn before(&self) -> Duration {
        Duration::from_micros(self.analysis_micros.saturating_add(self.planning_micros))
    }
}

impl Wishes {
    /// True if nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads a switch as it is typed: `quality=off`.
///
/// # Errors
/// Says what is taken.
pub fn switch(text: &str) -> Result<(Phase, bool), String> {
    let takes = || "a phase is switched by NAME=on or NAME=off".to_owned();
    let (name, state) = text.split_once('=').ok_or_else(takes)?;
    let on = match state {
        "on" | "true" => true,
        "off" | "false" => false,
        _ => return Err(takes()),
    };
    Ok((name.parse()?, on))
}

macro_rules! word {
    ($name:ident, $all:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $all.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
                    let known: Vec<&str> = $all.iter().map(|known| known.as_str()).collect();
                    format!("\"{}\" is not one of: {}", text.escape_debug(), known.join(", "))
                })
            }
        }
    };
}

word!(Preset, [Preset::Lightweight, Preset::Full]);
word!(Phase, Phase::ALL);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_zero(micros: &u64) -> bool {
    *micros == 0
}
