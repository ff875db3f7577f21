//! Many runs at once: a table that is drawn again and again on stderr, or a line per change on stdout.

use std::collections::BTreeMap;

use tutti_core::ids::RunId;
use tutti_core::ports::query::RunSummary;
use tutti_core::report::{pad, run_shape};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;

use super::Progress;
use super::canvas::Canvas;
use super::frame::{Line, Style, clock, short};
use super::plain::{quoted, time};
use crate::exit::Result;
use crate::output::{answer, json_line, say};
use crate::runs::{ChangeLine, Counts};

/// Columns of a progress bar.
const BAR: usize = 12;

/// Shows runs while they go on.
pub struct Board {
    runs: BTreeMap<RunId, RunSummary>,
    counts: Counts,
    screen: Screen,
}

enum Screen {
    Tty(Canvas),
    Plain,
    Json,
    Quiet,
}

impl Board {
    /// Without runs.
    pub fn new(progress: Progress, counts: Counts) -> Self {
        let screen = match progress {
            Progress::Tty => Screen::Tty(Canvas::new()),
            Progress::Plain | Progress::Auto => Screen::Plain,
            Progress::Json => Screen::Json,
            Progress::Quiet => Screen::Quiet,
        };
        Self { runs: BTreeMap::new(), counts, screen }
    }

    /// The runs, by id.
    pub const fn runs(&self) -> &BTreeMap<RunId, RunSummary> {
        &self.runs
    }

    /// True if every change is an answer by itself: a line on stdout.
    pub const fn tells_changes(&self) -> bool {
        matches!(self.screen, Screen::Plain | Screen::Json)
    }

    /// A run as it is now; one that is shown so already changes nothing.
    ///
    /// # Errors
    /// An answer that cannot be written.
    pub fn seen(&mut self, run: RunSummary, now: Timestamp) -> Result<()> {
        if self.runs.get(&run.run) == Some(&run) {
            return Ok(());
        }
        self.tell(&run, true, now)?;
        self.runs.insert(run.run, run);
        Ok(())
    }

    /// A run that is not among those wanted any more.
    ///
    /// # Errors
    /// An answer that cannot be written.
    pub fn left(&mut self, run: &RunSummary, now: Timestamp) -> Result<()> {
        match self.runs.remove(&run.run) {
            Some(_) => self.tell(run, false, now),
            None => Ok(()),
        }
    }

    /// Takes the runs that are there anew: what is not among them is gone.
    ///
    /// # Errors
    /// An answer that cannot be written.
    pub fn reset(&mut self, runs: Vec<RunSummary>, now: Timestamp) -> Result<()> {
        let there: std::collections::BTreeSet<RunId> = runs.iter().map(|run| run.run).collect();
        let gone: Vec<RunSummary> = self.runs.values().filter(|run| !there.contains(&run.run)).cloned().collect();
        gone.iter().try_for_each(|run| self.left(run, now))?;
        runs.into_iter().try_for_each(|run| self.seen(run, now))
    }

    /// Tells people something that is no run.
    pub fn notice(&mut self, text: &str) {
        match &mut self.screen {
            Screen::Tty(canvas) => {
                canvas.clear();
                say(text);
            }
            Screen::Plain | Screen::Json | Screen::Quiet => say(text),
        }
    }

    /// Time goes by: called about ten times a second.
    pub fn tick(&mut self, now: Timestamp) {
        if let Screen::Tty(canvas) = &mut self.screen {
            let (width, height) = Canvas::size();
            canvas.draw(&table(&self.runs, self.counts, now, height), width);
        }
    }

    /// Leaves stderr as other text may follow.
    pub fn finish(&mut self) {
        if let Screen::Tty(canvas) = &mut self.screen {
            canvas.clear();
        }
    }

    fn tell(&self, run: &RunSummary, matches: bool, now: Timestamp) -> Result<()> {
        match &self.screen {
            Screen::Plain => answer(&line(run, matches, self.counts, now)),
            Screen::Json => answer(&json_line(&ChangeLine::new(run, matches))),
            Screen::Tty(_) | Screen::Quiet => Ok(()),
        }
    }
}

/// A change as a line: time, run, workflow, state, steps.
fn line(run: &RunSummary, matches: bool, counts: Counts, now: Timestamp) -> String {
    let error = run.error.as_deref().map(|error| format!(" error={}", quoted(error))).unwrap_or_default();
    let left = if matches { "" } else { " left" };
    let (time, name) = (time(now), short(run.run));
    format!("{time} {name} {} {} done={}{error}{left}\n", run.workflow, run.status, counts.done(run))
}

/// What still moves first, newest first, then what has ended, the last one first; at most `height` lines.
fn table(runs: &BTreeMap<RunId, RunSummary>, counts: Counts, now: Timestamp, height: usize) -> Vec<Line> {
    let mut shown: Vec<&RunSummary> = runs.values().collect();
    shown.sort_by_key(|run| {
        let ended = run.status.is_ended();
        (ended, std::cmp::Reverse(if ended { run.updated_at } else { run.created_at }), std::cmp::Reverse(run.run))
    });
    let names = shown.iter().map(|run| run.workflow.as_str().len()).max().unwrap_or(0).clamp(8, 24);
    let room = height.saturating_sub(1);
    let fits = if shown.len() <= room { shown.len() } else { room.saturating_sub(1) };
    let mut lines = vec![head(&shown)];
    lines.extend(shown[..fits].iter().map(|run| row(run, names, counts, now)));
    if fits < shown.len() {
        lines.push(Line::of(Style::Dim, format!(" … and {} more", shown.len() - fits)));
    }
    lines
}

fn head(runs: &[&RunSummary]) -> Line {
    let mut line = Line::of(Style::Bold, format!("{} runs", runs.len()));
    for status in RunStatus::ALL {
        let count = runs.iter().filter(|run| run.status == *status).count();
        if count > 0 {
            line = line.and(Style::of_run(*status), format!("  {count} {status}"));
        }
    }
    line.and(Style::Dim, "  (Ctrl-C detaches; the runs go on)")
}

fn row(run: &RunSummary, names: usize, counts: Counts, now: Timestamp) -> Line {
    let status = run.status;
    let took = run.ended_at.unwrap_or(now).since(run.created_at);
    let error = run.error.as_deref().map(|error| format!("  {error}")).unwrap_or_default();
    Line::of(Style::of_run(status), format!(" {} {:<11} ", run_shape(status), status.as_str()))
        .and(Style::Plain, format!("{}  {}  ", short(run.run), pad(run.workflow.as_str(), names)))
        .bar(run.completed as usize, run.steps as usize, BAR)
        .and(Style::Plain, format!(" {:>9}  {:>7}", counts.done(run), clock(took)))
        .and(Style::Dim, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_core::report::columns;
    use tutti_core::value::Digest;

    fn run(n: u64, status: RunStatus, completed: u32) -> RunSummary {
        let at = |seconds: u64| Timestamp::from_micros(i64::try_from(seconds).unwrap() * 1_000_000);
        RunSummary {
            run: RunId::new(1_700_000_000_000 + n, [7; 10]),
            workflow: "invoice".parse().unwrap(),
            version: String::new(),
            definition: Digest::of(b""),
            status,
            steps: 8,
            completed,
            failed: 0,
            created_at: at(n),
            updated_at: at(n + 1),
            ended_at: status.is_ended().then(|| at(n + 1)),
            error: (status == RunStatus::Failed).then(|| "refused\u{1b}[2J".to_owned()),
            key: None,
            session: None,
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn what_moves_stands_first_and_the_window_is_never_exceeded() {
        let mut board = Board::new(Progress::Quiet, Counts::Now);
        let now = Timestamp::from_micros(60_000_000);
        let all = [(1, RunStatus::Completed, 8), (2, RunStatus::Running, 4), (3, RunStatus::Failed, 1)];
        board.reset(all.map(|(n, status, done)| run(n, status, done)).to_vec(), now).unwrap();
        let shown = |height: usize, width: usize| -> Vec<String> {
            table(board.runs(), Counts::Now, now, height).iter().map(|line| line.render(width, false)).collect()
        };
        assert_eq!(
            shown(9, 110),
            [
                "3 runs  1 running  1 completed  1 failed  (Ctrl-C detaches; the runs go on)",
                " ◐ running     018bcfe5-6802  invoice   [██████░░░░░░]       4/8    00:58",
                " ✖ failed      018bcfe5-6803  invoice   [█░░░░░░░░░░░]       1/8    00:01  refused␛[2J",
                " ● completed   018bcfe5-6801  invoice   [████████████]       8/8    00:01",
            ]
        );
        for (height, width) in [(3, 20), (3, 60), (4, 200)] {
            let lines = shown(height, width);
            assert!(lines.len() <= height && lines.iter().all(|line| columns(line) <= width), "{lines:?}");
        }
        assert_eq!(shown(3, 60)[2], " … and 2 more");
    }

    #[test]
    fn what_is_gone_is_dropped() {
        let mut board = Board::new(Progress::Quiet, Counts::Now);
        let now = Timestamp::default();
        board.reset(vec![run(1, RunStatus::Running, 1), run(2, RunStatus::Running, 1)], now).unwrap();
        board.reset(vec![run(2, RunStatus::Running, 2)], now).unwrap();
        assert_eq!(board.runs().values().map(|run| run.completed).collect::<Vec<_>>(), [2]);
        board.left(&run(2, RunStatus::Failed, 2), now).unwrap();
        assert!(board.runs().is_empty());
        let line = line(&run(1, RunStatus::Failed, 2), false, Counts::Now, now);
        assert_eq!(line, "00:00:00 018bcfe5-6801 invoice failed done=2/8 error=refused␛[2J left\n");
    }
}
