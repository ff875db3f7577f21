//! What to think of a run, in plain sentences.

use super::execution::{ExecutionReport, StepReport};
use super::moment::human_seconds;
use super::printable::fit;
use crate::run::{RunStatus, StepStatus};
use crate::workflow::Executor;

/// Most steps named in one sentence.
const NAMED: usize = 3;

/// Most columns of an error quoted in a sentence.
const QUOTED: usize = 200;

/// The sentences: how it ended, what failed, what running side by side gained, what took longest, what was repeated and
/// what ran with less than it should.
pub(super) fn assess(report: &ExecutionReport) -> String {
    let sentences =
        [Some(outcome(report)), failures(report), speed(report), slowest(report), repeated(report), degraded(report)];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn outcome(report: &ExecutionReport) -> String {
    let totals = &report.totals;
    let of_all = format!("{} of {} completed", totals.completed, steps(totals.steps));
    let within = report.duration.map(human_seconds).unwrap_or_default();
    match report.state {
        RunStatus::Completed if totals.steps == 1 => format!("The only step completed in {within}."),
        RunStatus::Completed => format!("All {} completed in {within}.", steps(totals.steps)),
        RunStatus::Failed => {
            let left = match totals.skipped + totals.cancelled {
                0 => String::new(),
                left => format!(", {left} did not run to an end"),
            };
            format!("The run failed after {within}: {of_all}, {} failed{left}.", totals.failed)
        }
        RunStatus::Cancelled | RunStatus::Terminated => {
            format!("The run was {} after {within}: {of_all}.", report.state)
        }
        state => format!("The run is {state}: {of_all} so far."),
    }
}

fn failures(report: &ExecutionReport) -> Option<String> {
    let failed: Vec<&StepReport> = report.steps.iter().filter(|s| s.state == StepStatus::Failed).collect();
    let told = failed.iter().take(NAMED).map(|step| {
        let error = fit(step.error.as_deref().unwrap_or("no reason is known"), QUOTED).into_owned();
        format!("{} failed after {}: {}.", step.id, attempts(step.attempts), error.trim_end_matches('.'))
    });
    let more = failed.len().checked_sub(NAMED + 1).map(|more| format!("{} more failed.", more + 1));
    let run = failed.is_empty().then_some(report.error.as_ref()).flatten();
    let run = run.map(|error| format!("Reason: {}.", fit(error, QUOTED).trim_end_matches('.')));
    let sentences: Vec<String> = told.chain(more).chain(run).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

fn speed(report: &ExecutionReport) -> Option<String> {
    let totals = &report.totals;
    let (makespan, speed_up) = (totals.makespan_seconds?, totals.speed_up?);
    if totals.steps == 1 || totals.completed == 0 {
        return None;
    }
    let (together, took) = (human_seconds(totals.sequential_seconds), human_seconds(makespan));
    Some(match totals.peak_in_flight {
        _ if speed_up < 0.95 => format!("The run stood still at times: its steps took {together}, all of it {took}."),
        0 | 1 if report.executor == Executor::Basic => {
            "The steps ran one after another, as executor basic does.".into()
        }
        0 | 1 => "No two steps ran at once.".into(),
        peak => format!(
            "One after another the steps would have taken {together}; with up to {peak} at once they took {took}, \
             {speed_up:.1} times as fast ({:.0} % less).",
            totals.parallel_efficiency.unwrap_or_default() * 100.0
        ),
    })
}

fn slowest(report: &ExecutionReport) -> Option<String> {
    // Of several the first.
    let timed = report.steps.iter().rev().filter_map(|step| Some((step, step.duration?)));
    let (step, seconds) = timed.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, seconds)| *seconds > 0.0)?;
    let path = &report.totals.critical_path;
    if report.totals.steps == 1 {
        return None;
    }
    let mut chain: Vec<&str> = path.steps.iter().map(crate::ids::StepId::as_str).collect();
    if chain.len() > 2 * NAMED {
        chain.splice(NAMED..chain.len() - NAMED, ["…"]);
    }
    let slowest = format!("The slowest step was {} with {}", step.id, human_seconds(seconds));
    Some(match chain.len() {
        0 | 1 => format!("{slowest}."),
        _ => format!("{slowest}; the longest chain was {} with {}.", chain.join(" → "), human_seconds(path.seconds)),
    })
}

fn repeated(report: &ExecutionReport) -> Option<String> {
    let saved = |step: &&StepReport| step.attempts > 1 && step.state == StepStatus::Completed;
    let list =
        named(report.steps.iter().filter(saved).map(|step| format!("{} ({})", step.id, attempts(step.attempts))));
    list.map(|list| format!("Completed only after a repetition: {list}."))
}

fn degraded(report: &ExecutionReport) -> Option<String> {
    let without = report.steps.iter().filter(|step| !step.missing_inputs.is_empty());
    let list = named(without.map(|step| format!("{} without {}", step.id, fit(&step.missing_inputs.join(", "), 60))));
    list.map(|list| format!("Ran with part of their input missing: {list}."))
}

/// The first few of a list and how many more there are; nothing for an empty one.
fn named(all: impl Iterator<Item = String>) -> Option<String> {
    let mut all = all.peekable();
    all.peek()?;
    let mut text = all.by_ref().take(NAMED).collect::<Vec<_>>().join(", ");
    let more = all.count();
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    Some(text)
}

fn steps(count: u32) -> String {
    format!("{count} {}", if count == 1 { "step" } else { "steps" })
}

fn attempts(count: u32) -> String {
    format!("{count} {}", if count == 1 { "attempt" } else { "attempts" })
}
