//! What a run may spend, as data.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::problem::Problem;
use super::{Step, Workflow};
use crate::budget::{Amounts, Kind, Money};
use crate::limits;
use crate::time::Span;

/// What a run may spend in all; what is not named is not bounded. Before an attempt asks an agent, what it is reckoned with is
/// reserved; when it has ended, what its agent reports is taken instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Money, as agents report what they cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<Money>,
    /// Tokens read and written, as agents report them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Attempts that ask an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Time that those attempts take together, without what they wait for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Span>,
    /// The share of the budget, above 0 and up to 1, from which a warning is recorded. Default: 0.8.
    #[serde(default, skip_serializing_if = "Share::is_default")]
    pub warn_at: Share,
    /// What happens when what is left does not suffice for anything that could start. Default: `stop`.
    #[serde(default, skip_serializing_if = "OnSpent::is_stop")]
    pub on_spent: OnSpent,
}

/// What one attempt of a step is reckoned with before it is known. What is not named is reckoned as the most that an attempt with
/// the same capability has used in the run so far, and as nothing before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// Money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<Money>,
    /// Tokens read and written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// What happens when a budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnSpent {
    /// When nothing is under way any more, the run fails, as its `on_error` says.
    #[default]
    Stop,
    /// The run waits until a person raises the budget.
    Ask,
    /// It is recorded, and the run goes on.
    Warn,
}

/// A share of a whole, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

/// Millionths in a whole.
const WHOLE: u32 = 1_000_000;

impl Share {
    /// So much of an amount.
    #[must_use]
    pub fn of(self, amount: u64) -> u64 {
        let share = u128::from(amount) * u128::from(self.0) / u128::from(WHOLE);
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Share {
    fn default() -> Self {
        Self(limits::DEFAULT_BUDGET_WARNING * WHOLE / 100)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Money(u64::from(self.0)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The same decimal numbers as those of money.
        let Money(millionths) = Money::deserialize(deserializer)?;
        match u32::try_from(millionths) {
            Ok(share @ 1..=WHOLE) => Ok(Self(share)),
            _ => Err(serde::de::Error::custom(format_args!("{} is not above 0 and up to 1", Money(millionths)))),
        }
    }
}

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A share, above 0 and up to 1, such as 0.8.",
            "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "string", "pattern": "^[01](\\.[0-9]{1,6})?$"}]
        })
    }
}

impl OnSpent {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
    const fn is_stop(&self) -> bool {
        matches!(self, Self::Stop)
    }
}

impl Budget {
    /// What may be spent of a kind; `None`: it is not bounded.
    #[must_use]
    pub fn limit(&self, kind: Kind) -> Option<u64> {
        match kind {
            Kind::Money => self.money.map(|money| money.0),
            Kind::Tokens => self.tokens,
            Kind::Calls => self.calls,
            Kind::Time => self.time.map(|time| u64::try_from(time.0.as_micros()).unwrap_or(u64::MAX)),
        }
    }

    /// What may be spent of each kind that is bounded.
    pub fn limits(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.iter().filter_map(|kind| Some((*kind, self.limit(*kind)?)))
    }
}

impl Reserve {
    /// What is reckoned with: what is named, and the rest as it was so far.
    #[must_use]
    pub fn or(self, so_far: Amounts) -> Amounts {
        let money = self.money.map_or(so_far.money, |money| money.0);
        Amounts { money, tokens: self.tokens.unwrap_or(so_far.tokens), ..so_far }
    }
}

/// A budget bounds something, and no step needs more than there is.
pub(super) fn check_budget(workflow: &Workflow, problems: &mut Vec<Problem>) {
    let Some(budget) = &workflow.budget else { return };
    if budget.limits().next().is_none() {
        let reason = "bounds nothing; it needs one of: money, tokens, calls, time";
        problems.push(Problem::error("budget", reason));
    }
    for (kind, _) in budget.limits().filter(|(_, limit)| *limit == 0) {
        problems.push(Problem::error(format!("budget.{kind}"), "is 0; must be more"));
    }
    for (index, step) in workflow.steps.iter().enumerate() {
        check_reserve(index, step, budget, problems);
    }
}

fn check_reserve(index: usize, step: &Step, budget: &Budget, problems: &mut Vec<Problem>) {
    if budget.on_spent == OnSpent::Warn {
        return;
    }
    let Some(reserve) = &step.reserve else { return };
    let needed = reserve.or(Amounts::default());
    for (kind, limit) in budget.limits().filter(|(kind, limit)| needed.of(*kind) > *limit) {
        let (needed, limit) = (kind.show(needed.of(kind)), kind.show(limit));
        let reason = format!("is {needed}, and the run's budget {limit}: the step could never start");
        problems.push(Problem::in_step(index, &step.id, format!("reserve.{kind}"), reason));
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn found(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_budget_is_read_without_loss_and_kept_with_the_definition() {
        let text = "id: w\nbudget: {money: 0.3, tokens: 5000, time: 2m, warn_at: 0.75, on_spent: ask}\n\
                    steps: [{id: a, capability: c, reserve: {money: 0.1}}]";
        let workflow = parse(text).unwrap().workflow;
        let budget = workflow.budget.clone().unwrap();
        assert_eq!((budget.money, budget.calls, budget.on_spent), (Some(Money(300_000)), None, OnSpent::Ask));
        assert_eq!(budget.warn_at.of(1_000), 750);
        assert_eq!(budget.limit(Kind::Time), Some(120_000_000));
        let needed = workflow.steps[0].reserve.unwrap().or(Amounts { money: 7, tokens: 9, ..Amounts::default() });
        assert_eq!((needed.money, needed.tokens), (100_000, 9));
        let again = Workflow::from_canonical(&workflow.to_canonical().1).unwrap();
        assert_eq!(again, workflow);
        assert!(workflow.orchestrates());
        assert_eq!(Share::default().of(10), 8);
    }

    #[test]
    fn what_makes_no_sense_is_told_by_its_field() {
        let steps =
            "\nsteps: [{id: a, capability: c, reserve: {money: 5, tokens: 1}}, {id: s, sleep: 1s, reserve: {}}]";
        let found_in = |budget: &str| found(&format!("id: w\nbudget: {budget}{steps}"));
        assert!(found_in("{warn_at: 0.5}")[0].contains("budget: bounds nothing"));
        assert!(found_in("{calls: 0}")[0].contains("budget.calls: is 0"));
        let found_now = found_in("{money: 2}");
        assert!(found_now[0].contains("step a: reserve.money: is 5.00, and the run's budget 2.00"), "{found_now:#?}");
        assert!(found_now[1].contains("step s: reserve: is for steps that ask an agent"), "{found_now:#?}");
        assert!(found_in("{money: 2, warn_at: 1.5}")[0].contains("budget.warn_at: 1.50 is not above 0"));
        assert!(found_in("{money: lots}")[0].contains("budget.money: \"lots\" is not an amount"));
        assert!(found_in("{mony: 2}")[0].contains("budget.mony: is not a known field; did you mean \"money\"?"));
    }
}
