//! What the heart needs from outside, as traits of at most six methods. Each states its contract; the conformance
//! suites in the test kit check it for any implementation. Those in [`inbound`] go the other way: what the outside may ask.

pub mod agent;
pub mod clock;
pub mod cursor;
pub mod filter;
pub mod fleet;
pub mod frame;
pub mod inbound;
pub mod inbox;
pub mod inspect;
pub mod observer;
pub mod payload;
pub mod query;
pub mod records;
pub mod retention;
pub mod store;
