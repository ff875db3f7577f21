//! `tutti doctor`: whether everything is as it should be, and what to do where it is not. Changes nothing.

mod around;
mod closely;
mod fleet;
mod runs;
mod server;
mod store;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::report::printable;
use tutti_core::time::Span;

use super::{At, Global, TextOrJson};
use crate::exit::{Exit, Result};
use crate::hints;
use crate::output::{answer, answer_json};

/// What `tutti doctor --help` says at its end.
const HELP: &str = "\
Of a store, also while servers write to it: whether it opens, whether its tables, settings and clock are sound, whether the
newest runs keep what runs promise and their payloads are there, whether all other runs are sound at a glance, which runs
need somebody or should have gone on, which servers have it, which slots nobody has, and which commands wait; whether the
configuration can be used, agents with a URL answer and can do what the agents file says, certificates can be read and do
not expire soon, and the clock is sane. Of a server: whether it answers and serves, how it does, and what the token may do.
Exit code 1 if something is wrong.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DoctorArgs {
    /// How many of the newest runs are looked at closely, 0 to 100000; all others at a glance.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    runs: u32,
    /// Look closely at all runs.
    #[arg(long, conflicts_with = "runs")]
    all: bool,
    /// Look only at runs that were created so long ago at most, such as 1h.
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    since: Option<Span>,
    /// Look only at what stands around the runs.
    #[arg(long, conflicts_with_all = ["all", "since", "run"])]
    quick: bool,
    /// Look closely at this run only: its id, the beginning of it, or `latest`.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["all", "since"])]
    run: Option<String>,
    /// Look only at the runs of this namespace. Default: at everybody's; of a server, those of `default`.
    #[arg(long, env = "TUTTI_NAMESPACE", value_name = "NAME")]
    namespace: Option<Namespace>,
    /// The agents. Default: what the configuration says, then agents.yaml in this folder, if there is one.
    #[arg(long, value_name = "FILE")]
    agents: Option<PathBuf>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: At,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Not as it should be.
    Wrong,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at: one word.
    check: &'static str,
    state: State,
    /// How it is (may hold text from outside).
    detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(flatten)]
    about: About,
}

/// What a finding is about, for programs.
#[derive(Debug, Default, Serialize)]
struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slots: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
}

impl About {
    fn run(run: RunId) -> Self {
        Self { run: Some(run), slots: vec![run.slot()], ..Self::default() }
    }

    fn slots(slots: &BTreeSet<u16>) -> Self {
        Self { slots: slots.iter().copied().collect(), ..Self::default() }
    }

    fn server(self, server: &str) -> Self {
        Self { server: Some(server.to_owned()), ..self }
    }
}

/// Everything that was found, in the order in which it was looked at.
#[derive(Debug, Default, Serialize)]
struct Findings {
    ok: bool,
    findings: Vec<Finding>,
}

impl Findings {
    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, State::Ok, detail.into(), None);
    }

    fn note(&mut self, check: &'static str, detail: impl Into<String>, next: impl Into<String>) {
        self.add(check, State::Note, detail.into(), Some(next.into()));
    }

    fn wrong(&mut self, check: &'static str, detail: impl Into<String>, next: impl Into<String>) {
        self.add(check, State::Wrong, detail.into(), Some(next.into()));
    }

    fn add(&mut self, check: &'static str, state: State, detail: String, next: Option<String>) {
        self.findings.push(Finding { check, state, detail, next, about: About::default() });
    }

    /// Says what the last finding is about.
    fn about(&mut self, about: About) {
        if let Some(last) = self.findings.last_mut() {
            last.about = about;
        }
    }

    /// As it is put by what went wrong.
    fn failed(&mut self, check: &'static str, failure: &crate::exit::Failure) {
        let next = failure.advice().unwrap_or("put it right, then: tutti doctor");
        self.wrong(check, failure.message(), next);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { check, state, detail, next, .. } in &self.findings {
            let mark = match state {
                State::Ok => "● ok   ",
                State::Note => "◇ note ",
                State::Wrong => "✖ wrong",
            };
            for (number, line) in detail.lines().enumerate() {
                let head = if number == 0 { format!("{mark}  {check:<12}") } else { " ".repeat(21) };
                text.push_str(&format!("{head}  {}\n", printable(line)));
            }
            if let Some(next) = next {
                text.push_str(&format!("{}  next: {}\n", " ".repeat(21), printable(&hints::command(next))));
            }
        }
        text
    }
}

/// # Errors
/// An answer that cannot be written.
pub async fn execute(args: DoctorArgs, configured: Result<Global>) -> Result<Exit> {
    let mut findings = Findings::default();
    match (&args.source.server, &configured) {
        (Some(url), _) => server::look(url, &args.namespace.clone().unwrap_or_default(), &mut findings).await,
        (None, Err(failure)) => findings.failed("config", failure),
        (None, Ok(global)) => {
            findings.ok("config", "the configuration can be used");
            around::clock(&mut findings);
            store::look(&args, global, &mut findings).await;
            around::certificates(&global.config, &mut findings);
            around::agents(args.agents.as_deref(), global, &mut findings).await;
        }
    }
    findings.ok = findings.findings.iter().all(|finding| finding.state != State::Wrong);
    match args.output {
        TextOrJson::Json => answer_json(&findings)?,
        TextOrJson::Text => answer(&findings.text())?,
    }
    Ok(if findings.ok { Exit::Done } else { Exit::Unsound })
}
