use proptest::prelude::*;

use super::super::testing::Given;
use super::*;
use crate::budget::Money;
use crate::ports::agent::AgentErrorKind::{Failed, InvalidInput, RateLimited, Unavailable};
use crate::ports::agent::{AgentReport, Need};
use crate::run::{Command, Input, Phase, StepStatus, Verdict};
use crate::schedule::{Width, admit};
use crate::value::{Json, Payload};
use crate::workflow::OnError;

/// Three steps at once, each reckoned with 1.00.
const THREE: &str = concat!(
    "- {id: a, capability: c, reserve: {money: 1}, retry: {max_attempts: 2, jitter: 0}}\n",
    "- {id: b, capability: c, reserve: {money: 1}}\n- {id: d, capability: c, reserve: {money: 1}}",
);

fn given(steps: &str, budget: &str) -> Given {
    Given::steps(&format!("{steps}\nbudget: {budget}"))
}

fn complete(run: &mut Given, step: &str, cost: &str, tokens: u64) -> Vec<Event> {
    let usage = Usage { cost_micros: Money::parse(cost).unwrap().0, tokens_in: tokens, tokens_out: 0 };
    let report = Some(Box::new(AgentReport { usage, ..AgentReport::default() }));
    let output = Payload::Inline(Json::empty_object());
    let input = Input::CompleteAttempt {
        key: run.key(step),
        output,
        artifacts: vec![],
        missing_inputs: vec![],
        report,
        grows: None,
        findings: None,
    };
    run.when(&input).unwrap()
}

fn raise(run: &mut Given, money: &str) -> Result<Vec<Event>, Rejection> {
    let add = Amounts { money: Money::parse(money).unwrap().0, ..Amounts::default() };
    run.command(Command::RaiseBudget { add })
}

fn money(run: &Given) -> (String, String) {
    let spending = run.state.spending().unwrap();
    (Money(spending.used().money).to_string(), Money(spending.reserved().money).to_string())
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::name).collect()
}

#[test]
fn no_more_begins_than_there_is_to_spend_and_what_is_not_used_is_given_back() {
    let mut run = given(THREE, "{money: 2}");
    assert_eq!(admit(&run.state, run.now), [0, 1], "the third would need more than there is");
    let events = run.start("a", "x").unwrap();
    let Event::AttemptStarted(started) = &events[0] else { panic!("{events:?}") };
    assert_eq!(started.reserved.as_ref().unwrap().money, 1_000_000);
    run.start("b", "x").unwrap();
    assert!(run.start("d", "x").is_err());
    assert_eq!(money(&run), ("0.00".into(), "2.00".into()));
    complete(&mut run, "a", "0.40", 100);
    assert!(admit(&run.state, run.now).is_empty(), "0.60 are left");
    complete(&mut run, "b", "0.60", 100);
    assert_eq!((money(&run), admit(&run.state, run.now)), (("1.00".into(), "0.00".into()), vec![2]));
    run.start("d", "x").unwrap();
    let events = complete(&mut run, "d", "0.70", 100);
    assert_eq!(names(&events), ["StepCompleted", "BudgetWarned", "RunCompleted"]);
    let used = run.state.spending().unwrap().used();
    assert_eq!((used.money, used.tokens, used.calls), (1_700_000, 300, 3));
}

#[test]
fn without_a_word_about_it_an_attempt_is_reckoned_as_the_largest_before_it() {
    let steps = "- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}\n- {id: d, capability: other}";
    let mut run = given(steps, "{money: 2, tokens: 100}");
    run.start("a", "x").unwrap();
    complete(&mut run, "a", "0.50", 30);
    let reckoned = |step| run.state.reckoned(run.index(step)).unwrap();
    assert_eq!((reckoned("b").money, reckoned("b").tokens, reckoned("b").calls), (500_000, 30, 1));
    assert_eq!(reckoned("d").money, 0, "nothing is known of this capability");
}

#[test]
fn what_is_spent_without_a_word_of_the_agent_is_what_was_reserved() {
    let mut run = given(THREE, "{money: 9}");
    run.start("a", "x").unwrap();
    run.start("b", "x").unwrap();
    run.fail("a", RateLimited, false).unwrap();
    assert_eq!(money(&run).0, "0.00", "a busy agent did nothing");
    run.now = run.now.plus(std::time::Duration::from_secs(2));
    run.start("a", "x").unwrap();
    run.fail("a", Failed, false).unwrap();
    assert_eq!(money(&run), ("1.00".into(), "1.00".into()));
    run.complete("b").unwrap();
    assert_eq!(money(&run), ("2.00".into(), "0.00".into()));
    run.start("d", "x").unwrap();
    let error = AgentError {
        usage: Some(Box::new(Usage { cost_micros: 7, ..Usage::default() })),
        ..AgentError::new(Failed, "no")
    };
    run.when(&Input::FailAttempt { key: run.key("d"), error, other_agent: true, chance: 0.0 }).unwrap();
    assert_eq!(money(&run).0, "2.000007", "what a failed attempt reports counts");
    run.start("d", "x").unwrap();
    run.command(Command::Cancel).unwrap();
    assert_eq!(money(&run), ("3.000007".into(), "0.00".into()), "what is stopped may have used it");
}

#[test]
fn under_stop_the_run_fails_when_what_is_under_way_has_ended_and_goes_on_when_there_is_more() {
    let mut run = given(THREE, "{money: 1.5}");
    run.start("a", "x").unwrap();
    let events = complete(&mut run, "a", "1.00", 0);
    assert_eq!(names(&events), ["StepCompleted", "BudgetSpent", "RunFailed"]);
    let (step, failure) = run.state.failure().unwrap();
    assert_eq!((step, failure.kind), (None, AgentErrorKind::BudgetSpent));
    assert_eq!(failure.message, "1.00 of 1.50 money are used, and step \"b\" needs 1.00");
    assert!(raise(&mut run, "0").is_err());
    let events = raise(&mut run, "0.50").unwrap();
    assert_eq!(names(&events), ["RunReopened", "BudgetRaised"]);
    assert_eq!((run.state.status(), admit(&run.state, run.now)), (RunStatus::Running, vec![1]));
    run.start("b", "x").unwrap();
    let events = complete(&mut run, "b", "0.90", 0);
    assert_eq!(names(&events)[1..], ["BudgetWarned", "BudgetSpent", "RunFailed"]);
    run.command(Command::Retry).unwrap();
    assert_eq!(run.state.status(), RunStatus::Failed, "a retry alone gives it nothing to spend");
}

#[test]
fn under_ask_the_run_waits_for_a_person_and_what_asks_no_agent_goes_on() {
    let steps = format!("{THREE}\n- {{id: nap, depends_on: [a], sleep: 1s}}");
    let mut run = given(&steps, "{money: 1.5, on_spent: ask}");
    run.start("a", "x").unwrap();
    let events = complete(&mut run, "a", "1.40", 0);
    assert_eq!(names(&events), ["StepCompleted", "BudgetWarned"], "a step that waits may start");
    assert_eq!(admit(&run.state, run.now), [3]);
    run.start("nap", "tutti").unwrap();
    assert_eq!(run.state.status(), RunStatus::Running);
    let until = None;
    let nap =
        Input::SuspendAttempt { key: run.key("nap"), need: Need::Time, message: String::new(), until, shown: None };
    assert_eq!(names(&run.when(&nap).unwrap()), ["AttemptSuspended", "BudgetSpent"]);
    assert_eq!(run.state.status(), RunStatus::Waiting);
    assert!(matches!(run.state.wake(), crate::ports::store::Wake::At(at) if at > run.now), "no budget is no moment");
    run.now = run.now.plus(std::time::Duration::from_secs(1));
    let path = run.key("nap").path;
    run.when(&Input::ExpireWait { step: path }).unwrap();
    assert_eq!(run.state.status(), RunStatus::Waiting);
    assert_eq!(names(&raise(&mut run, "0.50").unwrap()), ["BudgetRaised", "BudgetSpent"], "not enough");
    let events = raise(&mut run, "5").unwrap();
    assert_eq!((names(&events), run.state.status()), (vec!["BudgetRaised"], RunStatus::Running));
    assert_eq!(admit(&run.state, run.now), [1, 2]);
}

#[test]
fn under_warn_nothing_waits_and_it_is_told_once() {
    let mut run = given(THREE, "{calls: 2, money: 1, warn_at: 0.5, on_spent: warn}");
    assert_eq!(admit(&run.state, run.now), [0, 1, 2]);
    assert_eq!(names(&run.start("a", "x").unwrap()), ["AttemptStarted", "BudgetWarned"]);
    assert_eq!(names(&run.start("b", "x").unwrap()), ["AttemptStarted", "BudgetSpent"]);
    run.start("d", "x").unwrap();
    assert_eq!(names(&complete(&mut run, "a", "3", 0)), ["StepCompleted", "BudgetWarned", "BudgetSpent"]);
    complete(&mut run, "b", "3", 0);
    complete(&mut run, "d", "3", 0);
    assert_eq!(run.state.status(), RunStatus::Completed);
}

#[test]
fn a_step_that_waits_to_be_tried_again_waits_for_the_budget_too() {
    let mut run = given("- {id: a, capability: c, reserve: {money: 1}}", "{money: 1, on_spent: ask}");
    run.start("a", "x").unwrap();
    let events = run.fail("a", Unavailable, false).unwrap();
    assert_eq!(names(&events), ["AttemptFailed", "BudgetWarned", "BudgetSpent"]);
    assert_eq!(run.state.status(), RunStatus::Waiting);
    raise(&mut run, "1").unwrap();
    assert_eq!(run.state.step(0).status(), StepStatus::Retrying);
    assert_eq!(run.state.status(), RunStatus::Running);
}

#[test]
fn what_nobody_knows_stays_reserved_until_somebody_does() {
    let steps = "- {id: pay, capability: c, retry: unsafe, reserve: {money: 1}}\n- {id: mail, capability: c, depends_on: [pay]}";
    for (verdict, used) in [(Verdict::Retry, "0.00"), (Verdict::Skip, "1.00"), (Verdict::Fail, "1.00")] {
        let mut run = given(steps, "{money: 3}");
        run.start("pay", "x").unwrap();
        run.fail("pay", Unavailable, false).unwrap();
        assert!(matches!(run.state.step(0).phase, Phase::Held(_)));
        assert_eq!(money(&run), ("0.00".into(), "1.00".into()));
        run.command(Command::Decide { step: String::new(), verdict, output: None }).unwrap();
        assert_eq!(money(&run), (used.into(), "0.00".into()), "{verdict}");
    }
}

#[test]
fn undoing_is_never_stopped_and_what_it_costs_counts() {
    let steps = concat!(
        "- {id: a, capability: c, compensate: {capability: u}}\n",
        "- {id: b, capability: c, depends_on: [a], retry: {max_attempts: 1}}",
    );
    let mut run = Given::with(&format!("{steps}\nbudget: {{calls: 2}}"), Width::Bounded(4), OnError::Compensate);
    run.start("a", "x").unwrap();
    run.complete("a").unwrap();
    run.start("b", "x").unwrap();
    run.fail("b", InvalidInput, false).unwrap();
    assert_eq!(admit(&run.state, run.now), [run.index("a~undo")]);
    run.start("a~undo", "x").unwrap();
    run.complete("a~undo").unwrap();
    assert_eq!(run.state.status(), RunStatus::Failed);
    assert_eq!(run.state.spending().unwrap().used().calls, 3);
}

#[test]
fn the_time_that_somebody_is_waited_for_is_not_the_agents() {
    let mut run = given("- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}", "{time: 10s}");
    let later = |run: &mut Given, seconds| run.now = run.now.plus(std::time::Duration::from_secs(seconds));
    run.start("a", "x").unwrap();
    later(&mut run, 2);
    let key = run.key("a");
    run.when(&Input::SuspendAttempt { key, need: Need::Input, message: "?".into(), until: None, shown: None }).unwrap();
    later(&mut run, 1_000);
    run.command(Command::Signal { step: String::new(), answer: Payload::Inline(Json::null()) }).unwrap();
    run.when(&Input::ContinueAttempt { step: run.key("a").path }).unwrap();
    later(&mut run, 4);
    let events = run.complete("a").unwrap();
    assert_eq!(run.state.spending().unwrap().used().time, 6_000_000);
    assert_eq!(names(&events)[1..], ["BudgetSpent", "RunFailed"], "the next one is reckoned with as much");
}

#[test]
fn what_a_step_holds_is_bounded_by_the_same_budget() {
    let steps = "- {id: all, ask: {agents: 3}, capability: c, reserve: {money: 1}}";
    let mut run = given(steps, "{money: 2}");
    run.start("all", "tutti").unwrap();
    assert!(run.state.spending().unwrap().reserved().is_zero(), "the step that holds them asks nobody");
    run.when(&Input::ExpandStep { key: run.key("all"), first: 1, count: 3 }).unwrap();
    let startable = admit(&run.state, run.now);
    assert_eq!(startable.len(), 2, "the third would need more than there is");
    for index in startable {
        let step = run.state.plan().path(index);
        run.when(&Input::StartAttempt { step, agent: "x".parse().unwrap(), choice: None }).unwrap();
    }
    let open: Vec<_> = run.state.open_attempts().filter(|(_, open)| open.suspended.is_none()).map(|(i, _)| i).collect();
    let mut last = Vec::new();
    for index in open {
        let (key, output) = (run.state.attempt_key(index), Payload::Inline(Json::null()));
        let told = Input::CompleteAttempt {
            key,
            output,
            artifacts: vec![],
            missing_inputs: vec![],
            report: None,
            grows: None,
            findings: None,
        };
        last = run.when(&told).unwrap();
    }
    assert_eq!(names(&last), ["StepCompleted", "BudgetWarned", "BudgetSpent", "RunFailed"]);
}

#[test]
fn only_what_is_bounded_can_be_raised() {
    let mut run = given(THREE, "{calls: 2}");
    assert!(matches!(raise(&mut run, "1"), Err(Rejection::BadBudget(why)) if why.contains("does not bound money")));
    let mut run = Given::steps(THREE);
    assert!(matches!(raise(&mut run, "1"), Err(Rejection::BadBudget(why)) if why.contains("no budget")));
    assert!(run.state.spending().is_none());
    assert!(matches!(&run.start("a", "x").unwrap()[0], Event::AttemptStarted(started) if started.reserved.is_none()));
}

/// What may happen to a run, by numbers that choose among what is possible.
#[derive(Debug, Clone)]
enum Act {
    Start(usize),
    /// Ends well, having used so much, or without a word.
    Complete(usize, Option<(u64, u64)>),
    /// Fails, having used so much, or without a word.
    Fail(usize, Option<(u64, u64)>, bool),
    Raise(u64),
    Retry,
    /// Held with all that is under way stopped, and let go on.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let used = || prop::option::weighted(0.8, (0..90_u64, 0..90_u64));
    prop_oneof![
        5 => (0..8_usize).prop_map(Act::Start),
        4 => (0..8_usize, used()).prop_map(|(at, used)| Act::Complete(at, used)),
        2 => (0..8_usize, used(), any::<bool>()).prop_map(|(at, used, unsent)| Act::Fail(at, used, unsent)),
        1 => (1..200_u64).prop_map(Act::Raise),
        1 => Just(Act::Retry),
        1 => Just(Act::Restart),
    ]
}

/// A ledger that knows nothing of the rules: what was used, by what was told, and what is reserved for whom.
#[derive(Default)]
struct Ledger {
    used: u64,
    open: Vec<(u32, u64)>,
    /// What calls used beyond what was reserved for them.
    beyond: u64,
    calls: u64,
    limit: u64,
}

impl Ledger {
    fn end(&mut self, at: usize, used: Option<u64>) -> u32 {
        let (step, reserved) = self.open.remove(at);
        let used = used.unwrap_or(reserved);
        self.used += used;
        self.beyond += used.saturating_sub(reserved);
        step
    }
}

fn budget_text(limit: u64, ask: bool) -> String {
    format!("{{money: {}, calls: 30, on_spent: {}}}", Money(limit), if ask { "ask" } else { "stop" })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_budget_is_exceeded_only_by_what_calls_use_beyond_what_was_reserved(
        reserves in prop::collection::vec(prop::option::of(0..60_u64), 2..8),
        limit in 60..300_u64,
        ask in any::<bool>(),
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let steps = reserves.iter().enumerate().map(|(i, reserve)| {
            let reserve = reserve.map_or_else(String::new, |r| format!(", reserve: {{money: {}}}", Money(r)));
            format!("- {{id: s{i}, capability: c{}, retry: {{max_attempts: 3, jitter: 0}}{reserve}}}", i % 2)
        });
        let mut run = given(&steps.collect::<Vec<_>>().join("\n"), &budget_text(limit, ask));
        let mut ledger = Ledger { limit, ..Ledger::default() };
        for act in &acts {
            step(&mut run, &mut ledger, act);
            let spending = run.state.spending().unwrap();
            let reserved: u64 = ledger.open.iter().map(|(_, reserved)| reserved).sum();
            prop_assert_eq!((spending.used().money, spending.reserved().money), (ledger.used, reserved));
            prop_assert!(ledger.used <= ledger.limit + ledger.beyond, "overspent by more than was used beyond");
            prop_assert!(spending.used().calls == ledger.calls && ledger.calls <= 30);
            let waits = run.state.status() == RunStatus::Waiting;
            prop_assert!(!waits || (ask && admit(&run.state, run.now).is_empty()));
        }
    }
}

fn step(run: &mut Given, ledger: &mut Ledger, act: &Act) {
    run.now = run.now.plus(std::time::Duration::from_secs(60));
    let takes = run.state.status().takes_results();
    let told = |(cost_micros, tokens_in)| Usage { cost_micros, tokens_in, tokens_out: 1 };
    match *act {
        Act::Start(at) if takes => {
            let may = admit(&run.state, run.now);
            let Some(index) = may.get(at % may.len().max(1)) else { return };
            let events = run.start(&format!("s{index}"), "x").unwrap();
            let started = events.iter().find_map(|event| match event {
                Event::AttemptStarted(started) => Some(started.reserved.as_ref().map_or(0, |reserved| reserved.money)),
                _ => None,
            });
            ledger.open.push((*index, started.unwrap()));
            ledger.calls += 1;
            let reserved: u64 = ledger.open.iter().map(|(_, reserved)| reserved).sum();
            assert!(ledger.used + reserved <= ledger.limit, "more is reserved than there is");
        }
        Act::Complete(at, used) if takes && !ledger.open.is_empty() => {
            let index = ledger.end(at % ledger.open.len(), used.map(|(money, _)| money));
            let report = used.map(|used| Box::new(AgentReport { usage: told(used), ..AgentReport::default() }));
            let (key, output) = (run.state.attempt_key(index), Payload::Inline(Json::null()));
            run.when(&Input::CompleteAttempt {
                key,
                output,
                artifacts: vec![],
                missing_inputs: vec![],
                report,
                grows: None,
                findings: None,
            })
            .unwrap();
        }
        Act::Fail(at, used, unsent) if takes && !ledger.open.is_empty() => {
            let money = used.map(|(money, _)| money).or(unsent.then_some(0));
            let index = ledger.end(at % ledger.open.len(), money);
            let usage = used.map(|used| Box::new(told(used)));
            let error = AgentError { usage, unsent, ..AgentError::new(Unavailable, "no") };
            let key = run.state.attempt_key(index);
            run.when(&Input::FailAttempt { key, error, other_agent: false, chance: 0.0 }).unwrap();
        }
        Act::Raise(by) => {
            let add = Amounts { money: by, ..Amounts::default() };
            if run.command(Command::RaiseBudget { add }).is_ok() {
                ledger.limit += by;
            }
        }
        Act::Retry if run.state.status() == RunStatus::Failed => {
            run.command(Command::Retry).unwrap();
        }
        Act::Restart if run.state.status().is_open() => {
            run.command(Command::PauseWork { work: crate::run::Work::Cancel }).unwrap();
            (0..ledger.open.len()).for_each(|_| _ = ledger.end(0, None));
            run.command(Command::Resume).unwrap();
        }
        _ => return,
    }
    if !run.state.status().takes_results() {
        // What was under way when the run ended may have used what it was reckoned with.
        (0..ledger.open.len()).for_each(|_| _ = ledger.end(0, None));
    }
}
