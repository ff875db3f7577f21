//! A2A agents that do what a file says, for those who write workflows and for tests: answers, delays, failures, questions.
//!
//! [`StubFile::parse`] reads the file and [`Stubs::bind`] serves it. The agents are real ones, on the server kit of the
//! examples. They are a room of their own because the file is read as workflow files are, by `tutti-core`, of which the
//! agents of the examples know nothing.

mod call;
mod check;
mod file;
mod report;
mod script;
mod serve;
mod skill;
mod template;

pub use call::{Attempt, Called, Event, Listener, Outcome, What};
pub use file::{Failing, Fault, Rule, Script, StubAgent, StubArtifact, StubFile};
pub use serve::{ServerError, Stub, Stubs};

/// The JSON Schema (draft 2020-12) of the files.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(StubFile).into()
}
