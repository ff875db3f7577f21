//! A line per change, for logs: no control codes, one fact per line.

use std::time::Duration;

use tutti_core::ids::StepPath;
use tutti_core::report::{RunView, human_seconds, printable, recovery_news, rfc3339};
use tutti_core::run::{Event, Recorded, StepStatus};
use tutti_core::time::Timestamp;

use super::frame::Counts;
use crate::output::say;

/// How often a summary is written.
const SUMMARY: Duration = Duration::from_secs(30);

/// Longest text from outside in a line, in characters.
const QUOTED: usize = 200;

#[derive(Default)]
pub(super) struct Plain {
    summary_at: Option<Timestamp>,
}

impl Plain {
    pub(super) fn event(&mut self, recorded: &Recorded, view: &RunView) {
        if let Some(line) = line(recorded, view) {
            say(line);
        }
    }

    pub(super) fn tick(&mut self, view: &RunView, now: Timestamp) {
        let last = *self.summary_at.get_or_insert(now);
        if now.since(last) < SUMMARY {
            return;
        }
        self.summary_at = Some(now);
        let counts = Counts::of(view);
        let words = counts.words().join(" ");
        say(format!("{} {} - progress done={}/{} {words}", time(now), short(view), counts.done, counts.all).trim_end());
    }
}

/// What is no event of the run.
pub(super) fn notice(text: &str, view: &RunView, now: Timestamp) {
    say(format!("{} {} - {text}", time(now), short(view)));
}

/// The line of an event; some are of no interest here.
fn line(recorded: &Recorded, view: &RunView) -> Option<String> {
    let took = |from: Option<Timestamp>| from.map(|from| took(from, recorded.at)).unwrap_or_default();
    let of_step = |path: &StepPath| view.plan().find(path).map(|index| view.step(index));
    let (subject, what): (Option<&StepPath>, String) = match &recorded.event {
        Event::RunCreated(created) => {
            let steps = view.plan().len();
            let executor = serde_json::to_value(created.strategy.executor).unwrap_or_default();
            let executor = executor.as_str().unwrap_or_default().to_owned();
            (
                None,
                format!("created run={} workflow={} steps={steps} executor={executor}", created.run, created.workflow),
            )
        }
        Event::RunAdmitted(_) => (None, format!("admitted{}", took(view.created_at()))),
        Event::RunResumed(resumed) => {
            let counts = Counts::of(view);
            (None, format!("resumed by={} done={}/{}", quoted(&resumed.order.by), counts.done, counts.all))
        }
        Event::RunCompleted(_) => (None, format!("completed{}", took(view.created_at()))),
        Event::RunFailed(failed) => {
            (None, format!("failed{} error={}", took(view.created_at()), quoted(&failed.error.to_string())))
        }
        Event::RunPaused(paused) => (None, format!("paused reason={}", quoted(&paused.order.reason))),
        Event::RunCancelled(cancelled) => (None, format!("cancelled reason={}", quoted(&cancelled.order.reason))),
        Event::RunTerminated(ended) => (None, format!("terminated reason={}", quoted(&ended.order.reason))),
        Event::RunReopened(reopened) => {
            let counts = Counts::of(view);
            (None, format!("reopened by={} done={}/{}", quoted(&reopened.order.by), counts.done, counts.all))
        }
        Event::RunQuarantined(aside) => (None, format!("quarantined reason={}", quoted(&aside.reason))),
        Event::CheckpointCreated(checkpoint) => (None, format!("checkpoint name={}", quoted(&checkpoint.name))),
        Event::AttemptStarted(started) => {
            (Some(&started.step), format!("running try={} agent={}", started.attempt, started.agent))
        }
        Event::TaskAssigned(_) => return None,
        Event::AttemptSuspended(suspended) => {
            let message = quoted(&suspended.message);
            (Some(&suspended.step), format!("waiting try={} message={message}", suspended.attempt))
        }
        Event::SignalReceived(signal) => {
            (Some(&signal.step), format!("answered try={} by={}", signal.attempt, quoted(&signal.order.by)))
        }
        Event::AttemptResumed(resumed) => (Some(&resumed.step), format!("running try={}", resumed.attempt)),
        Event::AttemptFailed(failed) => {
            let error = quoted(&failed.error.to_string());
            let word = if failed.retry_at.is_some() { "retrying" } else { "attempt-failed" };
            (Some(&failed.step), format!("{word} try={} error={error}", failed.attempt))
        }
        Event::ArtifactRecorded(artifact) => {
            let (name, bytes) = (quoted(&artifact.name), artifact.content.len);
            (Some(&artifact.step), format!("artifact name={name} bytes={bytes}"))
        }
        Event::StepCompleted(completed) => {
            let started = of_step(&completed.step).and_then(|step| step.started_at);
            (Some(&completed.step), format!("completed try={}{}", completed.attempt, took(started)))
        }
        Event::StepFailed(failed) => {
            let tries = of_step(&failed.step).map_or(0, |step| step.attempts.len());
            (Some(&failed.step), format!("failed tries={tries} error={}", quoted(&failed.error.to_string())))
        }
        event => {
            let (step, what) = recovery_news(event)?;
            (step, printable(&what).into_owned())
        }
    };
    let subject = subject.map_or("-", |step| step.as_str());
    Some(format!("{} {} {subject} {what}", time(recorded.at), short(view)))
}

fn took(from: Timestamp, to: Timestamp) -> String {
    format!(" took={}", human_seconds(to.since(from).as_secs_f64()).replace(' ', ""))
}

/// Time of day, in UTC.
pub(super) fn time(at: Timestamp) -> String {
    rfc3339(at).get(11..19).unwrap_or_default().to_owned()
}

/// The beginning of the run's id: its time in milliseconds, enough to tell runs apart.
fn short(view: &RunView) -> String {
    view.run().map(crate::live::frame::short).unwrap_or_default()
}

/// Text from outside, as one word that shows as it is.
pub(super) fn quoted(text: &str) -> String {
    let text: String = printable(text).chars().take(QUOTED).collect();
    let plain = !text.is_empty() && !text.contains([' ', '"', '=']);
    if plain { text } else { format!("\"{}\"", text.replace('"', "'")) }
}

/// Words of a count, such as `2 running`.
impl Counts {
    fn words(&self) -> Vec<String> {
        let all = [StepStatus::Running, StepStatus::Retrying, StepStatus::Waiting, StepStatus::Failed];
        all.iter()
            .map(|status| (self.of_status(*status), status.as_str()))
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{word}={count}"))
            .collect()
    }
}
