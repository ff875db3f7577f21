//! The seven phases of a run that is orchestrated, and what its time went into. Both are told from its history, so that they
//! are the same after a restart and cost a run nothing.

use serde::Serialize;

use super::execution::ExecutionReport;
use super::moment::{human_seconds, rfc3339};
use super::page::Page;
use super::printable::{columns, pad, printable};
use super::view::RunView;
use crate::ids::SessionId;
use crate::orchestration::{Orchestration, Phase, Preset, SYNTHESIS_TYPE};
use crate::run::{Event, Recorded};
use crate::time::Timestamp;
use crate::workflow::Executor;

/// The type of a step that looks whether others did well; what it takes is told apart.
const VALIDATION_TYPE: &str = "validation";

/// Follows a run through its phases, event by event.
#[derive(Debug, Clone)]
pub struct PhaseLog {
    orchestration: Orchestration,
    session: Option<SessionId>,
    executor: Executor,
    marks: [Option<PhaseMark>; Phase::ALL.len()],
}

/// What is known of a phase that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseMark {
    /// When it began.
    pub from: Timestamp,
    /// When something of it happened last.
    pub to: Timestamp,
    /// How often something of it happened.
    pub count: u32,
}

/// How a run was orchestrated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrchestrationReport {
    /// The preset.
    pub preset: Preset,
    /// The domain.
    pub domain: Option<String>,
    /// Who planned it, if the workflow was made of a request (untrusted text).
    pub planned_by: Option<String>,
    /// The seven phases, in their order.
    pub phases: Vec<PhaseReport>,
}

/// One phase of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseReport {
    /// The phase.
    pub phase: Phase,
    /// What it is, for people.
    pub title: &'static str,
    /// False: it is switched off.
    pub enabled: bool,
    /// When the run came to it; none: there was no occasion.
    pub reached_at: Option<String>,
    /// From its beginning to the last that happened in it, in seconds.
    pub seconds: Option<f64>,
    /// How often something of it happened.
    pub count: u32,
    /// What happened, in a few words (may hold untrusted text).
    pub note: String,
}

/// What the time of a run went into, in seconds. Each moment counts once: where something is executed it is execution, else
/// where results are put together aggregation, else where they are checked validation; waits are execution.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct PhaseBreakdown {
    /// Analysis and planning, and what passed until the first attempt.
    pub planning: f64,
    /// Steps, and waits for agents, people and time.
    pub execution: f64,
    /// Steps of type `validation`.
    pub validation: f64,
    /// Steps of type `aggregation`.
    pub aggregation: f64,
    /// All of it: from the beginning of the analysis to the end of the run.
    pub total: f64,
}

impl PhaseLog {
    /// Begins with a run's first event; `None` for a run that is not orchestrated, and for another event.
    #[must_use]
    pub fn begin(first: &Recorded) -> Option<Self> {
        let Event::RunCreated(created) = &first.event else { return None };
        let orchestration = (**created.origin.orchestration.as_ref()?).clone();
        let mut log = Self {
            session: created.origin.session.clone(),
            executor: created.strategy.executor,
            marks: [None; Phase::ALL.len()],
            orchestration,
        };
        let back = |micros: u64| first.at.minus(std::time::Duration::from_micros(micros));
        let Orchestration { analysis_micros, planning_micros, .. } = log.orchestration;
        log.mark(Phase::Analysis, (back(analysis_micros), first.at));
        if log.orchestration.planned_by.is_some() {
            log.mark(Phase::Planning, (back(analysis_micros + planning_micros), back(analysis_micros)));
        }
        log.mark(Phase::Streaming, (first.at, first.at));
        log.mark(Phase::Sessions, (first.at, first.at));
        Some(log)
    }

    /// How the run is orchestrated.
    #[must_use]
    pub const fn orchestration(&self) -> &Orchestration {
        &self.orchestration
    }

    /// Takes the next event in. The phase that it belongs to beside streaming, if that was reached by it just now.
    pub fn note(&mut self, recorded: &Recorded) -> Option<Phase> {
        let at = (recorded.at, recorded.at);
        self.mark(Phase::Streaming, at);
        let phase = phase_of(&recorded.event)?;
        self.mark(phase, at).then_some(phase)
    }

    /// The phases that were reached, in their order.
    pub fn reached(&self) -> impl Iterator<Item = (Phase, PhaseMark)> + '_ {
        Phase::ALL.into_iter().filter_map(|phase| Some((phase, self.marks[phase.index()]?)))
    }

    /// What happened in a phase, in a few words (may hold untrusted text).
    #[must_use]
    pub fn told(&self, phase: Phase) -> String {
        if !self.orchestration.has(phase) {
            return "off".to_owned();
        }
        let count = self.marks[phase.index()].map_or(0, |mark| mark.count);
        let times = |one: &str, many: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {many}") };
        match (phase, &self.session, &self.orchestration.planned_by) {
            (Phase::Analysis, ..) => format!("the executor is {}", word(self.executor)),
            (Phase::Planning, _, Some(by)) => format!("planned by {by}"),
            (Phase::Planning, ..) => "the workflow was given".to_owned(),
            (Phase::Streaming, ..) => times("event", "events"),
            (Phase::Quality, ..) if count == 0 => "nothing was judged".to_owned(),
            (Phase::Quality, ..) => times("answer judged", "answers judged"),
            (Phase::Sessions, Some(session), _) => format!("session {session}"),
            (Phase::Sessions, ..) => "the run shares nothing".to_owned(),
            (Phase::ErrorHandling, ..) if count == 0 => "nothing failed".to_owned(),
            (Phase::ErrorHandling, ..) => times("failure or recovery", "failures and recoveries"),
            (Phase::Artifacts, ..) => match &self.orchestration.synthesis {
                Some(step) => format!("{}, the result by step {step}", times("piece", "pieces")),
                None => times("piece", "pieces"),
            },
        }
    }

    /// Marks a phase that is on; true if it was not reached before.
    fn mark(&mut self, phase: Phase, (from, to): (Timestamp, Timestamp)) -> bool {
        if !self.orchestration.has(phase) {
            return false;
        }
        let mark = &mut self.marks[phase.index()];
        let is_new = mark.is_none();
        let mark = mark.get_or_insert(PhaseMark { from, to, count: 0 });
        // The clock may have been set back.
        mark.to = mark.to.max(to);
        mark.count += 1;
        is_new
    }
}

/// The phase that an event belongs to.
fn phase_of(event: &Event) -> Option<Phase> {
    match event {
        Event::QualityAssessed(_) => Some(Phase::Quality),
        Event::AttemptFailed(_)
        | Event::StepFailed(_)
        | Event::StepHeld(_)
        | Event::StepRecovered(_)
        | Event::UndoStarted(_)
        | Event::RunRewound(_)
        | Event::RunStuck(_)
        | Event::RunFailed(_) => Some(Phase::ErrorHandling),
        Event::ArtifactRecorded(_) | Event::RunCompleted(_) => Some(Phase::Artifacts),
        Event::PlanRevised(_) => Some(Phase::Analysis),
        _ => None,
    }
}

impl OrchestrationReport {
    /// The report on a log.
    #[must_use]
    pub fn new(log: &PhaseLog) -> Self {
        let Orchestration { preset, domain, planned_by, .. } = log.orchestration.clone();
        let report = |phase: Phase| {
            let mark = log.marks[phase.index()];
            PhaseReport {
                phase,
                title: phase.title(),
                enabled: log.orchestration.has(phase),
                reached_at: mark.map(|mark| rfc3339(mark.from)),
                seconds: mark.map(|mark| mark.to.since(mark.from).as_secs_f64()),
                count: mark.map_or(0, |mark| mark.count),
                note: log.told(phase),
            }
        };
        Self { preset, domain, planned_by, phases: Phase::ALL.into_iter().map(report).collect() }
    }
}

impl PhaseBreakdown {
    /// What the time of a run went into; `None` before its end.
    #[must_use]
    pub fn of(view: &RunView) -> Option<Self> {
        let (created, end) = (view.created_at()?, view.ended_at()?);
        let orchestration = view.created().and_then(|created| created.origin.orchestration.as_deref());
        let before = orchestration.map(Orchestration::before).unwrap_or_default().as_secs_f64();
        let began = view.started_at().unwrap_or(end).clamp(created, end.max(created));
        let mut told = Self {
            planning: before + began.since(created).as_secs_f64(),
            total: before + end.since(created).as_secs_f64(),
            ..Self::default()
        };
        // The beginnings and ends of attempts, by kind, in order of time.
        let mut turns: Vec<(Timestamp, usize, i64)> = Vec::new();
        for step in view.steps() {
            let kind = kind_of(step.step.task_type());
            for attempt in step.attempts {
                let until = attempt.ended_at.unwrap_or(end).clamp(began, end.max(began));
                turns.push((attempt.started_at.clamp(began, until), kind, 1));
                turns.push((until, kind, -1));
            }
        }
        turns.sort_unstable();
        turns.push((end, EXECUTION, 0));
        let (mut open, mut since, mut spent) = ([0_i64; 3], began, [0.0; 3]);
        for (at, kind, change) in turns {
            // What waits for something counts as what it waits in.
            let now = (0..3).find(|kind| open[*kind] > 0).unwrap_or(EXECUTION);
            spent[now] += at.since(since).as_secs_f64();
            since = at.max(since);
            open[kind] += change;
        }
        [told.execution, told.aggregation, told.validation] = spent;
        Some(told)
    }
}

/// The phases of a run in lines of at most `width` columns; empty for a run that is not orchestrated.
#[must_use]
pub fn render_phases(report: &ExecutionReport, width: usize) -> String {
    if report.orchestration.is_none() {
        return String::new();
    }
    let mut page = Page::new(width.max(40));
    orchestration(report, &mut page);
    page.into_text()
}

/// The phases as lines, for a run that is orchestrated; and what the time of its run went into.
pub(super) fn orchestration(report: &ExecutionReport, page: &mut Page) {
    let Some(told) = &report.orchestration else { return };
    let domain = told.domain.as_ref().map(|domain| format!(", domain {domain}")).unwrap_or_default();
    page.section(&format!("Phases of preset {}{}", told.preset, printable(&domain)));
    let width = told.phases.iter().map(|phase| columns(phase.title)).max().unwrap_or(0);
    for (number, phase) in (1..).zip(&told.phases) {
        let took = phase.seconds.map_or_else(|| "-".into(), human_seconds);
        let shape = if phase.enabled && phase.reached_at.is_some() { "✓" } else { "·" };
        page.line(&format!("{shape} {number} {}  {took:>10}  {}", pad(phase.title, width), printable(&phase.note)));
    }
    if let Some(spent) = &report.phase_breakdown {
        let PhaseBreakdown { planning, execution, validation, aggregation, total } = *spent;
        let [planning, execution, validation, aggregation, total] =
            [planning, execution, validation, aggregation, total].map(human_seconds);
        page.paragraph(&format!(
            "{total} in all: planning {planning}, execution {execution}, validation {validation}, aggregation {aggregation}"
        ));
    }
}

fn word(executor: Executor) -> &'static str {
    match executor {
        Executor::Auto => "auto",
        Executor::Basic => "basic",
        Executor::Parallel => "parallel",
        Executor::Dynamic => "dynamic",
    }
}

/// The place of execution among what steps are for; aggregation and validation follow.
const EXECUTION: usize = 0;

fn kind_of(task_type: &str) -> usize {
    match task_type {
        SYNTHESIS_TYPE => 1,
        VALIDATION_TYPE | "quality.judge" => 2,
        _ => EXECUTION,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Drive;
    use super::*;
    use crate::orchestration::Wishes;
    use crate::ports::agent::AgentErrorKind;
    use crate::run::Recorded;

    const STEPS: &str = "- {id: a, capability: c}\n- {id: b, capability: c}\n\
                         - {id: check, capability: c, type: validation, depends_on: [a, b]}\n\
                         - {id: join, capability: c, type: aggregation, depends_on: [check]}\n";

    /// The same history with a first event that says how the run is orchestrated.
    fn orchestrated(drive: &Drive, orchestration: Orchestration) -> Vec<Recorded> {
        let mut history = drive.history.clone();
        if let Event::RunCreated(created) = &mut history[0].event {
            created.origin.orchestration = Some(Box::new(orchestration));
        }
        history
    }

    fn driven() -> Drive {
        let mut drive = Drive::parallel(STEPS);
        drive.at(1.0).start("a", "x").start("b", "x");
        drive.at(2.0).fail("a", AgentErrorKind::Unavailable, "gone", true);
        drive.start("a", "y");
        drive.at(4.0).complete("a");
        drive.at(5.0).complete("b");
        drive.at(6.0).start("check", "x").at(8.0).complete("check");
        drive.start("join", "x").at(9.0).complete("join");
        drive
    }

    #[test]
    fn the_phases_are_told_in_their_order_by_the_history_alone() {
        let drive = driven();
        let phases = Phase::ALL.into_iter().filter(|phase| *phase != Phase::Quality).collect();
        let orchestration = Orchestration {
            phases,
            planned_by: Some("agent p".into()),
            analysis_micros: 1_000_000,
            planning_micros: 2_000_000,
            ..Orchestration::default()
        };
        let history = orchestrated(&drive, orchestration);
        let view = RunView::of(drive.plan.clone(), &history);
        let report = ExecutionReport::new(&view).unwrap();
        let told = report.orchestration.clone().unwrap();
        assert_eq!(told.phases.iter().map(|phase| phase.phase).collect::<Vec<_>>(), Phase::ALL);
        let of = |phase: Phase| &told.phases[phase.index()];
        assert_eq!((of(Phase::Analysis).seconds, of(Phase::Planning).seconds), (Some(1.0), Some(2.0)));
        assert_eq!((of(Phase::Quality).enabled, of(Phase::Quality).note.as_str()), (false, "off"));
        assert_eq!((of(Phase::ErrorHandling).count, of(Phase::Streaming).seconds), (1, Some(9.0)));
        let text = super::super::render_text(&report, 100);
        for phase in Phase::ALL {
            assert!(text.contains(phase.title()), "{text}");
        }
        let spent = report.phase_breakdown.unwrap();
        let PhaseBreakdown { planning, execution, validation, aggregation, total } = spent;
        assert_eq!((planning, execution, validation, aggregation, total), (4.0, 5.0, 2.0, 1.0, 12.0));
    }

    #[test]
    fn a_run_that_nobody_orchestrates_tells_no_phases_and_its_time_is_whole() {
        let drive = driven();
        let report = ExecutionReport::new(&drive.view()).unwrap();
        assert!(report.orchestration.is_none() && Wishes::default().is_empty());
        let spent = report.phase_breakdown.unwrap();
        let sum = spent.planning + spent.execution + spent.validation + spent.aggregation;
        assert!((sum - spent.total).abs() < 1e-9 && (spent.total - 9.0).abs() < 1e-9, "{spent:?}");
        let open = RunView::of(drive.plan.clone(), &drive.history[..4]);
        assert_eq!(PhaseBreakdown::of(&open), None);
    }
}
