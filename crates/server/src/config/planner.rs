//! How plans are made.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tutti_core::ids::Capability;
use tutti_planner::PlanMode;
use tutti_planner::tasks::{Group, GroupTable};

use super::ExecutionConfig;
use super::sections::Mode;

/// How plans are made from tasks and requests in plain words, and how much they tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlannerConfig {
    /// How much a plan tells: `sophisticated` adds resources, risks, quality and a score. `auto`: `simple` under
    /// `execution.mode = basic`, else `sophisticated`.
    pub mode: PlannerMode,
    /// Services by which tasks are grouped, each a text: `flights words=flight,air type=flight_booking
    /// capability=flight.book`. The first one a word of which is in a task's description takes it; one without words takes
    /// the rest. Not set: flights (flight, air), hotels (hotel, accommodation), cars (car, rental), other.
    #[schemars(with = "Vec<String>")]
    pub groups: Vec<GroupText>,
    /// A folder of plan templates, each a YAML or JSON file; they are asked before the built-in ones.
    pub templates: Option<PathBuf>,
    /// What an agent must be able to do to be asked for plans.
    #[serde(with = "super::text")]
    #[schemars(with = "String")]
    pub capability: Capability,
    /// How long a planner agent may take for an answer, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: u64,
    /// If no agent makes a plan that can be used, one is made of templates and keyword rules; `false`: the request is refused
    /// with the reasons.
    pub fallback: bool,
}

/// How much a plan tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlannerMode {
    /// By the mode of execution.
    #[default]
    Auto,
    /// Order, times and strategy.
    Simple,
    /// Resources, risks, quality and a score, too.
    Sophisticated,
}

/// A service, as a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupText(Group);

impl TryFrom<String> for GroupText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl From<GroupText> for String {
    fn from(group: GroupText) -> Self {
        group.to_string()
    }
}

impl fmt::Display for GroupText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Default for PlannerConfig {
    fn default() -> Self {
        Self {
            mode: PlannerMode::Auto,
            groups: Vec::new(),
            templates: None,
            capability: "planning.create".parse().expect("a plain word is a capability"),
            timeout_seconds: 60,
            fallback: true,
        }
    }
}

impl PlannerConfig {
    /// How much a plan tells.
    pub const fn mode(&self, execution: &ExecutionConfig) -> PlanMode {
        match (self.mode, execution.mode) {
            (PlannerMode::Simple, _) | (PlannerMode::Auto, Mode::Basic) => PlanMode::Simple,
            _ => PlanMode::Sophisticated,
        }
    }

    /// The services by which tasks are grouped.
    pub fn table(&self) -> GroupTable {
        if self.groups.is_empty() {
            return GroupTable::default();
        }
        GroupTable::new(self.groups.iter().map(|group| group.0.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_follows_that_of_execution() {
        let mode = |mode, execution| {
            let execution = ExecutionConfig { mode: execution, ..ExecutionConfig::default() };
            PlannerConfig { mode, ..PlannerConfig::default() }.mode(&execution)
        };
        assert_eq!(mode(PlannerMode::Auto, Mode::Basic), PlanMode::Simple);
        assert_eq!(mode(PlannerMode::Auto, Mode::Enhanced), PlanMode::Sophisticated);
        assert_eq!(mode(PlannerMode::Sophisticated, Mode::Basic), PlanMode::Sophisticated);
        assert_eq!(mode(PlannerMode::Simple, Mode::Parallel), PlanMode::Simple);
    }

    #[test]
    fn groups_are_texts() {
        let config: PlannerConfig =
            serde_json::from_str(r#"{"groups": ["trains words=train,rail type=rail"]}"#).unwrap();
        let table = config.table();
        assert_eq!((table.group_of("A train"), table.group_of("A flight")), (0, 1));
        assert!(serde_json::from_str::<PlannerConfig>(r#"{"groups": ["trains words"]}"#).is_err());
        assert_eq!(PlannerConfig::default().table(), GroupTable::default());
    }
}
