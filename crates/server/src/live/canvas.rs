//! A part of the terminal that is drawn over itself.

use std::sync::atomic::{AtomicBool, Ordering};

use super::frame::Line;
use crate::output::{say_raw, stderr_size};

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

/// What is drawn on stderr.
pub(super) struct Canvas {
    colours: bool,
    /// Lines on the screen, and what they say.
    drawn: usize,
    last: String,
}

impl Canvas {
    pub(super) fn new() -> Self {
        // https://no-color.org: any value but an empty one.
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours, drawn: 0, last: String::new() }
    }

    /// Columns and rows that may be drawn on. The last column and the last row are left free: a terminal may wrap or
    /// scroll there.
    pub(super) fn size() -> (usize, usize) {
        let (width, height) = stderr_size();
        (width.saturating_sub(1).max(20), height.saturating_sub(1).max(3))
    }

    /// Draws lines in place of those before.
    pub(super) fn draw(&mut self, lines: &[Line], width: usize) {
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

    /// Takes what was drawn off the screen.
    pub(super) fn clear(&mut self) {
        if self.drawn > 0 {
            say_raw(&format!("{}\x1b[J", up(self.drawn)));
            self.drawn = 0;
        }
        self.last.clear();
        restore_terminal();
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        restore_terminal();
    }
}

fn up(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\r") }
}
