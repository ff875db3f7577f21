//! A page of text for a terminal.

use super::{fit, wrap};

/// Lines that never exceed a width.
#[derive(Debug)]
pub struct Page {
    width: usize,
    text: String,
}

impl Page {
    /// An empty page of a width in columns.
    #[must_use]
    pub const fn new(width: usize) -> Self {
        Self { width, text: String::new() }
    }

    /// Its width in columns.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The text so far.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// Adds text that is laid out for this width already.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a line, cut to the width.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(fit(line, self.width).trim_end());
        self.text.push('\n');
    }

    /// Begins a section.
    pub fn section(&mut self, title: &str) {
        self.text.push('\n');
        self.line(title);
    }

    /// Adds sentences, wrapped and indented.
    pub fn paragraph(&mut self, text: &str) {
        for line in wrap(text, self.width - 2) {
            self.line(&format!("  {line}"));
        }
    }

    /// Says how many rows were left out.
    pub fn more(&mut self, shown: usize, all: usize) {
        if all > shown {
            self.line(&format!("  … and {} more", all - shown));
        }
    }
}
