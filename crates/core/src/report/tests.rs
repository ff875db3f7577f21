//! The view, the report, the monitor and the text on runs that were really driven.

use proptest::prelude::*;

use super::testing::{Drive, completed};
use super::*;
use crate::ports::agent::AgentErrorKind::{self, InvalidInput, Unavailable};
use crate::ports::agent::{AgentError, Need};
use crate::run::{Command, Input, Order, RunStatus, StepStatus};
use crate::schedule::Width;
use crate::time::Timestamp;
use crate::workflow::OnError;

const DIAMOND: &str = concat!(
    "- {id: a, capability: c, stage: One, estimated_duration: 2s}\n",
    "- {id: b, capability: c, stage: Two, depends_on: [a], estimated_duration: 3s}\n",
    "- {id: c, capability: c, stage: Two, depends_on: [a], estimated_duration: 5s}\n",
    "- {id: d, capability: c, stage: Two, depends_on: [b, c], estimated_duration: 1s}",
);

/// a 0–2, b 2–5, c 2–7, d 7–8.
fn diamond() -> Drive {
    let mut run = Drive::parallel(DIAMOND);
    run.at(0.0).start("a", "x").at(2.0).complete("a").start("b", "x").start("c", "y");
    run.at(5.0).complete("b").at(7.0).complete("c").start("d", "x").at(8.0).complete("d");
    run
}

fn report(run: &Drive) -> ExecutionReport {
    ExecutionReport::of(run.plan.clone(), &run.history).unwrap()
}

fn close(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() < 1e-9)
}

#[test]
fn a_report_has_the_times_of_the_run() {
    let report = report(&diamond());
    let totals = &report.totals;
    assert_eq!((report.state, totals.steps, totals.completed, totals.retries), (RunStatus::Completed, 4, 4, 0));
    assert!(close(Some(totals.sequential_seconds), 11.0) && close(totals.makespan_seconds, 8.0));
    assert!(close(totals.speed_up, 11.0 / 8.0) && close(totals.parallel_efficiency, 3.0 / 11.0));
    assert_eq!((totals.success_rate, totals.peak_in_flight), (Some(1.0), 2));
    let path: Vec<&str> = totals.critical_path.steps.iter().map(crate::ids::StepId::as_str).collect();
    assert_eq!(path, ["a", "c", "d"]);
    let d = &report.steps[3];
    assert_eq!((d.level, d.offset_seconds, d.wait_seconds, d.duration), (2, Some(7.0), Some(0.0), Some(1.0)));
    assert_eq!(d.started_at.as_deref(), Some("1970-01-01T00:01:47.000000Z"));
    let levels: Vec<_> = report.levels.iter().map(|level| level.offset_seconds).collect();
    assert_eq!(levels, [Some(2.0), Some(7.0), Some(8.0)]);
    let stages: Vec<_> = report.stages.iter().map(|s| (s.stage.as_str(), s.steps, s.duration)).collect();
    assert_eq!(stages, [("One", 1, Some(2.0)), ("Two", 3, Some(6.0))]);
    let agents: Vec<_> = totals.agents.iter().map(|a| (a.agent.as_str(), a.attempts, a.seconds)).collect();
    assert_eq!(agents, [("x", 3, 6.0), ("y", 1, 5.0)]);
    assert!(!report.partial_completion && report.failed.is_empty() && report.successful.len() == 4);
    assert!(
        report.assessment.starts_with("All 4 steps completed in 8.00 s. One after another"),
        "{}",
        report.assessment
    );
    assert!(report.assessment.contains("1.4 times as fast (27 % less)"), "{}", report.assessment);
    assert!(report.assessment.contains("slowest step was c with 5.00 s; the longest chain was a → c → d with 8.00 s"));
}

#[test]
fn json_names_are_stable_and_numbers_are_finite() {
    let mut run = diamond();
    let json = serde_json::to_value(report(&run)).unwrap();
    for key in ["run_id", "workflow", "state", "steps", "totals", "levels", "stages", "partial_completion", "failed"] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["executor"], "parallel");
    assert_eq!(json["strategy_reason"], "requested");
    assert_eq!(json["steps"][0]["output"]["ok"], true);
    assert_eq!(json["steps"][0]["attempt_log"][0]["outcome"], "completed");
    // Nothing has started: what is not defined is null.
    run.history.truncate(1);
    let json = serde_json::to_value(report(&run)).unwrap();
    for key in ["makespan_seconds", "speed_up", "parallel_efficiency", "success_rate"] {
        assert!(json["totals"][key].is_null(), "{key}");
    }
    run.history.clear();
    assert!(ExecutionReport::of(run.plan.clone(), &run.history).is_none());
}

#[test]
fn a_large_output_is_named_by_its_hash() {
    let payload = crate::value::PayloadRef::to(b"large");
    let json = serde_json::to_value(OutputReport::from(&crate::value::Payload::Stored(payload))).unwrap();
    assert_eq!(json["payload"]["len"], 5);
    assert_eq!(json["payload"]["hash"], payload.hash.to_string());
}

#[test]
fn failures_repetitions_and_missing_inputs_are_told() {
    let mut run = Drive::parallel(concat!(
        "- {id: a, capability: c, retry: {jitter: 0}}\n- {id: b, capability: c}\n",
        "- {id: c, capability: c, depends_on: [b]}",
    ));
    run.at(0.0).start("a", "x").start("b", "x").at(1.0).fail("a", Unavailable, "no route", false);
    let view = run.view();
    let a = view.step(0);
    assert_eq!((a.status, a.error.unwrap().message.as_str()), (StepStatus::Retrying, "no route"));
    assert_eq!(a.retry_at, Some(Timestamp::from_micros(102_000_000)));
    run.at(2.0).start("a", "y").at(3.0).artifact("a", "\u{1b}[2Jnote.txt", b"hello");
    run.fail("b", InvalidInput, "bad \u{202e}news\n", true);
    let report = report(&run);
    assert_eq!((report.state, report.partial_completion), (RunStatus::Failed, true));
    assert_eq!(report.failed, ["Task 1 failed: b: INVALID_INPUT: bad \u{202e}news\n"]);
    let a = &report.steps[0];
    assert_eq!((a.attempts, a.duration, a.attempt_log[0].outcome), (2, Some(3.0), Outcome::Failed));
    assert_eq!((a.artifacts[0].bytes, a.artifacts[0].media_type.as_deref()), (5, Some("text/plain")));
    assert_eq!((report.totals.attempts, report.totals.retries, report.totals.skipped), (3, 1, 1));
    assert_eq!(report.totals.success_rate, Some(1.0 / 3.0));
    for sentence in [
        "The run failed after 3.00 s: 1 of 3 steps completed, 1 failed, 1 did not run to an end.",
        "b failed after 1 attempt: INVALID_INPUT: bad \\u{202e}news␊.",
        "Completed only after a repetition: a (2 attempts).",
        "Ran with part of their input missing: a without hint.",
    ] {
        assert!(report.assessment.contains(sentence), "{sentence}\n{}", report.assessment);
    }
    let text = render_text(&report, 80);
    assert!(text.contains("▒") && text.contains("·") && text.contains("Failures"), "{text}");
    assert!(text.contains("  ␛[2Jnote.txt  5 B, text/plain, by a\n"), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{text}");
}

#[test]
fn nobody_to_ask_is_an_attempt_without_an_agent() {
    let mut run = Drive::parallel("- {id: a, capability: c, retry: {max_attempts: 1}}");
    let (step, error) = (run.key("a").path, AgentError::new(AgentErrorKind::NoAgent, "none"));
    assert!(run.at(1.0).input(&Input::RefuseAttempt { step, error, chance: 0.0 }));
    let report = report(&run);
    assert_eq!((report.steps[0].attempts, report.steps[0].agent.as_ref()), (1, None));
    assert!(!report.partial_completion);
    assert!(render_text(&report, 80).contains("NO_AGENT: none"));
}

#[test]
fn a_suspended_attempt_shows_what_is_asked_and_the_end_closes_it() {
    let mut run = Drive::parallel("- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}");
    run.start("a", "x");
    let key = run.key("a");
    run.input(&Input::NoteTask { key: key.clone(), task: "t1".into() });
    run.input(&Input::SuspendAttempt { key, need: Need::Input, message: "which?".into(), until: None, shown: None });
    let view = run.view();
    assert_eq!((view.status(), view.step(0).question()), (RunStatus::Waiting, Some((Need::Input, "which?"))));
    assert_eq!(view.step(0).attempts[0].task.as_deref(), Some("t1"));
    run.at(4.0).input(&Input::Command { command: Command::Cancel, order: Order::new("ana", "late") });
    let view = run.view();
    let a = view.step(0);
    assert_eq!((a.status, a.attempts[0].outcome), (StepStatus::Cancelled, Outcome::Cancelled));
    assert_eq!((a.ended_at, view.ended_at()), (Some(run.now), Some(run.now)));
    assert_eq!(view.step(1).status, StepStatus::Cancelled);
    assert_eq!(view.error().as_deref(), Some("cancelled by ana: late"));
    assert!(report(&run).assessment.contains("The run was cancelled after 4.00 s: 0 of 2 steps completed."));
}

#[test]
fn the_monitor_foresees_the_end_from_estimates() {
    let mut run = Drive::parallel(DIAMOND);
    let monitor = |run: &Drive| Monitor::new(&run.view(), run.now);
    assert_eq!(monitor(&run).estimated_completion_seconds, Some(8.0));
    run.at(0.0).start("a", "x").at(1.5);
    assert_eq!(monitor(&run).estimated_completion_seconds, Some(6.5));
    run.at(2.0).complete("a").start("b", "x").start("c", "y").at(4.0);
    let at_4 = monitor(&run);
    assert_eq!((at_4.progress_percentage, at_4.completed_steps, at_4.total_steps), (25.0, 1, 4));
    assert_eq!((at_4.estimated_completion_seconds, at_4.elapsed_seconds), (Some(4.0), 4.0));
    assert_eq!(at_4.current_step.as_ref().unwrap().as_str(), "b");
    assert_eq!((at_4.current_steps.len(), at_4.performance_metrics.in_flight), (2, 2));
    assert_eq!(at_4.performance_metrics.average_step_seconds, Some(2.0));
    run.at(90.0);
    assert_eq!(monitor(&run).estimated_completion_seconds, Some(1.0), "late steps may end at any moment");
    let done = diamond();
    let monitor = Monitor::new(&done.view(), done.now.plus(std::time::Duration::from_secs(60)));
    assert_eq!((monitor.progress_percentage, monitor.estimated_completion_seconds), (100.0, Some(0.0)));
    assert_eq!((monitor.elapsed_seconds, monitor.current_step), (8.0, None));
    assert_eq!(step_outputs(&done.view()).len(), 4);
}

#[test]
fn without_estimates_the_monitor_goes_by_the_average() {
    let mut run = Drive::parallel("- {id: a, capability: c}\n- {id: b, capability: c}\n- {id: d, capability: c}");
    assert_eq!(Monitor::new(&run.view(), run.now).estimated_completion_seconds, None);
    run.start("a", "x").at(3.0).complete("a");
    assert_eq!(Monitor::new(&run.view(), run.now).estimated_completion_seconds, Some(6.0));
}

#[test]
fn the_bars_show_when_steps_ran() {
    let text = render_text(&report(&diamond()), 60);
    let bar = |step: &str| {
        let timeline = text.split("Timeline").nth(1).unwrap();
        let line = timeline.lines().find(|line| line.starts_with(&format!("  {step} "))).unwrap();
        let cells: Vec<char> = line.chars().skip(4).collect();
        let at = |c: &&char| **c == '█';
        (cells.iter().position(|c| at(&c)).unwrap(), cells.iter().filter(at).count())
    };
    // 54 cells stand for 8 seconds.
    assert_eq!((bar("a"), bar("b"), bar("c"), bar("d")), ((0, 14), (13, 21), (13, 35), (47, 7)), "{text}");
}

#[test]
fn a_large_run_is_shown_in_part() {
    let steps: String = (0..300).map(|i| format!("- {{id: step-{i}, capability: c}}\n")).collect();
    let mut run = Drive::new(&steps, Width::One, OnError::Fail);
    for i in 0..300 {
        run.at(f64::from(i)).start_admitted();
        run.at(f64::from(i) + 1.0).complete(&format!("step-{i}"));
    }
    let report = report(&run);
    assert!(report.assessment.contains("as executor basic does. The slowest step was step-0 with 1.00 s"));
    let text = render_text(&report, 80);
    assert!(text.contains("… and 200 more") && text.contains("… and 280 more"), "{text}");
    assert!(text.lines().count() < 250, "{text}");
}

/// A graph of up to 12 steps in which each depends on some before it.
fn graph() -> impl Strategy<Value = String> {
    prop::collection::vec((any::<u16>(), any::<bool>(), 0..3_u8), 1..12).prop_map(|steps| {
        let line = |(i, (bits, safe, stage)): (usize, (u16, bool, u8))| {
            let on: Vec<String> = (0..i).filter(|j| bits >> j & 3 == 3).map(|j| format!("s{j}")).collect();
            let on = on.join(", ");
            format!(
                "- {{id: s{i}, capability: c, stage: 'st {stage}', depends_on: [{on}], parallel_safe: {safe}, \
                 critical: {safe}, retry: {{max_attempts: 2, jitter: 0}}}}\n"
            )
        };
        steps.into_iter().enumerate().map(line).collect()
    })
}

/// One random thing that may happen to a run.
fn act(run: &mut Drive, choice: u8, pick: usize) {
    let open: Vec<String> = run.state.open_attempts().map(|(i, _)| run.plan.step(i).id.to_string()).collect();
    run.now = run.now.plus(std::time::Duration::from_millis(137));
    if choice < 8 || open.is_empty() {
        run.start_admitted();
        return;
    }
    let key = run.key(&open[pick % open.len()]);
    let kind = [Unavailable, InvalidInput, AgentErrorKind::Rejected][pick % 3];
    let input = match choice {
        8..40 => completed(key, "{\"a\": [1]}", vec![], vec![]),
        40..50 => Input::FailAttempt {
            key,
            error: AgentError::new(kind, "x"),
            other_agent: pick.is_multiple_of(2),
            chance: 0.5,
        },
        50..54 => Input::SuspendAttempt { key, need: Need::Auth, message: "?".into(), until: None, shown: None },
        54..58 => Input::NoteTask { key, task: "t".into() },
        58 => Input::Command { command: Command::Cancel, order: Order::default() },
        59 => Input::QuarantineRun { reason: "x".into() },
        _ => Input::Command { command: Command::Resume, order: Order::new("o", "") },
    };
    run.input(&input);
}

proptest! {
    #[test]
    fn the_view_agrees_with_the_state_after_every_event(
        steps in graph(),
        acts in prop::collection::vec((0..62_u8, any::<usize>()), 0..60),
        narrow in any::<bool>(),
        fail in any::<bool>(),
        width in 20_usize..120,
    ) {
        let (width_of_run, on_error) =
            (if narrow { Width::One } else { Width::Bounded(3) }, if fail { OnError::Fail } else { OnError::Continue });
        let mut run = Drive::new(&steps, width_of_run, on_error);
        let mut view = RunView::new(run.plan.clone());
        view.apply(&run.history[0]);
        for (choice, pick) in acts {
            let seen = run.history.len();
            act(&mut run, choice, pick);
            // A watcher who was cut off sees some events twice.
            for event in &run.history[seen.saturating_sub(2)..] {
                view.apply(event);
            }
            prop_assert_eq!(view.status(), run.state.status());
            prop_assert_eq!(view.seq(), run.state.seq());
            for (index, step) in run.state.steps().iter().enumerate() {
                let seen = view.step(index as u32);
                prop_assert_eq!(seen.status, step.status());
                prop_assert_eq!(seen.attempts.len(), step.attempts as usize);
                prop_assert_eq!(seen.output, run.state.output(index as u32));
                let last = seen.attempts.last().map(|attempt| attempt.outcome);
                let fits = match seen.status {
                    StepStatus::Running => last == Some(Outcome::Running),
                    StepStatus::Waiting => last == Some(Outcome::Suspended),
                    StepStatus::Completed => last == Some(Outcome::Completed),
                    StepStatus::Failed | StepStatus::Retrying => last == Some(Outcome::Failed),
                    StepStatus::Cancelled => last != Some(Outcome::Running) && last != Some(Outcome::Completed),
                    _ => last.is_none_or(|outcome| outcome == Outcome::Failed),
                };
                prop_assert!(fits, "{} {:?}", seen.status, last);
                let ran = matches!(seen.status, StepStatus::Completed | StepStatus::Failed);
                prop_assert!(!ran || seen.ended_at.is_some());
                prop_assert!(seen.started_at.is_none() || seen.ready_at <= seen.started_at);
            }
        }
        let report = ExecutionReport::new(&view).unwrap();
        prop_assert_eq!(&report, &ExecutionReport::of(run.plan.clone(), &run.history).unwrap(), "one by one is the whole");
        let totals = &report.totals;
        let critical = totals.critical_path.seconds;
        prop_assert!(critical <= totals.sequential_seconds + 1e-9);
        prop_assert!(totals.makespan_seconds.is_none_or(|makespan| critical <= makespan + 1e-9));
        prop_assert!(serde_json::to_string(&report).is_ok());
        let text = render_text(&report, width);
        prop_assert!(text.lines().all(|line| columns(line) <= width.max(40)), "{}", text);
        let monitor = Monitor::new(&view, run.now);
        prop_assert!((0.0..=100.0).contains(&monitor.progress_percentage));
    }
}

#[test]
fn a_run_that_was_undone_can_be_looked_at() {
    let steps = "- {id: a, capability: c, compensate: {capability: u}}\n- {id: b, capability: c, depends_on: [a]}";
    let mut run = Drive::new(steps, Width::Bounded(4), OnError::Compensate);
    run.start("a", "x").complete("a");
    run.start("b", "x").fail("b", AgentErrorKind::InvalidInput, "no", false);
    let undo = run.plan.undo_of(run.index("a")).unwrap();
    assert!(run.input(&Input::StartAttempt { step: run.plan.path(undo), agent: "x".parse().unwrap(), choice: None }));
    let undone = completed(run.state.attempt_key(undo), "{}", vec![], vec![]);
    assert!(run.input(&undone));
    let view = run.view();
    assert_eq!(view.status(), RunStatus::Failed);
    assert_eq!(view.undos().map(|undo| undo.status).collect::<Vec<_>>(), [StepStatus::Completed]);
}
