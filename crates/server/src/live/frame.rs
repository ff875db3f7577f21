//! What the live view shows, as lines for a terminal of a given size.

use std::collections::HashMap;
use std::time::Duration;

use tutti_core::ids::{RunId, StepPath};
use tutti_core::report::{Monitor, RunView, StepView, columns, fit, pad, run_shape, step_shape};
use tutti_core::run::{RunStatus, StepStatus};
use tutti_core::time::Timestamp;

use super::News;

/// Steps beyond which the time left is not estimated ten times a second.
const ESTIMATED: usize = 10_000;

/// Widest progress bar, in columns.
const BAR: usize = 32;

/// Steps by state.
pub(super) struct Counts {
    pub(super) all: usize,
    pub(super) done: usize,
    by_status: [usize; StepStatus::ALL.len()],
}

/// How a piece of a line looks. States are words and shapes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
    Cyan,
}

/// A line of pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Line(Vec<(Style, String)>);

/// What is shown.
pub(super) struct Scene<'s> {
    pub(super) view: &'s RunView,
    pub(super) news: &'s HashMap<StepPath, News>,
    /// What happened last, newest first.
    pub(super) recent: &'s [(StepStatus, String)],
    pub(super) now: Timestamp,
    /// What Ctrl-C does.
    pub(super) hint: &'s str,
}

/// The beginning of a run's id that holds its time in milliseconds: enough to tell runs apart, and to name one.
pub(crate) fn short(run: RunId) -> String {
    run.to_string().chars().take(13).collect()
}

impl Counts {
    pub(super) fn of(view: &RunView) -> Self {
        let mut by_status = [0; StepStatus::ALL.len()];
        for step in view.steps() {
            by_status[step.status as usize] += 1;
        }
        Self { all: view.plan().len(), done: by_status[StepStatus::Completed as usize], by_status }
    }

    pub(super) fn of_status(&self, status: StepStatus) -> usize {
        self.by_status[status as usize]
    }
}

impl Line {
    pub(super) fn of(style: Style, text: impl Into<String>) -> Self {
        Self(vec![(style, text.into())])
    }

    pub(super) fn and(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// A bar of so many columns within brackets.
    pub(super) fn bar(self, done: usize, all: usize, length: usize) -> Self {
        let full = done.min(all) * length / all.max(1);
        self.and(Style::Plain, "[")
            .and(Style::Green, "█".repeat(full))
            .and(Style::Dim, "░".repeat(length - full))
            .and(Style::Plain, "]")
    }

    /// The line in at most `width` columns, with colours if they are wanted.
    pub(super) fn render(&self, width: usize, colours: bool) -> String {
        let mut text = String::new();
        let mut left = width;
        for (style, piece) in self.0.iter().filter(|(_, piece)| !piece.is_empty()) {
            let piece = fit(piece, left);
            left -= columns(&piece);
            match style.code().filter(|_| colours) {
                Some(code) => text.push_str(&format!("\x1b[{code}m{piece}\x1b[0m")),
                None => text.push_str(&piece),
            }
        }
        text
    }
}

impl Style {
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Dim => Some("2"),
            Self::Green => Some("32"),
            Self::Yellow => Some("33"),
            Self::Red => Some("31"),
            Self::Cyan => Some("36"),
        }
    }

    pub(super) const fn of_run(status: RunStatus) -> Self {
        match status {
            RunStatus::Running => Self::Cyan,
            RunStatus::Completed => Self::Green,
            RunStatus::Failed | RunStatus::Stuck | RunStatus::Quarantined => Self::Red,
            RunStatus::Waiting | RunStatus::Paused => Self::Yellow,
            RunStatus::Pending | RunStatus::Cancelled | RunStatus::Terminated => Self::Dim,
        }
    }

    pub(super) const fn of(status: StepStatus) -> Self {
        match status {
            StepStatus::Running => Self::Cyan,
            StepStatus::Completed => Self::Green,
            StepStatus::Failed | StepStatus::OutcomeUnknown => Self::Red,
            StepStatus::Retrying | StepStatus::Waiting => Self::Yellow,
            StepStatus::Pending | StepStatus::Skipped | StepStatus::Cancelled => Self::Dim,
        }
    }
}

/// The lines, at most `height` of them.
pub(super) fn frame(scene: &Scene<'_>, width: usize, height: usize) -> Vec<Line> {
    let counts = Counts::of(scene.view);
    let mut lines = vec![head(scene), bar(scene, &counts, width)];
    // In a low window what runs now comes first.
    let pending = pending(scene, &counts, width).filter(|_| height >= 5);
    let recent = recent(scene).filter(|_| height >= 7);
    let below = usize::from(pending.is_some()) + usize::from(recent.is_some());
    let room = height.saturating_sub(lines.len() + below);
    // Those that hold others are seen by them.
    let works = |step: &StepView<'_>| scene.view.plan().held_by(step.index).next().is_none();
    let steps = scene.view.all_steps().filter(works).chain(scene.view.undos());
    let current: Vec<StepView<'_>> = steps.filter(|step| is_current(step.status)).collect();
    let shown = if current.len() <= room { current.len() } else { room.saturating_sub(1) };
    let name = |step: &StepView<'_>| scene.view.plan().path(step.index).as_str().len();
    let names = current[..shown].iter().map(name).max().unwrap_or(0).min(24);
    lines.extend(current[..shown].iter().map(|step| row(scene, step, names)));
    if shown < current.len() {
        lines.push(Line::of(Style::Dim, format!(" … and {} more", current.len() - shown)));
    }
    lines.extend(pending);
    lines.extend(recent);
    lines.truncate(height);
    lines
}

const fn is_current(status: StepStatus) -> bool {
    matches!(status, StepStatus::Running | StepStatus::Retrying | StepStatus::Waiting | StepStatus::OutcomeUnknown)
}

fn head(scene: &Scene<'_>) -> Line {
    let view = scene.view;
    let Some(created) = view.created() else { return Line::of(Style::Dim, "starting …") };
    let version = if created.version.is_empty() { String::new() } else { format!(" v{}", created.version) };
    let elapsed = scene.now.since(view.created_at().unwrap_or(scene.now));
    Line::of(Style::Bold, format!("{} {}{version}", short(created.run), created.workflow))
        .and(Style::Plain, format!("  {}  {} {}", clock(elapsed), run_shape(view.status()), view.status()))
        .and(Style::Yellow, if view.state().is_some_and(|state| state.undoing().is_some()) { ", undoing" } else { "" })
        .and(Style::Dim, format!("  seq {}  ({})", view.seq(), scene.hint))
}

fn bar(scene: &Scene<'_>, counts: &Counts, width: usize) -> Line {
    let mut line = Line::default()
        .bar(counts.done, counts.all, BAR.min(width / 3))
        .and(Style::Plain, format!("  {}/{} done", counts.done, counts.all));
    for status in
        [StepStatus::Running, StepStatus::Retrying, StepStatus::Waiting, StepStatus::Failed, StepStatus::Skipped]
    {
        let count = counts.of_status(status);
        if count > 0 {
            line = line.and(Style::of(status), format!("  {count} {status}"));
        }
    }
    let left =
        if counts.all <= ESTIMATED { Monitor::new(scene.view, scene.now).estimated_completion_seconds } else { None };
    match left {
        Some(left) if left > 0.0 => {
            let left = Duration::try_from_secs_f64(left.ceil()).unwrap_or(Duration::MAX);
            line.and(Style::Dim, format!("  about {} left", clock(left)))
        }
        _ => line,
    }
}

fn row(scene: &Scene<'_>, step: &StepView<'_>, names: usize) -> Line {
    let status = step.status;
    let state = format!(" {} {:<9} ", step_shape(status), status.as_str());
    let path = scene.view.plan().path(step.index);
    let line = Line::of(Style::of(status), state).and(Style::Plain, format!("{}  ", pad(path.as_str(), names)));
    let since = step.attempts.last().map_or(Duration::ZERO, |attempt| scene.now.since(attempt.started_at));
    let most = step.step.retry.max_attempts;
    let tries = if step.attempts.len() > 1 { format!("  try {}/{most}", step.attempts.len()) } else { String::new() };
    let agent = step.agent().map_or_else(String::new, |agent| format!("  agent {agent}"));
    match status {
        StepStatus::Retrying => {
            let wait = step.retry_at.map_or(Duration::ZERO, |at| at.since(scene.now));
            let error = step.error.map(|error| format!("  last: {error}")).unwrap_or_default();
            line.and(Style::Plain, format!("in {}{tries}", clock(wait))).and(Style::Dim, error)
        }
        StepStatus::Waiting => {
            let question = step.question().map(|(_, question)| format!("  \"{question}\""));
            let held = || step.error.map(|error| format!("  held: {error}"));
            let question = question.or_else(held).unwrap_or_default();
            line.and(Style::Plain, format!("{}{agent}", clock(since))).and(Style::Yellow, question)
        }
        _ => {
            let told = told(scene, step);
            line.and(Style::Plain, format!("{}{tries}{agent}", clock(since))).and(Style::Dim, told)
        }
    }
}

/// What the agent of an attempt told last.
fn told(scene: &Scene<'_>, step: &StepView<'_>) -> String {
    let path = scene.view.plan().path(step.index);
    let Some(news) = scene.news.get(&path).filter(|news| news.attempt as usize == step.attempts.len()) else {
        return String::new();
    };
    let mut told = String::new();
    if let Some(share) = news.progress {
        told.push_str(&format!("  {:>3.0} %", (share * 100.0).clamp(0.0, 100.0)));
    }
    if let Some(status) = &news.status {
        told.push_str(&format!("  {status}"));
    }
    if let Some((name, bytes)) = &news.received {
        told.push_str(&format!("  ↓ {name} {bytes} bytes"));
    }
    told
}

/// The names of the first steps that have not begun.
fn pending(scene: &Scene<'_>, counts: &Counts, width: usize) -> Option<Line> {
    let all = counts.of_status(StepStatus::Pending);
    let mut names = Vec::new();
    let mut room = width.saturating_sub(30);
    for step in scene.view.steps().filter(|step| step.status == StepStatus::Pending) {
        let name = step.id().as_str();
        if name.len() + 2 > room {
            break;
        }
        room -= name.len() + 2;
        names.push(name);
    }
    let more = if names.len() < all { format!(", +{}", all - names.len()) } else { String::new() };
    (all > 0).then(|| Line::of(Style::Dim, format!(" ○ pending   {}{more}", names.join(", "))))
}

fn recent(scene: &Scene<'_>) -> Option<Line> {
    let mut line = Line::of(Style::Dim, "last ");
    for (status, text) in scene.recent {
        line =
            line.and(Style::of(*status), format!(" {} ", step_shape(*status))).and(Style::Plain, format!("{text}  "));
    }
    (!scene.recent.is_empty()).then_some(line)
}

/// A span as `01:12` or `1:01:12`.
pub(super) fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds / 3600 {
        0 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_core::ids::{AgentId, Namespace};
    use tutti_core::plan::Plan;
    use tutti_core::run::{AttemptFailed, AttemptStarted, Event, Failure, Recorded, RunCreated, StepCompleted};
    use tutti_core::schedule::{Growth, Policy, StrategyDecision, StrategyReason, Width};
    use tutti_core::value::{Json, Payload};
    use tutti_core::workflow::{Executor, OnError, parse};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn path(step: &str) -> StepPath {
        StepPath::from(&step.parse().unwrap())
    }

    fn started(step: &str) -> Event {
        let agent: AgentId = format!("agent-{step}").parse().unwrap();
        Event::AttemptStarted(AttemptStarted { step: path(step), attempt: 1, agent, choice: None, reserved: None })
    }

    /// Step a is done, b runs, c is to be tried again, d waits for all of them.
    fn view() -> RunView {
        let text = "id: w\nversion: 2\nsteps:\n- {id: a, capability: x}\n- {id: b, capability: x}\n- {id: c, capability: x}\n- {id: d, capability: x, depends_on: [a, b, c]}\n";
        let plan = Plan::new(parse(text).unwrap().workflow).unwrap();
        let created = RunCreated {
            run: RunId::new(1_700_000_000_000, [7; 10]),
            namespace: Namespace::default(),
            request: tutti_core::ids::RequestId::nil(),
            workflow: plan.workflow().id.clone(),
            version: "2".into(),
            definition: plan.definition(),
            data: Payload::Inline(Json::empty_object()),
            policy: Policy { width: Width::Bounded(4), growth: Growth::Fixed, on_error: OnError::Continue },
            strategy: StrategyDecision {
                executor: Executor::Parallel,
                reason: StrategyReason::Requested,
                potential_improvement: None,
                system_load: None,
                available_workers: None,
            },
            origin: tutti_core::run::Origin::default(),
            turn: None,
        };
        let kind = tutti_core::ports::agent::AgentErrorKind::Unavailable;
        let error = Failure { kind, message: "refused\u{1b}[2J".into() };
        let failed = AttemptFailed {
            step: path("c"),
            attempt: 1,
            error,
            retry_at: Some(at(14)),
            new_round: true,
            uncounted: false,
            usage: None,
        };
        let output = Payload::Inline(Json::null());
        let done = StepCompleted { step: path("a"), attempt: 1, output, missing_inputs: vec![], report: None };
        let events = [
            (0, Event::RunCreated(Box::new(created))),
            (0, started("a")),
            (0, started("b")),
            (1, started("c")),
            (2, Event::StepCompleted(done)),
            (3, Event::AttemptFailed(failed)),
        ];
        let recorded = (1..).zip(events).map(|(seq, (second, event))| Recorded { seq, at: at(second), event });
        RunView::of(plan, &recorded.collect::<Vec<_>>())
    }

    fn shown(width: usize, height: usize) -> Vec<String> {
        let view = view();
        let news = News { attempt: 1, status: Some("reading".into()), progress: Some(0.456), received: None };
        let news = HashMap::from([(path("b"), news)]);
        let recent = [(StepStatus::Completed, "a 2.00 s".to_owned())];
        let hint = "Ctrl-C stops; the run can be resumed";
        let scene = Scene { view: &view, news: &news, recent: &recent, now: at(10), hint };
        frame(&scene, width, height).iter().map(|line| line.render(width, false)).collect()
    }

    #[test]
    fn what_moves_is_shown_with_counts() {
        assert_eq!(
            shown(100, 20),
            [
                "018bcfe5-6800 w v2  00:10  ◐ running  seq 6  (Ctrl-C stops; the run can be resumed)",
                "[████████░░░░░░░░░░░░░░░░░░░░░░░░]  1/4 done  1 running  1 retrying  about 00:06 left",
                " ◐ running   b  00:10  agent agent-b   46 %  reading",
                " ↻ retrying  c  in 00:04  last: UNAVAILABLE: refused␛[2J",
                " ○ pending   d",
                "last  ● a 2.00 s  ",
            ]
        );
    }

    #[test]
    fn a_small_window_is_never_exceeded() {
        for (width, height) in [(20, 3), (40, 4), (30, 6), (200, 5)] {
            let lines = shown(width, height);
            assert!(lines.len() <= height, "{lines:?}");
            assert!(lines.iter().all(|line| columns(line) <= width), "{lines:?}");
        }
        assert_eq!(shown(100, 3)[2], " … and 2 more");
    }

    #[test]
    fn colours_wrap_pieces_and_never_count_as_columns() {
        let line = Line::of(Style::Green, "abc").and(Style::Plain, "").and(Style::Red, "def");
        assert_eq!(line.render(5, true), "\u{1b}[32mabc\u{1b}[0m\u{1b}[31md…\u{1b}[0m");
    }
}
