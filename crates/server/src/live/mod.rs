//! Progress of a run on stderr while it goes on.

mod board;
mod canvas;
mod frame;
mod json;
mod plain;
mod tty;

use std::collections::HashMap;
use std::io::IsTerminal;

use clap::ValueEnum;
use tutti_core::ids::{AttemptKey, StepPath};
use tutti_core::ports::agent::AgentUpdate;
use tutti_core::report::RunView;
use tutti_core::run::Recorded;
use tutti_core::time::Timestamp;

pub use board::Board;
pub use canvas::restore_terminal;

use crate::output::say;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// tty on a terminal, else plain.
    Auto,
    /// A view that is drawn again and again.
    Tty,
    /// A line per change, without control codes.
    Plain,
    /// An event per line, as JSON.
    Json,
    /// Nothing.
    Quiet,
}

/// What an agent told last about the attempt under way; newer news replace older ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct News {
    attempt: u32,
    status: Option<String>,
    progress: Option<f64>,
    received: Option<(String, u64)>,
}

/// Shows a run while it goes on.
pub struct Live {
    view: RunView,
    news: HashMap<StepPath, News>,
    screen: Screen,
}

enum Screen {
    Tty(tty::Tty),
    Plain(plain::Plain),
    Json,
    Quiet,
}

impl Progress {
    /// What `auto` stands for here. Log lines and a view that is drawn again and again do not go together.
    pub fn settled(self, logging: bool) -> Self {
        match self {
            Self::Auto if std::io::stderr().is_terminal() && !logging => Self::Tty,
            Self::Auto => Self::Plain,
            given => given,
        }
    }

    /// True if people are to be told more than progress.
    pub const fn is_for_people(self) -> bool {
        matches!(self, Self::Auto | Self::Tty | Self::Plain)
    }
}

impl Live {
    /// Shows a run that this command drives, from what is known of it on.
    pub fn new(progress: Progress, view: RunView) -> Self {
        Self::with_hint(progress, view, "Ctrl-C stops; the run can be resumed")
    }

    /// Shows a run that goes on elsewhere, from what is known of it on.
    pub fn watching(progress: Progress, view: RunView) -> Self {
        Self::with_hint(progress, view, "Ctrl-C detaches; the run goes on")
    }

    fn with_hint(progress: Progress, view: RunView, hint: &'static str) -> Self {
        let screen = match progress {
            Progress::Tty => Screen::Tty(tty::Tty::new(hint)),
            Progress::Plain | Progress::Auto => Screen::Plain(plain::Plain::default()),
            Progress::Json => Screen::Json,
            Progress::Quiet => Screen::Quiet,
        };
        Self { view, news: HashMap::new(), screen }
    }

    /// The run as it stands.
    pub const fn view(&self) -> &RunView {
        &self.view
    }

    /// The next event of the run.
    pub fn apply(&mut self, recorded: &Recorded) {
        self.view.apply(recorded);
        match &mut self.screen {
            Screen::Tty(tty) => tty.event(&recorded.event, &self.view),
            Screen::Plain(plain) => plain.event(recorded, &self.view),
            Screen::Json => json::event(recorded, &self.view),
            Screen::Quiet => {}
        }
    }

    /// What an agent tells about an attempt.
    pub fn progress(&mut self, key: &AttemptKey, update: AgentUpdate) {
        if !matches!(self.screen, Screen::Tty(_)) {
            return;
        }
        let news = self.news.entry(key.path.clone()).or_default();
        if news.attempt != key.attempt {
            *news = News { attempt: key.attempt, ..News::default() };
        }
        match update {
            AgentUpdate::Task(_) => {}
            AgentUpdate::Status(status) => news.status = Some(status),
            AgentUpdate::Progress(share) => news.progress = Some(share),
            AgentUpdate::Artifact { name, bytes } => news.received = Some((name, bytes)),
        }
    }

    /// Tells people something that is no event of the run.
    pub fn notice(&mut self, text: &str, now: Timestamp) {
        match &mut self.screen {
            Screen::Tty(tty) => {
                tty.clear();
                say(text);
            }
            Screen::Plain(_) => plain::notice(text, &self.view, now),
            Screen::Json | Screen::Quiet => {}
        }
    }

    /// Time goes by: called about ten times a second.
    pub fn tick(&mut self, now: Timestamp) {
        match &mut self.screen {
            Screen::Tty(tty) => tty.draw(&self.view, &self.news, now),
            Screen::Plain(plain) => plain.tick(&self.view, now),
            Screen::Json | Screen::Quiet => {}
        }
    }

    /// Leaves stderr as other text may follow; the run is what is left.
    pub fn finish(mut self) -> RunView {
        if let Screen::Tty(tty) = &mut self.screen {
            tty.clear();
        }
        self.view
    }
}
