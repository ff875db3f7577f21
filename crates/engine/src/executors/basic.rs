//! One step at a time in dependency order; the first failure ends the run, which keeps its partial results.

use tutti_core::schedule::{Growth, Policy, Width};
use tutti_core::workflow::OnError;

pub(super) const fn policy() -> Policy {
    Policy { width: Width::One, growth: Growth::Fixed, on_error: OnError::Fail }
}
