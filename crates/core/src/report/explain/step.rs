//! What there is to say of a step.

use std::collections::BTreeSet;

use super::finding::{Finding, Reason};
use super::known::{Hindrance, Known, Outlook};
use super::{failed, wait};
use crate::budget::Amounts;
use crate::ids::AgentId;
use crate::plan::StepIndex;
use crate::report::spent::told_shortage;
use crate::report::view::{RunView, StepView};
use crate::report::{human_seconds, rfc3339};
use crate::run::{AgentChoice, ChoiceReason, OpenAttempt, PassedOver, Phase, RunState, RunStatus};
use crate::schedule::{Width, admit};
use crate::time::Timestamp;

/// The step that is explained, and all that is known.
#[derive(Clone, Copy)]
pub(super) struct Subject<'s> {
    pub(super) view: &'s RunView,
    pub(super) state: &'s RunState,
    pub(super) index: StepIndex,
    pub(super) known: &'s Known,
    pub(super) now: Timestamp,
}

/// Steps that are named in one sentence.
const NAMED: usize = 5;

pub(super) fn findings(step: &Subject<'_>) -> Vec<Finding> {
    let mut found = match &step.state.step(step.index).phase {
        Phase::Blocked(_) => blocked(step),
        Phase::Ready(at) => ready(step, *at),
        Phase::Open(open) => match (open.suspended, &open.answer) {
            (None, _) => working(step, open),
            (Some(_), Some(_)) => answered(step, open),
            (Some(need), None) => wait::suspended(step, open, need),
        },
        Phase::Held(held) => wait::held(step, held),
        Phase::Idle => vec![idle(step)],
        Phase::Completed(_) => vec![done(step)],
        Phase::Failed(_) => failed::step(step),
        Phase::Skipped => vec![skipped(step)],
        Phase::Omitted => {
            vec![Finding::new(Reason::Skipped, "Its condition did not hold; what depends on it goes on.")]
        }
        Phase::Cancelled => vec![Finding::new(Reason::Cancelled, "The run ended before it was finished.")],
    };
    // What became of earlier attempts, and why the last one was asked of whom.
    if !matches!(step.state.step(step.index).phase, Phase::Failed(_)) {
        found.extend(failed::attempts(step));
    }
    found.extend(chosen(step));
    found
}

impl<'s> Subject<'s> {
    pub(super) fn seen(&self) -> StepView<'s> {
        self.view.step(self.index)
    }

    fn name(&self, index: StepIndex) -> String {
        format!("{} ({})", self.state.plan().path(index), self.state.step(index).status())
    }

    /// Steps by name and state.
    pub(super) fn names(&self, indexes: &[StepIndex]) -> String {
        let mut names: Vec<String> = indexes.iter().take(NAMED).map(|index| self.name(*index)).collect();
        if indexes.len() > NAMED {
            names.push(format!("{} more", indexes.len() - NAMED));
        }
        names.join(", ")
    }

    fn paths(&self, indexes: &[StepIndex]) -> Vec<crate::ids::StepPath> {
        indexes.iter().map(|index| self.state.plan().path(*index)).collect()
    }

    fn own(&self) -> bool {
        (self.index as usize) < self.state.plan().len()
    }
}

fn blocked(step: &Subject<'_>) -> Vec<Finding> {
    if !step.own() {
        return vec![idle(step)];
    }
    let is_complete = |index: &StepIndex| matches!(step.state.step(*index).phase, Phase::Completed(_));
    let plan = step.state.plan();
    let missing: Vec<StepIndex> = plan.dependencies(step.index).filter(|index| !is_complete(index)).collect();
    // What those wait for in their turn, down to what can be waited for by itself.
    let (mut seen, mut roots, mut todo) = (BTreeSet::new(), BTreeSet::new(), missing.clone());
    while let Some(index) = todo.pop() {
        if !seen.insert(index) {
            continue;
        }
        match step.state.step(index).phase {
            Phase::Blocked(_) => todo.extend(plan.dependencies(index).filter(|before| !is_complete(before))),
            _ => drop(roots.insert(index)),
        }
    }
    let text = format!("It waits for {}.", step.names(&missing));
    let mut found = vec![Finding::new(Reason::Dependencies, text).steps(step.paths(&missing))];
    let roots: Vec<StepIndex> = roots.into_iter().collect();
    if roots != missing && !roots.is_empty() {
        let text = format!("In the end that hangs on {}.", step.names(&roots));
        found.push(Finding::new(Reason::Dependencies, text).steps(step.paths(&roots)));
    }
    found
}

fn ready(step: &Subject<'_>, at: Option<Timestamp>) -> Vec<Finding> {
    let (state, now) = (step.state, step.now);
    let mut found = Vec::new();
    let own = state.step(step.index);
    if let Some(at) = at.filter(|at| *at > now) {
        let most = state.plan().step(step.index).retry.max_attempts;
        let next = own.attempts - own.uncounted + 1;
        let text = format!("Attempt {next} of at most {most} begins at {}.", rfc3339(at));
        found.push(Finding::new(Reason::Retry, text).at(at));
        return found;
    }
    match state.status() {
        RunStatus::Pending => return vec![Finding::new(Reason::Queue, "It starts when the run leaves the queue.")],
        status if !status.is_open() => {
            let text = format!("It may start once the run, which is {status}, goes on.");
            return vec![Finding::new(Reason::Paused, text)];
        }
        _ => {}
    }
    if let Some(undo) = state.undoing().filter(|undo| undo.current != Some(step.index)) {
        let text = "Nothing goes forward while the run undoes what it did.";
        let current = undo.current.map(|index| vec![index]).unwrap_or_default();
        return vec![Finding::new(Reason::Undoing, text).steps(step.paths(&current))];
    }
    if let Some(shortage) = state.shortage(step.index, Amounts::default()) {
        let text = format!("It waits because the budget is spent: {}.", told_shortage(&shortage));
        return vec![Finding::new(Reason::Budget, text)];
    }
    if !admit(state, now).contains(&step.index) {
        return vec![not_its_turn(step)];
    }
    agents(step)
}

/// A step that may start but for others of its run.
fn not_its_turn(step: &Subject<'_>) -> Finding {
    let (state, plan) = (step.state, step.state.plan());
    let under_way: Vec<StepIndex> =
        state.open_attempts().filter(|(_, open)| open.suspended.is_none()).map(|(index, _)| index).collect();
    let width = match state.policy().width {
        Width::One => 1,
        Width::Bounded(width) => width,
    };
    let (reason, text) = if state.runs_alone() && width > 1 {
        (Reason::Alone, format!("{} must run alone, and is under way.", step.names(&under_way)))
    } else if state.in_flight() >= width {
        let (count, names) = (state.in_flight(), step.names(&under_way));
        (Reason::Width, format!("The run has {count} under way, as many as its width of {width} allows: {names}."))
    } else if !plan.step(step.index).parallel_safe && state.in_flight() > 0 {
        (Reason::Alone, format!("It must run alone, and waits for {}.", step.names(&under_way)))
    } else {
        (Reason::Turn, "Other steps of the run have their turn before it.".to_owned())
    };
    Finding::new(reason, text).steps(step.paths(&under_way))
}

/// A step whose turn it is: what of agents keeps it.
fn agents(step: &Subject<'_>) -> Vec<Finding> {
    let Some(capability) = &step.state.plan().step(step.index).capability else {
        return vec![Finding::new(Reason::Starting, "It is about to begin.")];
    };
    let Some(owner) = step.known.owner else {
        let text =
            format!("It is to be asked of an agent with {capability}. Whether one can be asked, a server knows.");
        return vec![Finding::new(Reason::AgentsUnknown, text)];
    };
    let mut found = Vec::new();
    if owner.is_full {
        let text = "The server carries out as many attempts as it may at once.";
        found.push(Finding::new(Reason::Places, text));
    }
    let Some(outlook) = step.known.outlooks.get(&step.index) else { return found };
    if outlook.agents.is_empty() {
        let text = match &step.state.plan().step(step.index).agent {
            Some(pinned) => format!("The agent {pinned}, which the workflow names, is not known here."),
            None => format!("No agent is known that has {capability}."),
        };
        found.push(Finding::new(Reason::NoAgent, text));
        return found;
    }
    found.extend(outlook.capability.as_ref().map(|hindrance| {
        let what = format!("All agents together are asked for {capability} within bounds");
        Finding { at: until(hindrance), ..Finding::new(Reason::CapabilityLimit, told(&what, hindrance, step.now)) }
    }));
    found.extend(outlook.agents.iter().filter_map(|agent| {
        let hindrance = agent.hindrance.as_ref()?;
        let text = told(&format!("Agent {}", agent.agent), hindrance, step.now);
        Some(Finding { at: until(hindrance), ..Finding::new(reason(hindrance), text).agent(&agent.agent) })
    }));
    if let Some(ahead) = outlook.ahead.filter(|ahead| *ahead > 0) {
        found.push(Finding::new(Reason::Line, format!("{ahead} that want the same wait in line before it.")));
    }
    if let Some(free) = free(outlook).filter(|_| found.is_empty() || outlook.ahead.is_none() && !owner.is_full) {
        found.insert(
            0,
            Finding::new(Reason::Starting, format!("Agent {free} can be asked: it is about to be.")).agent(free),
        );
    }
    found
}

fn free(outlook: &Outlook) -> Option<&AgentId> {
    let free = outlook.agents.iter().find(|agent| agent.hindrance.is_none()).map(|agent| &agent.agent);
    free.filter(|_| outlook.capability.is_none())
}

const fn reason(hindrance: &Hindrance) -> Reason {
    match hindrance {
        Hindrance::InFlight(_) => Reason::AgentBusy,
        Hindrance::Rate(..) => Reason::AgentRate,
        Hindrance::Rests(_) => Reason::AgentRests,
        Hindrance::BreakerOpen(_) | Hindrance::BreakerTrial => Reason::AgentBreaker,
        Hindrance::Silent(_) => Reason::AgentSilent,
        Hindrance::Asked => Reason::AgentAsked,
    }
}

const fn until(hindrance: &Hindrance) -> Option<Timestamp> {
    match hindrance {
        Hindrance::Rate(_, until) | Hindrance::Rests(until) | Hindrance::BreakerOpen(until) => Some(*until),
        Hindrance::InFlight(_) | Hindrance::BreakerTrial | Hindrance::Silent(_) | Hindrance::Asked => None,
    }
}

fn told(who: &str, hindrance: &Hindrance, now: Timestamp) -> String {
    let after = |until: &Timestamp| human_seconds(until.since(now).as_secs_f64());
    match hindrance {
        Hindrance::InFlight(most) => format!("{who}: {most} at once are under way, and no more may be."),
        Hindrance::Rate(rate, until) => format!("{who}: no more than {rate}; the next in {}.", after(until)),
        Hindrance::Rests(until) => format!("{who}: said that it is busy, and is left alone for {}.", after(until)),
        Hindrance::BreakerOpen(until) => {
            format!("{who}: failed again and again; its breaker is open for {}.", after(until))
        }
        Hindrance::BreakerTrial => format!("{who}: failed again and again; one attempt tries it now."),
        Hindrance::Silent(Some(last)) => format!("{who}: no sign of life since {}.", rfc3339(*last)),
        Hindrance::Silent(None) => format!("{who}: no sign of life."),
        Hindrance::Asked => format!("{who}: was asked already in this round."),
    }
}

fn working(step: &Subject<'_>, open: &OpenAttempt) -> Vec<Finding> {
    let (number, took) = (step.state.step(step.index).attempts, step.now.since(open.started_at));
    let task = open.task.as_ref().map_or_else(String::new, |task| format!(", task {task}"));
    let text =
        format!("Attempt {number} is under way at {} for {}{task}.", open.agent, human_seconds(took.as_secs_f64()));
    let mut found = vec![Finding::new(Reason::Working, text).at(open.started_at).agent(&open.agent)];
    if step.state.follows_work() {
        let at = open.started_at.plus(step.state.attempt_timeout(step.index));
        found.push(Finding::new(Reason::AttemptTimeout, format!("The attempt fails at {}.", rfc3339(at))).at(at));
    } else {
        found.push(Finding::new(Reason::Paused, "Nobody waits for it: the run is held, and its work is left."));
    }
    found
}

fn answered(step: &Subject<'_>, open: &OpenAttempt) -> Vec<Finding> {
    let text = format!("It was answered, and {} is about to be told.", open.agent);
    let mut found = vec![Finding::new(Reason::Answered, text).agent(&open.agent)];
    if step.state.status().is_open() && !admit(step.state, step.now).contains(&step.index) {
        found.push(not_its_turn(step));
    } else if step.state.status().is_open() {
        found.extend(agents(step));
    }
    found
}

fn idle(step: &Subject<'_>) -> Finding {
    let undone = step.state.plan().undone_by(step.index).map(|index| vec![index]).unwrap_or_default();
    let is_pending = step
        .state
        .undoing()
        .and_then(|undo| undo.pending.as_ref())
        .is_some_and(|pending| pending.contains(&step.index));
    let text = if is_pending {
        "It has its turn when what was done after it is undone."
    } else {
        "It is done only if the step must be undone."
    };
    Finding::new(Reason::Idle, text).steps(step.paths(&undone))
}

fn done(step: &Subject<'_>) -> Finding {
    let seen = step.seen();
    let by = seen.agent().map_or_else(String::new, |agent| format!(" by {agent}"));
    let after = match seen.attempts.len() {
        0 | 1 => String::new(),
        attempts => format!(" after {attempts} attempts"),
    };
    let found = Finding::new(Reason::Done, format!("It was done{by}{after}."));
    seen.ended_at.into_iter().fold(found, Finding::at)
}

fn skipped(step: &Subject<'_>) -> Finding {
    let plan = step.state.plan();
    let (mut seen, mut roots, mut todo) = (BTreeSet::new(), Vec::new(), vec![step.index]);
    while let Some(index) = todo.pop() {
        match step.state.step(index).phase {
            Phase::Skipped if seen.insert(index) => todo.extend(plan.dependencies(index)),
            Phase::Failed(_) if seen.insert(index) => roots.push(index),
            _ => {}
        }
    }
    let text = format!("It was not run because of {}.", step.names(&roots));
    Finding::new(Reason::Skipped, text).steps(step.paths(&roots))
}

/// Whom the last attempt asked, and why.
fn chosen(step: &Subject<'_>) -> Option<Finding> {
    let last = step.seen().attempts.last()?;
    let agent = last.agent.as_ref().filter(|agent| **agent != AgentId::engine())?;
    let definition = step.state.plan().step(step.index);
    let why = match (&definition.agent, &last.choice) {
        (Some(_), _) => "the workflow names it".to_owned(),
        (None, Some(choice)) => because(choice),
        (None, None) => format!("it has {}", definition.does()),
    };
    Some(Finding::new(Reason::Agent, format!("Attempt {} was asked of {agent}: {why}.", last.number)).agent(agent))
}

/// Why one of several agents was asked.
fn because(choice: &AgentChoice) -> String {
    let better = match choice.reason {
        ChoiceReason::OnlyOne => "no other could be asked",
        ChoiceReason::Healthy => "its last attempt had not failed",
        ChoiceReason::HasRoom => "it did not say that it is full",
        ChoiceReason::LeastBusy => "it had less to do",
        ChoiceReason::LowerLoad => "it told a lower load",
        ChoiceReason::SuccessRate => "more of its attempts end well",
        ChoiceReason::Faster => "it takes less time",
        ChoiceReason::Name => "they were equal, and its name comes first",
        ChoiceReason::Unknown => "a newer version chose it",
    };
    let passed = choice.passed.iter().map(|(agent, why)| {
        let why = match why {
            PassedOver::Asked => "asked already",
            PassedOver::Silent => "silent",
            PassedOver::Full => "full",
            PassedOver::Rate => "at its rate",
            PassedOver::Resting => "resting",
            PassedOver::BreakerOpen => "its breaker open",
            PassedOver::Unknown => "not to be asked",
        };
        format!("{agent} was {why}")
    });
    let passed: Vec<String> = passed.collect();
    let passed = if passed.is_empty() { String::new() } else { format!(" ({})", passed.join(", ")) };
    format!("of {}, {better}{passed}", choice.of)
}
