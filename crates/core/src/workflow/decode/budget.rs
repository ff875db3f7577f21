//! Reading what a run may spend.

use super::super::budget::{Budget, Reserve};
use super::super::source::Node;
use super::{Fields, Place, Problem};

/// What a run may spend; nothing where it cannot be read, so that it is not blamed for what is missing.
pub(super) fn decode_budget(node: &Node, at: Place, problems: &mut Vec<Problem>) -> Option<Budget> {
    let before = problems.len();
    let mut fields = Fields::new(node, Place { prefix: format!("{}budget.", at.prefix), ..at }, problems)?;
    let budget = Budget {
        money: fields.optional("money"),
        tokens: fields.optional("tokens"),
        calls: fields.optional("calls"),
        time: fields.optional("time"),
        warn_at: fields.optional("warn_at").unwrap_or_default(),
        on_spent: fields.optional("on_spent").unwrap_or_default(),
    };
    fields.finish();
    (problems.len() == before).then_some(budget)
}

pub(super) fn decode_reserve(node: &Node, at: Place, problems: &mut Vec<Problem>) -> Option<Reserve> {
    let mut fields = Fields::new(node, Place { prefix: format!("{}reserve.", at.prefix), ..at }, problems)?;
    let reserve = Reserve { money: fields.optional("money"), tokens: fields.optional("tokens") };
    fields.finish();
    Some(reserve)
}
