use tutti_core::ids::AttemptKey;
use tutti_core::run::{
    AttemptSuspended, Order, RunCompleted, RunFailed, RunReopened, RunTerminated, StepFailed, TaskAssigned,
};

use super::super::testing::{History, PARENT, failure, path, run};
use super::*;

fn spans(history: &History) -> Vec<Span> {
    let (mut builder, first) = SpanBuilder::begin(&history.0[0], None).unwrap();
    let mut spans = vec![first];
    spans.extend(history.0[1..].iter().flat_map(|event| builder.apply(event)));
    spans
}

fn find<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    found[0]
}

fn attribute<'s>(span: &'s Span, key: &str) -> Option<&'s Value> {
    span.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn seconds(span: &Span) -> (i64, i64) {
    (span.start.as_micros() / 1_000_000, span.end.as_micros() / 1_000_000)
}

#[test]
fn every_step_is_part_of_its_run_and_every_attempt_of_its_step() {
    let history = History::new(Some(PARENT))
        .start("a", 1)
        .and(Event::TaskAssigned(TaskAssigned { step: path("a"), attempt: 1, task: "t1".to_owned() }))
        .fail("a", 1)
        .start("a", 2)
        .complete("a", 2)
        .and(Event::RunCompleted(RunCompleted {}));
    let spans = spans(&history);
    let caller = RunTrace::parse(PARENT).unwrap();
    assert!(spans.iter().all(|span| span.trace == caller.trace && span.sampled));
    let (whole, step) = (find(&spans, "run demo"), find(&spans, "step a"));
    assert_eq!((whole.id, whole.parent, whole.is_remote), (span_id(&run().to_string()), caller.parent, true));
    assert_eq!((step.id, step.parent), (span_id(&format!("{}/0/a", run())), Some(whole.id)));
    assert_eq!((find(&spans, "plan").parent, step.outcome.clone()), (Some(whole.id), Outcome::Completed));
    assert_eq!((seconds(whole), seconds(step)), ((1, 7), (2, 6)));

    let attempts: Vec<&Span> = spans.iter().filter(|span| span.name == "attempt bob").collect();
    let key = |attempt| AttemptKey { run: run(), generation: 0, path: path("a"), attempt };
    assert_eq!(attempts.iter().map(|span| span.id).collect::<Vec<_>>(), [attempt_span(&key(1)), attempt_span(&key(2))]);
    assert!(attempts.iter().all(|span| span.parent == Some(step.id)));
    assert_eq!((attempts[0].outcome.clone(), seconds(attempts[0])), (Outcome::Failed(failure()), (2, 4)));
    assert_eq!(attribute(attempts[0], key::TASK), Some(&"t1".into()));
    assert_eq!(attribute(attempts[0], key::ERROR), Some(&"UNAVAILABLE".into()));
    assert_eq!(attribute(whole, key::EFFICIENCY), Some(&Value::Share(0.0)), "one step after the other");
}

#[test]
fn what_is_open_at_the_end_ends_with_the_run_and_a_step_without_an_attempt_has_a_span() {
    let order = Order::new("ops", "enough");
    let history = History::new(None)
        .start("a", 1)
        .and(Event::StepFailed(StepFailed { step: path("b"), error: failure() }))
        .and(Event::RunTerminated(RunTerminated { order }));
    let spans = spans(&history);
    let (step, attempt) = (find(&spans, "step a"), find(&spans, "attempt bob"));
    assert_eq!((&step.outcome, &attempt.outcome), (&Outcome::Cancelled, &Outcome::Cancelled));
    assert_eq!(seconds(step), (2, 4));
    assert_eq!((seconds(find(&spans, "step b")), find(&spans, "step b").parent), ((3, 3), step.parent));
    let whole = find(&spans, "run demo");
    assert_eq!((whole.parent, whole.trace), (None, *run().as_uuid().as_bytes()));
    assert_eq!(attribute(whole, key::STATE), Some(&"terminated".into()));
}

#[test]
fn a_reopened_run_has_a_span_of_its_own_below_the_first_and_other_steps() {
    let history = History::new(None)
        .start("a", 1)
        .fail("a", 1)
        .and(Event::StepFailed(StepFailed { step: path("a"), error: failure() }))
        .and(Event::RunFailed(RunFailed { step: Some(path("a")), error: failure(), undone: None }))
        .and(Event::RunReopened(RunReopened { order: Order::new("ops", ""), generation: 1 }))
        .start("a", 1)
        .complete("a", 1)
        .and(Event::RunCompleted(RunCompleted {}));
    let spans = spans(&history);
    let of = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let (runs, steps) = (of("run demo"), of("step a"));
    assert_eq!((runs[0].outcome.clone(), runs[1].outcome.clone()), (Outcome::Failed(failure()), Outcome::Completed));
    assert_eq!((runs[1].parent, seconds(runs[1])), (Some(runs[0].id), (6, 9)));
    assert_eq!((steps[0].parent, steps[1].parent), (Some(runs[0].id), Some(runs[1].id)));
    let mut ids: Vec<_> = spans.iter().map(|span| span.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "no id twice");
}

#[test]
fn attempts_that_wait_are_not_in_flight_and_nothing_is_open_at_the_end() {
    let suspended = AttemptSuspended {
        step: path("a"),
        attempt: 1,
        need: tutti_core::ports::agent::Need::Input,
        message: "which?".to_owned(),
        due: None,
        shown: None,
    };
    let history = History::new(None)
        .start("a", 1)
        .start("b", 1)
        .and(Event::AttemptSuspended(suspended))
        .complete("b", 1)
        .complete("a", 1)
        .and(Event::RunCompleted(RunCompleted {}));
    let (mut builder, _) = SpanBuilder::begin(&history.0[0], None).unwrap();
    let open: Vec<(i64, i64)> = history.0[1..]
        .iter()
        .map(|event| {
            builder.apply(event);
            (builder.open().in_flight, builder.open().spans)
        })
        .collect();
    assert_eq!(open, [(1, 3), (2, 5), (1, 5), (0, 3), (0, 1), (0, 0)]);
}

#[test]
fn an_event_out_of_order_changes_nothing() {
    let history = History::new(None).start("a", 1).complete("a", 1);
    let (mut builder, _) = SpanBuilder::begin(&history.0[0], None).unwrap();
    assert!(builder.apply(&history.0[2]).is_empty());
    assert_eq!(builder.seq(), 1);
    assert!(SpanBuilder::begin(&history.0[1], None).is_none());
}

#[test]
fn a_commit_is_part_of_the_run() {
    let (builder, _) = SpanBuilder::begin(&History::new(None).0[0], None).unwrap();
    let at = Timestamp::from_micros;
    let commit = Committed { first_seq: 2, events: 3, bytes: 400, batch_runs: 7, start: at(5), end: at(9) };
    let span = builder.committed(&commit);
    assert_eq!(span.id, span_id(&format!("{}/commit/2", run())));
    assert_eq!((span.parent, span.start, span.end), (Some(span_id(&run().to_string())), at(5), at(9)));
    assert_eq!(attribute(&span, key::COMMIT_RUNS), Some(&Value::Number(7)));
}

#[test]
fn a_phase_that_was_reached_is_a_span_of_its_run() {
    use tutti_core::orchestration::{Orchestration, Phase};
    let mut history = History::new(None).start("a", 1).fail("a", 1).start("a", 2).complete("a", 2);
    if let Event::RunCreated(created) = &mut history.0[0].event {
        let phases = Phase::ALL.into_iter().filter(|phase| *phase != Phase::Sessions).collect();
        created.origin.orchestration = Some(Box::new(Orchestration { phases, ..Orchestration::default() }));
    }
    let spans = spans(&history.and(Event::RunCompleted(RunCompleted {})));
    let whole = find(&spans, "run demo");
    let told: Vec<&str> = spans.iter().filter_map(|span| span.name.strip_prefix("phase ")).collect();
    assert_eq!(told, ["analysis", "streaming", "error_handling", "artifacts"], "off, or without an occasion");
    let failing = find(&spans, "phase error_handling");
    assert_eq!((failing.parent, seconds(failing)), (Some(whole.id), (3, 3)));
    assert_eq!(seconds(find(&spans, "phase streaming")), seconds(whole));
    assert_eq!(attribute(failing, key::PRESET), Some(&"full".into()));
}
