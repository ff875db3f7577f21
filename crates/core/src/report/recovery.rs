//! What recovery, waits and budgets have to tell, in words for people.
//! What recovery, waits and plans that change have to tell, in words for people.

use super::growth::growth_news;
use super::moment::rfc3339;
use super::spent::budget_news;
use crate::ids::StepPath;
use crate::run::Event;

/// What an event of recovery, of a wait, of quality, of the budget or of a plan that changes says, and of which step (may hold
/// untrusted text); `None` for all others.
#[must_use]
pub fn recovery_news(event: &Event) -> Option<(Option<&StepPath>, String)> {
    Some(match event {
        Event::UndoStarted(undo) => {
            let to =
                undo.checkpoint.as_ref().map_or_else(|| format!("event {}", undo.to), |name| format!("\"{name}\""));
            let why = match (&undo.order, &undo.failed) {
                (Some(order), _) => format!("by={} {}", order.by, order.reason),
                (None, Some((_, error))) => error.to_string(),
                (None, None) => String::new(),
            };
            let what = if undo.compensate { "undoing" } else { "going back" };
            (None, format!("{what} to {to} {why}"))
        }
        Event::RunRewound(rewound) => (None, format!("stands again as after event {}", rewound.to)),
        Event::RunStuck(stuck) => (Some(&stuck.step), format!("stuck: {}", stuck.error)),
        Event::RunForked(forked) => {
            (None, format!("forked from={} seq={} done={}", forked.from, forked.seq, forked.completed.len()))
        }
        Event::StepHeld(held) => {
            let what = if held.outcome_unknown { "outcome unknown" } else { "held" };
            (Some(&held.step), format!("{what} try={} {}", held.attempt, held.error))
        }
        Event::StepDecided(decided) => {
            let order = &decided.order;
            (Some(&decided.step), format!("decided {} by={} {}", decided.verdict.as_str(), order.by, order.reason))
        }
        Event::WaitOverdue(overdue) => {
            (Some(&overdue.step), format!("overdue times={} due={}", overdue.times, rfc3339(overdue.due)))
        }
        Event::ResultDiscarded(result) => {
            let (generation, attempt) = (result.generation, result.attempt);
            (Some(&result.step), format!("discarded the result of try={attempt} of generation {generation}"))
        }
        Event::StepRecovered(anew) => {
            (Some(&anew.step), format!("begins anew time={} at={}", anew.recovery, rfc3339(anew.at)))
        }
        Event::QualityAssessed(assessed) => {
            let score = assessed.assessment.score.map_or_else(|| "-".to_owned(), |score| score.to_string());
            let (verdict, why) = (assessed.verdict.as_str(), assessed.assessment.shortfall());
            (Some(&assessed.step), format!("quality {verdict} try={} score={score} {why}", assessed.attempt))
        }
        event => return growth_news(event).or_else(|| budget_news(event).map(|news| (None, news))),
    })
}
