//! What is said and answered when a run has ended, waits, or was left.

use tutti_core::ports::clock::Clock;
use tutti_core::report::{RunView, render_text};
use tutti_core::run::{RunStatus, StepStatus};

use crate::cli::{ShowArgs, TextOrJson};
use crate::clock::SystemClock;
use crate::exit::{Exit, Result};
use crate::live::Progress;
use crate::output::{answer, answer_json, say, stderr_size, stdout_width};
use crate::store::{Reader, StoreSpec};
use crate::tree::{self, Detail};

/// How a run is shown.
pub struct Show {
    /// On the way.
    pub progress: Progress,
    /// The report.
    pub output: TextOrJson,
}

/// A run that a command drove.
pub struct Ending {
    /// The run.
    pub view: RunView,
    /// The signal by which the command was asked to stop.
    pub signal: Option<u8>,
}

impl Show {
    /// As the flags say.
    pub fn of(args: &ShowArgs, logging: bool) -> Self {
        Self { progress: args.progress.settled(logging), output: args.output }
    }

    /// Says how a run stands and answers with the report on it.
    ///
    /// # Errors
    /// A report that cannot be made or written.
    pub async fn ending(&self, ending: Ending, reader: &Reader, store: &StoreSpec) -> Result<Exit> {
        let Ending { view, signal } = ending;
        let exit = match signal.filter(|_| !view.status().is_ended()) {
            Some(signal) => {
                self.say_interrupted(&view, store);
                return Ok(Exit::Signal(signal));
            }
            None => Exit::of_run(view.status()),
        };
        if self.progress.is_for_people() {
            say(tree::render(&view, SystemClock.now(), stderr_size().0, Detail::Line));
        }
        let written = match self.output {
            TextOrJson::Json => answer_json(&reader.report(&view).await?),
            TextOrJson::Text => {
                let report = tutti_core::report::ExecutionReport::new(&view);
                answer(&report.map(|report| render_text(&report, stdout_width())).unwrap_or_default())
            }
        };
        match written {
            // Whoever stopped reading still learns from the exit code how the run ended.
            Err(failure) if !failure.is_quiet() => return Err(failure),
            _ => {}
        }
        self.say_next(&view, store);
        Ok(exit)
    }

    fn say_interrupted(&self, view: &RunView, store: &StoreSpec) {
        let done = view.steps().filter(|step| step.status == StepStatus::Completed).count();
        let all = view.plan().len();
        match (view.run(), store) {
            (None, _) => say("stopped before the run began"),
            (Some(_), StoreSpec::Memory) => {
                say(format!("stopped with {done} of {all} steps done; a store in memory keeps nothing"));
            }
            (Some(run), StoreSpec::Sqlite(_)) => {
                say(format!("stopped with {done} of {all} steps done; what is done is kept"));
                say(format!("next:  tutti resume {run}{}", with_store(store)));
            }
        }
    }

    fn say_next(&self, view: &RunView, store: &StoreSpec) {
        let (Some(run), StoreSpec::Sqlite(_), true) = (view.run(), store, self.progress.is_for_people()) else {
            return;
        };
        let named = with_store(store);
        match view.status() {
            RunStatus::Waiting => {
                for (step, question) in view.steps().filter_map(|step| Some((step.id(), step.question()?.1))) {
                    say(format!("step {step} waits: {}", tutti_core::report::printable(question)));
                }
                say("its agent was left running");
                say(format!("next:  tutti signal {run} ANSWER{named}"));
                say(format!("then:  tutti resume {run}{named}"));
            }
            RunStatus::Failed => {
                say(format!("next:  tutti get {run}{named}"));
                say(format!("or:    tutti retry {run} --reason WHY{named}"));
            }
            _ => {}
        }
    }
}

/// How to name a store that is not the default one.
pub fn with_store(store: &StoreSpec) -> String {
    let store = store.to_string();
    if store == StoreSpec::DEFAULT { String::new() } else { format!(" --store {store}") }
}
