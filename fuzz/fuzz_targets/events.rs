//! What an agent tells about a task, in any order and form.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/adapters-grpc/tests/it/events/property.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::agent_events(bytes));
