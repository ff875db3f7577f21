//! What is said and answered when a run has ended, waits, or was left.

use tutti_core::ports::agent::Need;
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

/// Where the run is, for what to type next.
#[derive(Debug, Clone, Copy)]
pub enum Home<'h> {
    /// In a store, driven by this command.
    Driven(&'h StoreSpec),
    /// In a store that this command looks into.
    Store(&'h StoreSpec),
    /// At a server.
    Server(&'h str),
}

impl Home<'_> {
    /// How to name it in a command.
    pub fn flag(self) -> String {
        match self {
            Self::Driven(store) | Self::Store(store) => with_store(store),
            Self::Server(url) => format!(" --server {url}"),
        }
    }
}

impl Show {
    /// As the flags say.
    pub fn of(args: &ShowArgs, logging: bool) -> Self {
        Self::new(args.progress, args.output, logging)
    }

    /// Progress and report in these forms.
    pub fn new(progress: Progress, output: TextOrJson, logging: bool) -> Self {
        Self { progress: progress.settled(logging), output }
    }

    /// Says how a run stands and answers with the report on it.
    ///
    /// # Errors
    /// A report that cannot be made or written.
    pub async fn ending(&self, ending: Ending, reader: &Reader, home: Home<'_>) -> Result<Exit> {
        let Ending { view, signal } = ending;
        let exit = match signal.filter(|_| !view.status().is_ended()) {
            Some(signal) => {
                self.say_interrupted(&view, home);
                return Ok(Exit::Signal(signal));
            }
            None => exit(&view),
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
        self.say_next(&view, home);
        Ok(exit)
    }

    fn say_interrupted(&self, view: &RunView, home: Home<'_>) {
        let done = view.steps().filter(|step| step.status == StepStatus::Completed).count();
        let all = view.plan().len();
        let Some(run) = view.run() else { return say("stopped before the run began") };
        let flag = home.flag();
        match home {
            Home::Driven(StoreSpec::Memory) => {
                say(format!("stopped with {done} of {all} steps done; a store in memory keeps nothing"));
            }
            Home::Driven(StoreSpec::Sqlite(_) | StoreSpec::Postgres(_)) => {
                say(format!("stopped with {done} of {all} steps done; what is done is kept"));
                say(format!("next:  tutti resume {run}{flag}"));
            }
            Home::Store(_) | Home::Server(_) => {
                say(format!("detached with {done} of {all} steps done; the run goes on"));
                say(format!("next:  tutti watch {run}{flag}"));
            }
        }
    }

    fn say_next(&self, view: &RunView, home: Home<'_>) {
        let Some(run) = view.run().filter(|_| self.progress.is_for_people()) else { return };
        if matches!(home, Home::Driven(StoreSpec::Memory)) {
            return;
        }
        let flag = home.flag();
        if say_held(view, &flag) {
            return;
        }
        match view.status() {
            RunStatus::Waiting => {
                for (step, question) in view.all_steps().filter_map(|step| Some((step.index, step.question()?.1))) {
                    let step = view.plan().path(step);
                    say(format!("step {step} waits: {}", tutti_core::report::printable(question)));
                }
                let asks_agent = |step: tutti_core::report::StepView<'_>| {
                    step.question().is_some() && step.step.capability.is_some()
                };
                if matches!(home, Home::Driven(_)) && view.all_steps().any(asks_agent) {
                    say("its agent was left running");
                }
                let wants = |need: Need| view.questions().iter().any(|question| question.need == need);
                if wants(Need::Approval) {
                    say(format!("next:  tutti approve {run}{flag}"));
                    say(format!("or:    tutti reject {run} --reason WHY{flag}"));
                } else {
                    say(format!("next:  tutti signal {run} ANSWER{flag}"));
                }
                match home {
                    Home::Server(_) => say(format!("then:  tutti watch {run}{flag}")),
                    Home::Driven(_) | Home::Store(_) => say(format!("then:  tutti resume {run}{flag}")),
                }
            }
            RunStatus::Failed => {
                say(format!("next:  tutti get {run}{flag}"));
                say(format!("or:    tutti retry {run} --reason WHY{flag}"));
            }
            _ => {}
        }
    }
}

/// What a run means for the command that looked on. One that waits to be told what an agent has done waits for an operator.
fn exit(view: &RunView) -> Exit {
    let is_unknown = view.all_steps().chain(view.undos()).any(|step| step.status == StepStatus::OutcomeUnknown);
    if view.status() == RunStatus::Waiting && is_unknown { Exit::Undecided } else { Exit::of_run(view.status()) }
}

/// Says what a person has to decide about steps that are held, and how; false if none is.
pub fn say_held(view: &RunView, flag: &str) -> bool {
    let Some((run, state)) = view.run().zip(view.state()) else { return false };
    let mut advised = false;
    for (index, held) in state.held() {
        let path = view.plan().path(index);
        let (step, undoes) = (path.undone().unwrap_or(path.as_str()), path.undone().is_some());
        let error = tutti_core::report::printable(&held.error.to_string()).into_owned();
        let ways: &[&str] = match (undoes, held.unknown.is_some()) {
            (true, _) => &["retry RUN --reason WHY", "skip RUN STEP", "resolve RUN STEP"],
            (false, true) => {
                &["outcome RUN STEP --happened FILE", "outcome RUN STEP --not-happened", "outcome RUN STEP --ask-agent"]
            }
            (false, false) => &[
                "retry RUN --step STEP --reason WHY",
                "resolve RUN STEP --output FILE",
                "skip RUN STEP",
                "fail RUN STEP",
            ],
        };
        let what = match (undoes, held.unknown.is_some()) {
            (true, false) => "cannot be undone",
            (true, true) => "may be undone or not",
            (false, true) => "may have been done or not, and must not be done twice",
            (false, false) => "is held",
        };
        say(format!("step {step} {what}: {error}"));
        if advised {
            continue;
        }
        advised = true;
        for (number, way) in ways.iter().enumerate() {
            let way = way.replace("RUN", &run.to_string()).replace("STEP", step);
            say(format!("{}  tutti {way}{flag}", if number == 0 { "next:" } else { "or:  " }));
        }
    }
    advised
}

/// How to name a store that is not the default one.
pub fn with_store(store: &StoreSpec) -> String {
    let store = store.to_string();
    if store == StoreSpec::DEFAULT { String::new() } else { format!(" --store {store}") }
}
