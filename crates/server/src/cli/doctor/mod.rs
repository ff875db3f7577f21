//! `tutti doctor`: whether everything is as it should be, and what to do where it is not. Changes nothing.

mod around;
mod server;
mod store;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tutti_core::report::printable;

use super::{At, Global, TextOrJson};
use crate::exit::{Exit, Result};
use crate::hints;
use crate::output::{answer, answer_json};

/// What `tutti doctor --help` says at its end.
const HELP: &str = "\
Of a store: whether it opens, whether the histories of its newest runs keep what runs promise, whether their payloads are
there, and which runs need somebody; whether the configuration can be used, agents with a URL answer and can do what the
agents file says, certificates can be read and do not expire soon, and the clock is sane. Of a server: whether it answers
and serves, how it does, and what the token may do. Exit code 1 if something is wrong.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DoctorArgs {
    /// How many of the newest runs are looked at closely, 0 to 100000.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    runs: u32,
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
}

/// Everything that was found, in the order in which it was looked at.
#[derive(Debug, Default, Serialize)]
struct Findings {
    ok: bool,
    findings: Vec<Finding>,
}

impl Findings {
    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.findings.push(Finding { check, state: State::Ok, detail: detail.into(), next: None });
    }

    fn note(&mut self, check: &'static str, detail: impl Into<String>, next: impl Into<String>) {
        self.findings.push(Finding { check, state: State::Note, detail: detail.into(), next: Some(next.into()) });
    }

    fn wrong(&mut self, check: &'static str, detail: impl Into<String>, next: impl Into<String>) {
        self.findings.push(Finding { check, state: State::Wrong, detail: detail.into(), next: Some(next.into()) });
    }

    /// As it is put by what went wrong.
    fn failed(&mut self, check: &'static str, failure: &crate::exit::Failure) {
        let next = failure.advice().unwrap_or("put it right, then: tutti doctor");
        self.wrong(check, failure.message(), next);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { check, state, detail, next } in &self.findings {
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
        (Some(url), _) => server::look(url, &mut findings).await,
        (None, Err(failure)) => findings.failed("config", failure),
        (None, Ok(global)) => {
            findings.ok("config", "the configuration can be used");
            around::clock(&mut findings);
            let newest = usize::try_from(args.runs).unwrap_or(usize::MAX);
            store::look(global, newest, &mut findings).await;
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
