//! What a run may spend and has spent: money, tokens, calls and time. An amount is reserved before a call and settled when it has
//! ended, so that what is used and what is reserved together never exceed the budget when a call begins.

mod amount;
mod spending;

pub use amount::{Amounts, Kind, Money};
pub use spending::{Shortage, Spending};
