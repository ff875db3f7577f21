//! The report as text for a terminal. Every text in it is shown by [`printable`](super::printable).

use std::borrow::Cow;

use super::attempt::Outcome;
use super::execution::{AttemptReport, ExecutionReport, StepReport, Totals};
use super::held::HeldReport;
use super::moment::{human_bytes, human_seconds};
use super::page::Page;
use super::printable::{columns, fit, pad};
use super::shape::{run_shape, step_shape};
use super::spent::told_usage;
use crate::run::{RunStatus, StepStatus, Undone};
use crate::schedule::StrategyReason;

/// Most steps shown one by one; the others are counted.
const ROWS: usize = 100;

/// Most failures, and most agents, told one by one; the others are counted.
const FEW: usize = 20;

/// The report in lines of at most `width` columns (at least 40), each ended by a line feed: head, a row per step, the
/// timeline as bars, levels and stages, artifacts, totals, failures and the assessment.
#[must_use]
pub fn render_text(report: &ExecutionReport, width: usize) -> String {
    let width = width.max(40);
    let mut page = Page::new(width);
    head(report, &mut page);
    table(report, &mut page);
    timeline(report, &mut page);
    groups(report, &mut page);
    artifacts(report, &mut page);
    super::phases::orchestration(report, &mut page);
    totals(&report.totals, &mut page);
    spent(report, &mut page);
    failures(report, &mut page);
    undone(report, &mut page);
    page.section("Assessment");
    page.paragraph(&report.assessment);
    page.into_text()
}

fn head(report: &ExecutionReport, page: &mut Page) {
    let version = if report.version.is_empty() { String::new() } else { format!(" {}", report.version) };
    let took = report.duration.map(|s| format!(" in {}", human_seconds(s))).unwrap_or_default();
    page.line(&format!("{} {}{took}  {}{version}", run_shape(report.state), report.state, report.title));
    page.line(&format!("run       {}", report.run_id));
    let executor = serde_json::to_value(report.executor).unwrap_or_default();
    let gain = report.potential_improvement.map(|g| format!(", {:.1} % to gain", g * 100.0)).unwrap_or_default();
    let executor = executor.as_str().unwrap_or_default();
    page.line(&format!("executor  {executor} ({}{gain})", reason(report.strategy_reason)));
    if report.plan_revision > 0 {
        page.line(&format!("plan      revision {}", report.plan_revision));
    }
    if let Some(started) = report.started_at.as_ref().or(report.created_at.as_ref()) {
        page.line(&format!("started   {started}"));
    }
}

/// The reason in words.
const fn reason(reason: StrategyReason) -> &'static str {
    match reason {
        StrategyReason::Requested => "requested",
        StrategyReason::SingleTask => "a single step",
        StrategyReason::IndependentTasks => "independent steps",
        StrategyReason::FewIndependentTasks => "few independent steps",
        StrategyReason::HighSystemLoad => "high system load",
        StrategyReason::InsufficientBenefit => "insufficient benefit",
    }
}

/// A row of the table of steps.
struct Row<'r> {
    name: Cow<'r, str>,
    state: StepStatus,
    attempts: u32,
    agent: &'r str,
    /// Start, wait and duration in seconds.
    times: [Option<f64>; 3],
}

/// A row, or how many are left out.
enum Line<'r> {
    Row(Row<'r>),
    More(String),
}

/// The rows of the steps that a step holds, further in.
fn held_rows<'r>(held: &'r HeldReport, depth: usize, lines: &mut Vec<Line<'r>>) {
    let shown = held.steps.len().min(FEW);
    for step in &held.steps[..shown] {
        lines.push(Line::Row(Row {
            name: Cow::Owned(format!("{}{}", "  ".repeat(depth), step.path)),
            state: step.state,
            attempts: step.attempts,
            agent: step.agent.as_ref().map_or("-", |agent| agent.as_str()),
            times: [step.offset_seconds, step.wait_seconds, step.duration],
        }));
        if let Some(held) = &step.held {
            held_rows(held, depth + 1, lines);
        }
    }
    let counts = &held.counts;
    if counts.all as usize > shown {
        let failed = if counts.failed > 0 { format!(", {} failed", counts.failed) } else { String::new() };
        let (more, done) = (counts.all as usize - shown, counts.completed);
        lines.push(Line::More(format!("{}… {more} more: of {} {done} done{failed}", "  ".repeat(depth), counts.all)));
    }
}

fn table(report: &ExecutionReport, page: &mut Page) {
    let (mut lines, mut shown) = (Vec::new(), 0);
    for step in &report.steps {
        if lines.len() >= ROWS {
            break;
        }
        shown += 1;
        lines.push(Line::Row(Row {
            name: Cow::Borrowed(id_of(step)),
            state: step.state,
            attempts: step.attempts,
            agent: agent_of(step),
            times: [step.offset_seconds, step.wait_seconds, step.duration],
        }));
        if let Some(held) = &step.held {
            held_rows(held, 1, &mut lines);
        }
    }
    let rows = || lines.iter().filter_map(|line| if let Line::Row(row) = line { Some(row) } else { None });
    // The names share what shape and state, tries, and three times leave.
    let states = rows().map(|row| row.state.as_str().len() + 1).max().unwrap_or(0).max(11);
    let names = page.width().saturating_sub(2 + states + 6 + 3 * 10);
    let agent_width = rows().map(|row| columns(row.agent)).max().unwrap_or(0).max(5).min(names * 2 / 5);
    let widest = rows().map(|row| columns(&row.name)).max().unwrap_or(0).max(5);
    let id_width = widest.min((names - agent_width).saturating_sub(2));
    let title = format!(
        "  {:<states$}{} {:>5} {}{:>10}{:>10}{:>10}",
        "state",
        pad("step", id_width),
        "tries",
        pad(" agent", agent_width + 1),
        "start",
        "wait",
        "took"
    );
    page.section("Steps");
    page.line(&title);
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "-".into(), human_seconds);
    for line in &lines {
        match line {
            Line::Row(row) => page.line(&format!(
                "{} {:<states$}{} {:>5} {}{:>10}{:>10}{:>10}",
                step_shape(row.state),
                row.state,
                pad(&row.name, id_width),
                row.attempts,
                pad(&format!(" {}", row.agent), agent_width + 1),
                time(row.times[0]),
                time(row.times[1]),
                time(row.times[2]),
            )),
            Line::More(more) => page.line(&format!("  {:<states$}{more}", "")),
        }
    }
    page.more(shown, report.steps.len());
}

fn id_of(step: &StepReport) -> &str {
    step.id.as_str()
}

fn agent_of(step: &StepReport) -> &str {
    step.agent.as_ref().map_or("-", |agent| agent.as_str())
}

fn timeline(report: &ExecutionReport, page: &mut Page) {
    let end_of = |a: &AttemptReport| a.offset_seconds + a.duration.unwrap_or_default();
    let ends = report.steps.iter().flat_map(|step| &step.attempt_log).map(end_of);
    let scale = ends.fold(report.duration.unwrap_or_default(), f64::max);
    let started: Vec<&StepReport> = report.steps.iter().filter(|step| !step.attempt_log.is_empty()).collect();
    if started.is_empty() || scale <= 0.0 {
        return;
    }
    let rows = &started[..started.len().min(ROWS)];
    let id_width = rows.iter().map(|step| columns(id_of(step))).max().unwrap_or(0).min(page.width() / 3);
    let bar_width = page.width() - id_width - 5;
    page.section("Timeline");
    let (from, to) = ("0 s", human_seconds(scale));
    let gap = bar_width.saturating_sub(columns(from) + columns(&to));
    page.line(&format!("  {} {from}{}{to}", pad("", id_width), " ".repeat(gap + 1)));
    for step in rows {
        let bar: String = bar(step, scale, bar_width).into_iter().collect();
        page.line(&format!("  {} {bar}", pad(id_of(step), id_width)));
    }
    page.more(rows.len(), started.len());
    if rows.iter().any(|step| step.attempt_log.iter().any(|a| a.outcome == Outcome::Failed)) {
        page.line("  █ working   ▒ failed attempt   · wait before the next");
    }
}

/// The attempts of a step as cells: worked, failed, under way; and the waits between them.
fn bar(step: &StepReport, scale: f64, width: usize) -> Vec<char> {
    let cell = |seconds: f64| ((seconds / scale * width as f64) as usize).min(width.saturating_sub(1));
    let mut cells = vec![' '; width];
    let mut last_end = None;
    for attempt in &step.attempt_log {
        let from = cell(attempt.offset_seconds);
        let end = attempt.duration.map_or(scale, |took| attempt.offset_seconds + took);
        // An end on the edge of a cell does not reach into it.
        let to = cell(end - scale / width as f64 / 1000.0).max(from);
        if let Some(last) = last_end.filter(|last| *last < from) {
            cells[last..from].fill('·');
        }
        let mark = match attempt.outcome {
            Outcome::Failed => '▒',
            Outcome::Running | Outcome::Suspended | Outcome::Unknown => '░',
            Outcome::Completed | Outcome::Cancelled => '█',
        };
        cells[from..=to].fill(mark);
        last_end = Some(to + 1);
    }
    cells
}

fn groups(report: &ExecutionReport, page: &mut Page) {
    let levels: Vec<String> =
        report.levels.iter().filter_map(|level| level.offset_seconds).map(human_seconds).collect();
    if report.levels.len() > 1 && !levels.is_empty() {
        page.section("Levels");
        let shown = levels.len().min(ROWS);
        page.paragraph(&format!(
            "{} of {} complete, after {}{}",
            levels.len(),
            report.levels.len(),
            levels[..shown].join(", "),
            if levels.len() > shown { ", …" } else { "" }
        ));
    }
    if report.stages.is_empty() {
        return;
    }
    page.section("Stages");
    let stages = &report.stages[..report.stages.len().min(ROWS)];
    let width = stages.iter().map(|s| columns(&fit(&s.stage, page.width() / 2))).max().unwrap_or(0);
    for stage in stages {
        let took = stage.duration.map_or_else(|| "-".into(), human_seconds);
        let failed = if stage.failed > 0 { format!(", {} failed", stage.failed) } else { String::new() };
        let done = format!("{}/{} completed{failed}", stage.completed, stage.steps);
        page.line(&format!("  {}  {took:>10}  {done}", pad(&stage.stage, width)));
    }
    page.more(stages.len(), report.stages.len());
}

fn artifacts(report: &ExecutionReport, page: &mut Page) {
    let all: Vec<_> = report.steps.iter().flat_map(|step| step.artifacts.iter().map(move |a| (step, a))).collect();
    if all.is_empty() {
        return;
    }
    page.section("Artifacts");
    for (step, artifact) in all.iter().take(FEW) {
        let media_type = artifact.media_type.as_ref().map(|media| format!(", {media}")).unwrap_or_default();
        let name = fit(&artifact.name, page.width() / 2);
        page.line(&format!("  {name}  {}{media_type}, by {}", human_bytes(artifact.bytes), step.id));
    }
    page.more(FEW.min(all.len()), all.len());
}

fn totals(totals: &Totals, page: &mut Page) {
    let percent = |share: Option<f64>| share.map_or_else(|| "-".into(), |share| format!("{:.1} %", share * 100.0));
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "-".into(), human_seconds);
    page.section("Totals");
    let skipped = totals.skipped + totals.cancelled;
    let counts = [(totals.completed, "completed"), (totals.failed, "failed"), (skipped, "not run to an end")];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(n, word)| *n > 0 || *word == "completed")
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    page.line(&format!("  steps         {}: {}", totals.steps, counts.join(", ")));
    page.line(&format!("  success rate  {}", percent(totals.success_rate)));
    page.line(&format!("  attempts      {}, {} of them repeated", totals.attempts, totals.retries));
    page.line(&format!(
        "  time          {} in all, {} one after another",
        time(totals.makespan_seconds),
        human_seconds(totals.sequential_seconds)
    ));
    let speed_up = totals.speed_up.map_or_else(|| "-".into(), |times| format!("{times:.2} times"));
    page.line(&format!(
        "  speed-up      {speed_up}, parallel efficiency {}, peak {} at once",
        percent(totals.parallel_efficiency),
        totals.peak_in_flight
    ));
    let agents = &totals.agents[..totals.agents.len().min(FEW)];
    let width = agents.iter().map(|agent| columns(agent.agent.as_str())).max().unwrap_or(0).min(page.width() / 2);
    for agent in agents {
        let failed = if agent.failed > 0 { format!(", {} failed", agent.failed) } else { String::new() };
        let work = format!("{} asked{failed}, {}", times(agent.attempts), human_seconds(agent.seconds));
        page.line(&format!("  agent         {}  {work}", pad(agent.agent.as_str(), width)));
    }
    page.more(agents.len(), totals.agents.len());
}

/// What was spent, and how it stands with the budget.
fn spent(report: &ExecutionReport, page: &mut Page) {
    let Some(usage) = &report.totals.usage else { return budget(report, page) };
    page.section("Cost");
    page.line(&format!("  in all  {}", told_usage(usage)));
    let steps: Vec<_> = report.steps.iter().filter_map(|step| Some((step, step.usage?))).collect();
    let width = steps.iter().map(|(step, _)| columns(id_of(step))).max().unwrap_or(0).min(page.width() / 3);
    for (step, usage) in steps.iter().take(FEW) {
        page.line(&format!("  {}  {}", pad(id_of(step), width), told_usage(usage)));
    }
    page.more(FEW.min(steps.len()), steps.len());
    budget(report, page);
}

fn budget(report: &ExecutionReport, page: &mut Page) {
    if !report.budget.is_empty() {
        page.section("Budget");
        report.budget.iter().for_each(|budget| page.line(&format!("  {:<8}{}", budget.kind, budget.told())));
    }
}

fn times(count: u32) -> String {
    format!("{count} {}", if count == 1 { "time" } else { "times" })
}

fn failures(report: &ExecutionReport, page: &mut Page) {
    if report.failed.is_empty() && report.error.is_none() {
        return;
    }
    page.section("Failures");
    if report.failed.is_empty() {
        page.paragraph(report.error.as_deref().unwrap_or_default());
    }
    for failed in report.failed.iter().take(FEW) {
        page.paragraph(failed);
    }
    page.more(FEW.min(report.failed.len()), report.failed.len());
}

/// What was undone and what was not, and the points to which the run can go back.
fn undone(report: &ExecutionReport, page: &mut Page) {
    if !report.undos.is_empty() {
        page.section(match report.undone {
            Some(Undone::Compensated) => "Undone, the data stays",
            Some(Undone::RolledBack) => "Undone, the data is that of the checkpoint",
            None => "Undone",
        });
        let undos = &report.undos[..report.undos.len().min(ROWS)];
        let width = undos.iter().map(|undo| columns(undo.step.as_str())).max().unwrap_or(0).min(page.width() / 3);
        for undo in undos {
            let agent = undo.agent.as_ref().map(|agent| format!(", by {agent}")).unwrap_or_default();
            let error = undo.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            let name = pad(undo.step.as_str(), width);
            page.line(&format!("{} {name}  {}{agent}{error}", step_shape(undo.state), undo_word(undo.state)));
        }
        page.more(undos.len(), report.undos.len());
        if !report.kept.is_empty() {
            let kept: Vec<&str> = report.kept.iter().take(FEW).map(crate::ids::StepId::as_str).collect();
            let more = if report.kept.len() > FEW { ", …" } else { "" };
            page.paragraph(&format!("Nothing undoes {}{more}.", kept.join(", ")));
        }
    }
    if !report.checkpoints.is_empty() && report.state != RunStatus::Completed {
        page.section("Checkpoints");
        for point in report.checkpoints.iter().take(FEW) {
            page.line(&format!("  {}  after event {}", fit(&point.name, page.width() / 2), point.seq));
        }
        page.more(FEW.min(report.checkpoints.len()), report.checkpoints.len());
    }
}

/// What the state of what undoes a step says of the step.
const fn undo_word(state: StepStatus) -> &'static str {
    match state {
        StepStatus::Completed => "undone",
        StepStatus::Waiting => "cannot be undone",
        StepStatus::OutcomeUnknown => "perhaps undone",
        StepStatus::Skipped | StepStatus::Cancelled => "left as it was",
        StepStatus::Pending | StepStatus::Running | StepStatus::Retrying | StepStatus::Failed => "not undone yet",
    }
}
