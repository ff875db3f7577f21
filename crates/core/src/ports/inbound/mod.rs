//! What callers may ask of a server. A service over any protocol translates to and from these ports.
//!
//! Contract of all of them: what belongs to another namespace is not found. What a method that changes something
//! acknowledged is durable. Every method may be cancelled by dropping its future; what it began may then still happen.

pub mod access;
pub mod agents;
mod error;
pub mod health;
pub mod retention;
pub mod runs;
pub mod values;
pub mod views;
pub mod workflows;

pub use error::{RequestError, Violation};
