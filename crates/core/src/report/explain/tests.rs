use super::*;
use crate::ids::AgentId;
use crate::ports::agent::AgentErrorKind::{Failed, InvalidInput, Timeout, Unavailable};
use crate::ports::agent::Need;
use crate::report::testing::Drive;
use crate::run::{AgentChoice, ChoiceReason, Command, Input, Order, PassedOver, RunStatus};
use crate::schedule::Width;
use crate::time::Timestamp;
use crate::workflow::OnError;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((100 + seconds) * 1_000_000)
}

fn served() -> Known {
    Known { owner: Some(Owner { drives: true, ..Owner::default() }), ..Known::default() }
}

fn explain(run: &Drive, step: &str, known: &Known) -> Explanation {
    let step = (!step.is_empty()).then(|| run.index(step));
    Explanation::new(&run.view(), step, known, run.now).unwrap()
}

/// Reason and words of what there is to say of a step.
fn of_step(run: &Drive, step: &str, known: &Known) -> Vec<(Reason, String)> {
    let explained = explain(run, step, known).steps.remove(0);
    explained.findings.into_iter().map(|finding| (finding.reason, finding.text)).collect()
}

fn of_run(run: &Drive, known: &Known) -> Vec<(Reason, String)> {
    explain(run, "", known).findings.into_iter().map(|finding| (finding.reason, finding.text)).collect()
}

fn says(found: &[(Reason, String)], reason: Reason, words: &str) {
    assert!(
        found.iter().any(|(r, text)| *r == reason && text.contains(words)),
        "no {reason} with {words:?}: {found:#?}"
    );
}

fn command(run: &mut Drive, command: Command) {
    assert!(run.input(&Input::Command { command, order: Order::new("ana", "a look first") }));
}

fn suspend(run: &mut Drive, step: &str, need: Need, message: &str) {
    let (key, message) = (run.key(step), message.to_owned());
    assert!(run.input(&Input::SuspendAttempt { key, need, message, until: None, shown: None }));
}

fn agent(name: &str, hindrance: Option<Hindrance>) -> AgentOutlook {
    AgentOutlook { agent: name.parse::<AgentId>().unwrap(), hindrance }
}

const CHAIN: &str = "- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}\n\
                     - {id: d, capability: c, depends_on: [b]}";

#[test]
fn a_step_waits_for_those_before_it_and_in_the_end_for_what_is_under_way() {
    let mut run = Drive::parallel(CHAIN);
    run.start("a", "x").at(3.0);
    let found = of_step(&run, "d", &served());
    says(&found, Reason::Dependencies, "It waits for b (pending).");
    says(&found, Reason::Dependencies, "hangs on a (running)");
    let found = of_step(&run, "a", &served());
    says(&found, Reason::Working, "Attempt 1 is under way at x for 3.00 s");
    says(&found, Reason::Agent, "was asked of x: it has c");
    let next = explain(&run, "a", &served()).steps.remove(0).findings;
    let timeout = next.iter().find(|finding| finding.reason == Reason::AttemptTimeout).unwrap();
    assert_eq!((timeout.aspect, timeout.at), (Aspect::Next, Some(at(30))));
    let whole = explain(&run, "", &served());
    assert_eq!(
        whole.steps.iter().map(|step| step.step.as_str()).collect::<Vec<_>>(),
        ["a"],
        "what is blocked does not matter"
    );
    says(&of_run(&run, &served()), Reason::Progress, "0 of 3 steps are complete, 1 under way");
    says(&of_run(&run, &served()), Reason::RunTimeout, "in 59 m 57 s");
}

#[test]
fn a_step_that_could_start_says_what_of_its_run_keeps_it() {
    let two = "- {id: a, capability: c}\n- {id: b, capability: c}";
    let mut run = Drive::new(two, Width::One, OnError::Fail);
    run.start("a", "x");
    says(&of_step(&run, "b", &served()), Reason::Width, "its width of 1 allows: a (running)");
    let alone = "- {id: a, capability: c}\n- {id: b, capability: c, parallel_safe: false}";
    let mut run = Drive::parallel(alone);
    run.start("a", "x");
    says(&of_step(&run, "b", &served()), Reason::Alone, "waits for a (running)");
    let mut run = Drive::parallel("- {id: a, capability: c, parallel_safe: false}\n- {id: b, capability: c}");
    run.start("a", "x");
    says(&of_step(&run, "b", &served()), Reason::Alone, "a (running) must run alone");
    command(&mut run, Command::Pause);
    says(&of_step(&run, "b", &served()), Reason::Paused, "which is paused");
    says(&of_run(&run, &served()), Reason::Paused, "paused by ana: a look first; nothing is started. 1 under way");
    says(&of_run(&run, &served()), Reason::CanResume, "resumed");
}

#[test]
fn a_step_whose_turn_it_is_says_what_of_each_agent_keeps_it() {
    let run = Drive::parallel("- {id: a, capability: c}");
    says(&of_step(&run, "a", &Known::default()), Reason::AgentsUnknown, "a server knows");
    let mut known = served();
    let mut tell = |outlook| {
        known.outlooks = [(0, outlook)].into();
        of_step(&run, "a", &known)
    };
    says(&tell(Outlook::default()), Reason::NoAgent, "No agent is known that has c");
    let agents = vec![
        agent("one", Some(Hindrance::InFlight(4))),
        agent("two", Some(Hindrance::BreakerOpen(at(30)))),
        agent("three", Some(Hindrance::Rate("10/s".parse().unwrap(), at(1)))),
        agent("four", Some(Hindrance::Rests(at(5)))),
        agent("five", Some(Hindrance::Silent(None))),
        agent("six", Some(Hindrance::Asked)),
        agent("seven", Some(Hindrance::BreakerTrial)),
    ];
    let found = tell(Outlook { agents, capability: Some(Hindrance::InFlight(9)), ahead: Some(2) });
    for (reason, words) in [
        (Reason::CapabilityLimit, "asked for c within bounds: 9 at once"),
        (Reason::AgentBusy, "Agent one: 4 at once are under way"),
        (Reason::AgentBreaker, "Agent two: failed again and again; its breaker is open for 30.0 s"),
        (Reason::AgentRate, "Agent three: no more than 10/1s; the next in 1.00 s"),
        (Reason::AgentRests, "Agent four: said that it is busy, and is left alone for 5.00 s"),
        (Reason::AgentSilent, "Agent five: no sign of life"),
        (Reason::AgentAsked, "Agent six: was asked already"),
        (Reason::AgentBreaker, "Agent seven: failed again and again; one attempt tries it"),
        (Reason::Line, "2 that want the same wait in line before it"),
    ] {
        says(&found, reason, words);
    }
    let free = Outlook { agents: vec![agent("one", None)], ..Outlook::default() };
    says(&tell(free.clone()), Reason::Starting, "Agent one can be asked");
    known.owner = Some(Owner { drives: true, is_full: true, commit_since: Some(at(0)) });
    known.outlooks = [(0, free)].into();
    let found = of_step(&run, "a", &known);
    assert_eq!(found.len(), 1, "a free agent is no help to a server that is full: {found:?}");
    says(&found, Reason::Places, "as many attempts as it may");
    says(&of_run(&run, &known), Reason::Commit, "is not durable yet");
    known.owner = Some(Owner::default());
    says(&of_run(&run, &known), Reason::Elsewhere, "does not drive it");
}

#[test]
fn a_step_that_is_tried_again_says_when_and_what_happened() {
    let mut run = Drive::parallel("- {id: a, capability: c}");
    run.start("a", "x").at(2.0);
    run.fail("a", Unavailable, "connection refused", false);
    let found = of_step(&run, "a", &served());
    says(&found, Reason::Retry, "Attempt 2 of at most 3 begins at 1970-01-01T00:01:4");
    says(&found, Reason::AttemptFailed, "Attempt 1 at x failed after 2.00 s: UNAVAILABLE: connection refused");
    assert!(steps_without_agent(&run.view(), None, run.now).is_empty());
    assert_eq!(steps_without_agent(&run.view(), None, at(60)), [0], "its moment has come");
}

#[test]
fn a_failed_run_tells_the_chain_from_the_attempts_to_what_was_undone() {
    let steps = "- {id: flight, capability: c, compensate: {capability: u}}\n\
                 - {id: pay, capability: c, depends_on: [flight], retry: {max_attempts: 2}}\n\
                 - {id: mail, capability: c, depends_on: [pay]}";
    let mut run = Drive::new(steps, Width::Bounded(4), OnError::Compensate);
    run.start("flight", "x").complete("flight");
    run.start("pay", "x").fail("pay", Failed, "no such card", true);
    run.start("pay", "y").fail("pay", InvalidInput, "still no such card", false);
    says(&of_run(&run, &served()), Reason::Undoing, "newest first (now flight~undo, then 0 more) because pay failed");
    says(&of_run(&run, &served()), Reason::NotUndone, "Not undone: flight.");
    let undo = run.plan.undo_of(run.index("flight")).unwrap();
    let key = run.state.attempt_key(undo);
    assert!(run.input(&Input::StartAttempt { step: key.path, agent: "x".parse().unwrap(), choice: None }));
    let key = run.state.attempt_key(undo);
    assert!(run.input(&crate::report::testing::completed(key, "{}", vec![], vec![])));
    assert_eq!(run.state.status(), RunStatus::Failed);
    let found = of_run(&run, &served());
    says(&found, Reason::Ended, "It failed because pay failed: INVALID_INPUT: still no such card");
    says(&found, Reason::Policy, "on_error of the run is compensate");
    says(&found, Reason::Undone, "Undone: flight.");
    says(&found, Reason::CanRetry, "A retry does again");
    let found = of_step(&run, "pay", &served());
    says(&found, Reason::AttemptFailed, "Attempt 1 at x failed");
    says(&found, Reason::AttemptFailed, "Attempt 2 at y failed");
    says(&found, Reason::Policy, "All of its 2 attempts are used up");
    let found = of_step(&run, "flight", &served());
    says(&found, Reason::Done, "It was done by x.");
    let matter = explain(&run, "", &served());
    assert_eq!(matter.steps.iter().map(|step| step.step.as_str()).collect::<Vec<_>>(), ["pay"]);
}

#[test]
fn what_was_not_run_names_what_failed() {
    let mut run = Drive::parallel(CHAIN);
    run.start("a", "x").fail("a", InvalidInput, "no", false);
    says(&of_step(&run, "d", &served()), Reason::Skipped, "because of a (failed)");
}

#[test]
fn a_person_is_told_what_is_asked_who_may_decide_and_until_when() {
    let steps =
        "- {id: ok, approval: {message: Pay?, by: [ana, eva], due: 60s, overdue: escalate, escalate_to: [boss]}}";
    let mut run = Drive::parallel(steps);
    run.start("ok", "tutti");
    suspend(&mut run, "ok", Need::Approval, "Pay?");
    let found = explain(&run, "ok", &served()).steps.remove(0).findings;
    let by = |reason| found.iter().find(|finding| finding.reason == reason).unwrap();
    assert_eq!(by(Reason::Approval).text, "A person must approve: Pay?");
    assert_eq!(by(Reason::CanApprove).people, ["ana", "eva"]);
    assert_eq!((by(Reason::Overdue).at, by(Reason::Overdue).aspect), (Some(at(60)), Aspect::Next));
    says(&of_step(&run, "ok", &served()), Reason::Overdue, "more people may decide");
    says(&of_run(&run, &served()), Reason::Progress, "Nothing goes on before somebody answers");
    run.at(60.0);
    assert!(run.input(&Input::ExpireWait { step: run.key("ok").path }));
    says(&of_step(&run, "ok", &served()), Reason::CanApprove, "ana, eva, boss");
    says(&of_step(&run, "ok", &served()), Reason::Overdue, "the step fails");
}

#[test]
fn moments_signals_and_questions_say_what_they_wait_for() {
    let steps =
        "- {id: nap, sleep: 60s}\n- {id: go, signal: {message: the truck, due: 30s}}\n- {id: ask, capability: c}";
    let mut run = Drive::parallel(steps);
    for (step, agent, need) in [("nap", "tutti", Need::Time), ("go", "tutti", Need::Signal), ("ask", "x", Need::Input)]
    {
        run.start(step, agent);
        suspend(&mut run, step, need, "which one?");
    }
    says(&of_step(&run, "nap", &served()), Reason::Time, "It waits until 1970-01-01T00:02:40");
    says(&of_step(&run, "go", &served()), Reason::Signal, "a signal: the truck");
    says(&of_step(&run, "go", &served()), Reason::Overdue, "fails at 1970-01-01T00:02:10");
    says(&of_step(&run, "ask", &served()), Reason::Question, "Agent x asks: which one?");
    assert!(!of_step(&run, "nap", &served()).iter().any(|(reason, _)| *reason == Reason::Agent), "nobody is asked");
}

#[test]
fn what_is_held_says_why_and_what_can_be_decided() {
    let mut run = Drive::parallel("- {id: pay, capability: c, retry: unsafe}");
    run.start("pay", "x").fail("pay", Timeout, "no answer", false);
    let found = of_step(&run, "pay", &served());
    says(&found, Reason::OutcomeUnknown, "Agent x may have done it");
    says(&found, Reason::CanDecide, "it did not happen (retry)");
    let mut run = Drive::parallel("- {id: pay, capability: c, on_error: escalate}");
    run.start("pay", "x").fail("pay", InvalidInput, "no", false);
    says(&of_step(&run, "pay", &served()), Reason::Decision, "a person must decide");
}

#[test]
fn a_stuck_and_a_set_aside_run_say_what_would_let_them_go_on() {
    let steps = "- {id: a, capability: c, compensate: {capability: u, retry: {max_attempts: 1}}}\n\
                 - {id: b, capability: c, depends_on: [a]}";
    let mut run = Drive::new(steps, Width::Bounded(4), OnError::Compensate);
    run.start("a", "x").complete("a");
    run.start("b", "x").fail("b", InvalidInput, "no", false);
    let undo = run.plan.undo_of(0).unwrap();
    let path = run.plan.path(undo);
    assert!(run.input(&Input::StartAttempt { step: path, agent: "x".parse().unwrap(), choice: None }));
    let error = crate::ports::agent::AgentError::new(InvalidInput, "gone");
    assert!(run.input(&Input::FailAttempt {
        key: run.state.attempt_key(undo),
        error,
        other_agent: false,
        chance: 0.0
    }));
    assert_eq!(run.state.status(), RunStatus::Stuck);
    let found = of_run(&run, &served());
    says(&found, Reason::Stuck, "a~undo failed");
    says(&found, Reason::NotUndone, "Not undone: a.");
    says(&found, Reason::CanDecide, "undone by hand");
    let mut run = Drive::parallel(CHAIN);
    assert!(run.input(&Input::QuarantineRun { reason: "3 owners were lost".into() }));
    says(&of_run(&run, &served()), Reason::Quarantined, "It is set aside: 3 owners were lost");
}

#[test]
fn only_so_many_steps_are_told_and_untrusted_text_is_made_safe() {
    let steps: String = (0..30).map(|n| format!("- {{id: s{n}, capability: c}}\n")).collect();
    let mut run = Drive::new(&steps, Width::Bounded(100), OnError::Continue);
    let whole = explain(&run, "", &Known::default());
    assert_eq!((whole.steps.len(), whole.left_out), (MAX_EXPLAINED_STEPS, 10));
    run.start("s7", "x").fail("s7", Unavailable, "\u{1b}[2J", false);
    let text = render_explanation(&explain(&run, "", &Known::default()), 60, |finding, step| {
        (finding.reason == Reason::AttemptFailed).then(|| format!("see {step:?}"))
    });
    assert!(text.contains("step s7 is retrying\n  now      Attempt 2 of at most 3 begins"), "{text}");
    assert!(text.contains('␛') && !text.contains('\u{1b}') && text.contains("see Some(\"s7\")"), "{text}");
    assert!(text.ends_with("10 more steps matter; name one to have it explained\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 70), "{text}");
}

#[test]
fn an_agent_that_was_asked_says_why_it_was_and_the_others_were_not() {
    let mut run = Drive::parallel("- {id: a, capability: c}");
    let passed = [("y".parse().unwrap(), PassedOver::Full)].into();
    let choice = Some(AgentChoice { reason: ChoiceReason::LeastBusy, of: 3, passed });
    let (step, agent) = (run.key("a").path, "x".parse().unwrap());
    assert!(run.input(&Input::StartAttempt { step, agent, choice }));
    says(&of_step(&run, "a", &served()), Reason::Agent, "asked of x: of 3, it had less to do (y was full).");
}
