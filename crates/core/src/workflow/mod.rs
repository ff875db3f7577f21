//! Workflows: what a file or a caller may say, how it is read and checked.

mod aggregate;
mod bodies;
mod budget;
mod dataflow;
mod decode;
mod definition;
mod document;
mod form;
mod graph;
mod grow;
mod inputs;
mod mapping;
mod patch;
mod problem;
mod quality;
mod recovery;
mod resolve;
mod resources;
mod source;
mod topology;
mod undo;
mod validate;
mod wait;

pub use aggregate::{Aggregate, Aggregation, Minimum, OnFailure, OnPartial, Synthesis, TaskKind};
pub use bodies::unresolved;
pub use budget::{Budget, OnSpent, Reserve, Share};
pub use dataflow::{Binding, Captures, DataFlow, Source};
pub use decode::{Parsed, parse};
pub use definition::{Executor, InputSpec, Priority, Step, Workflow};
pub use document::Document;
pub use form::form_problems;
pub(crate) use graph::graph;
pub use grow::{Ask, Container, Exhausted, Map, Repeat, SubWorkflow};
pub use inputs::{SESSION, initial_data, with_session};
pub use mapping::{InputMapping, OutputField, OutputMapping};
pub use patch::PlanPatch;
pub use problem::{Position, Problem, Severity};
pub use quality::{AtLast, Judge, OnBelow, Quality};
pub use recovery::{Compensation, OnError, RetryPolicy};
pub use resolve::{resolved, sub_workflow_problems};
pub use resources::Resources;
pub use topology::{StepIndex, Topology};
pub(crate) use undo::with_undos;
pub(crate) use validate::bad_checkpoint;
pub use validate::validate;
pub use wait::{Approval, AwaitedSignal, Overdue, StepKind};

/// The JSON Schema (draft 2020-12) of workflow files.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Workflow).into()
}
