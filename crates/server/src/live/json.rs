//! An event per line, as JSON.

use tutti_core::report::RunView;
use tutti_core::run::Recorded;

use crate::events::EventLine;
use crate::output::{json_line, say_raw};

pub(super) fn event(recorded: &Recorded, view: &RunView) {
    if let Some(run) = view.run() {
        say_raw(&json_line(&EventLine::new(run, recorded)));
    }
}
