//! Workflows: what a file or a caller may say, how it is read and checked.

mod dataflow;
mod decode;
mod definition;
mod document;
mod graph;
mod inputs;
mod problem;
mod source;
mod topology;
mod validate;

pub use dataflow::{Binding, DataFlow, Source};
pub use decode::{Parsed, parse};
pub use definition::{
    Executor, InputMapping, InputSpec, OnError, OutputField, OutputMapping, Priority, RetryPolicy, Step, Workflow,
};
pub use document::Document;
pub(crate) use graph::graph;
pub use inputs::{SESSION, initial_data, with_session};
pub use problem::{Position, Problem, Severity};
pub use topology::{StepIndex, Topology};
pub use validate::validate;

/// The JSON Schema (draft 2020-12) of workflow files.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Workflow).into()
}
