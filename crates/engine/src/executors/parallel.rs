//! Independent steps at once, each the moment its dependencies are done; what does not depend on a failure goes on.

use tutti_core::schedule::{Growth, Policy, Width};
use tutti_core::workflow::OnError;

pub(super) const fn policy(width: u32) -> Policy {
    Policy { width: Width::Bounded(width), growth: Growth::Fixed, on_error: OnError::Continue }
}
