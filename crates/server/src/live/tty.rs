//! The live view on a terminal: drawn over itself, at most ten times a second, never higher than the window.

use std::collections::HashMap;

use tutti_core::ids::StepPath;
use tutti_core::report::{RunView, human_seconds};
use tutti_core::run::{Event, StepStatus};
use tutti_core::time::Timestamp;

use super::News;
use super::canvas::Canvas;
use super::frame::{Scene, frame};

/// Ends of steps that are kept in view.
const RECENT: usize = 4;

pub(super) struct Tty {
    canvas: Canvas,
    /// What Ctrl-C does.
    hint: &'static str,
    recent: Vec<(StepStatus, String)>,
}

impl Tty {
    pub(super) fn new(hint: &'static str) -> Self {
        Self { canvas: Canvas::new(), hint, recent: Vec::new() }
    }

    pub(super) fn event(&mut self, event: &Event, view: &RunView) {
        let (status, path) = match event {
            Event::StepCompleted(completed) => (StepStatus::Completed, &completed.step),
            Event::StepFailed(failed) => (StepStatus::Failed, &failed.step),
            _ => return,
        };
        let step = view.plan().find(path).map(|index| view.step(index));
        let took = step.and_then(|step| step.duration()).map(|took| human_seconds(took.as_secs_f64()));
        self.recent.insert(0, (status, format!("{path} {}", took.unwrap_or_default())));
        self.recent.truncate(RECENT);
    }

    pub(super) fn draw(&mut self, view: &RunView, news: &HashMap<StepPath, News>, now: Timestamp) {
        let (width, height) = Canvas::size();
        let scene = Scene { view, news, recent: &self.recent, now, hint: self.hint };
        self.canvas.draw(&frame(&scene, width, height), width);
    }

    /// Takes the view off the screen.
    pub(super) fn clear(&mut self) {
        self.canvas.clear();
    }
}
