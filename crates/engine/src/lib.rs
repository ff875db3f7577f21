//! Drives runs: decides inputs, commits the events, and only then acts on them.
//!
//! The [`driver`] is synchronous and does no I/O: messages go in, effects come out. A lane is the loop
//! around one driver; it carries out the effects and brings their outcomes back as messages.

mod committer;
mod dispatcher;
pub mod driver;
mod engine;
pub mod executors;
mod hub;
mod lane;
mod loader;
mod plans;
mod rest;
mod room;
mod service;

pub use dispatcher::{
    AgentRecord, AgentState, AgentStats, AttemptFigures, Attempts, BreakerPolicy, CallMode, DispatchPolicy, Learned,
    Registry,
};
pub use driver::Progress;
pub use engine::{Engine, EngineError, EngineOptions, FleetMembership, FleetOptions, Fork, Ports, StartRun, Started};
pub use hub::{Changed, Lagged, Update, Watch};
pub use loader::{Loaded, TakeOver, load, load_plan};
pub use plans::Plans;
pub use rest::{command_at_rest, command_by_inbox};
pub use room::Residency;
pub use service::{
    AccessService, AgentService, Ask, Asker, CheckUrl, Describer, Ended, EndedRuns, PlanSubject, Planner, Proposed,
    Removed, RetentionService, RunService, ServiceOptions, Strategist, Wanted, WatchdogOptions, WorkflowService,
    check_decision, learn, past_runs, planned_labels, prepare_fork, prepare_patch, with_registered,
};
