//! As parallel, for graphs that may grow while they run.

use tutti_core::limits::MAX_STEPS;
use tutti_core::schedule::{Growth, Policy, Width};
use tutti_core::workflow::OnError;

pub(super) const fn policy(width: u32) -> Policy {
    Policy { width: Width::Bounded(width), growth: Growth::Amendable(MAX_STEPS as u32), on_error: OnError::Continue }
}
