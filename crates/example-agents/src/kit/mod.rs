//! A small A2A 1.0 agent server over gRPC: write a [`Skill`], give it to an [`Agent`], bind a [`Server`].
//!
//! Tasks live in memory and belong to the server, not to the call that started them: a caller that goes away does not
//! stop its task, finds it again by message id (ListTasks) and follows it again (SubscribeToTask). A message id that
//! was seen before never runs twice.

mod card;
mod context;
mod options;
mod run;
mod server;
mod service;
mod skill;
mod store;
mod task;

pub use context::TaskContext;
pub use options::Instruments;
pub use server::{Server, ServerError};
pub use skill::{Agent, Chunk, Incoming, Outcome, Skill, SkillError};
