//! The live view on a terminal: drawn over itself, at most ten times a second, never higher than the window.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use tutti_core::ids::StepPath;
use tutti_core::report::{RunView, human_seconds};
use tutti_core::run::{Event, StepStatus};
use tutti_core::time::Timestamp;

use super::News;
use super::frame::{Scene, frame};
use crate::output::{say_raw, stderr_size};

/// Ends of steps that are kept in view.
const RECENT: usize = 4;

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
/// The terminal shows what comes between these two at once (synchronized output); others pay no heed.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";

/// True while the cursor is hidden.
static HIDDEN: AtomicBool = AtomicBool::new(false);

/// Shows the cursor again if a live view hides it. For ends that come from elsewhere.
pub fn restore_terminal() {
    if HIDDEN.swap(false, Ordering::SeqCst) {
        say_raw(SHOW_CURSOR);
    }
}

pub(super) struct Tty {
    colours: bool,
    recent: Vec<(StepStatus, String)>,
    /// Lines on the screen, and what they say.
    drawn: usize,
    last: String,
}

impl Tty {
    pub(super) fn new() -> Self {
        // https://no-color.org: any value but an empty one.
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours, recent: Vec::new(), drawn: 0, last: String::new() }
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
        let (width, height) = stderr_size();
        let scene = Scene { view, news, recent: &self.recent, now };
        // The last column and the last row are left free: a terminal may wrap or scroll there.
        let (width, height) = (width.saturating_sub(1).max(20), height.saturating_sub(1).max(3));
        let lines = frame(&scene, width, height);
        let text: String = lines.iter().map(|line| format!("{}\x1b[K\n", line.render(width, self.colours))).collect();
        if text == self.last {
            return;
        }
        if !HIDDEN.swap(true, Ordering::SeqCst) {
            say_raw(HIDE_CURSOR);
        }
        say_raw(&format!("{BEGIN}{}{text}\x1b[J{END}", up(self.drawn)));
        self.drawn = lines.len();
        self.last = text;
    }

    /// Takes the view off the screen.
    pub(super) fn clear(&mut self) {
        if self.drawn > 0 {
            say_raw(&format!("{}\x1b[J", up(self.drawn)));
            self.drawn = 0;
        }
        self.last.clear();
        restore_terminal();
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        restore_terminal();
    }
}

fn up(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\r") }
}
