//! `tutti lint`: everything that is wrong with a workflow file, offline.

use serde::Serialize;
use tutti_core::workflow::{Problem, Severity};

use super::{Global, LintArgs, TextOrJson};
use crate::agents::AgentsFile;
use crate::exit::{Exit, Result};
use crate::output::{answer, answer_json, say};
use crate::workflow_file::{self, WorkflowFile};

/// The answer as JSON.
#[derive(Serialize)]
struct Findings<'f> {
    file: String,
    errors: usize,
    warnings: usize,
    problems: &'f [Problem],
}

/// # Errors
/// A file that cannot be read.
pub fn execute(args: &LintArgs, global: &Global) -> Result<Exit> {
    let agents = args.agents.as_deref().or(global.config.agents.file.as_deref());
    let agents = AgentsFile::find(agents, &args.file)?;
    let text = workflow_file::text(&args.file)?;
    let problems = match WorkflowFile::parse(&args.file, &text) {
        Err(problems) => problems,
        Ok(file) => {
            let mut problems = file.warnings.clone();
            problems.extend(file.named_problems()?);
            let unmet = agents.iter().flat_map(|agents| agents.unmet(&file.workflow, &file.document));
            problems.extend(unmet.map(|mut problem| {
                problem.severity = if args.strict { Severity::Error } else { Severity::Warning };
                problem
            }));
            problems.sort_by_key(|problem| problem.position);
            problems
        }
    };
    let exit = tell(args, &problems)?;
    if let Some(agents) = agents.filter(|_| exit == Exit::Done) {
        say_unchecked(&agents);
    }
    Ok(exit)
}

/// Answers with what was found, and ends by it.
///
/// # Errors
/// An answer that cannot be written.
pub fn tell(args: &LintArgs, problems: &[Problem]) -> Result<Exit> {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    match args.output {
        TextOrJson::Json => {
            let file = args.file.display().to_string();
            answer_json(&Findings { file, errors, warnings, problems })?;
        }
        TextOrJson::Text => {
            answer(&workflow_file::lines(&args.file, problems))?;
            say(format!("{}: {}, {}", args.file.display(), count(errors, "error"), count(warnings, "warning")));
        }
    }
    Ok(if errors == 0 { Exit::Done } else { Exit::Usage })
}

/// Says which agents could not be asked what they can do.
fn say_unchecked(agents: &AgentsFile) {
    let silent: Vec<&str> =
        agents.agents.iter().filter(|agent| agent.capabilities.is_none()).map(|agent| agent.name.as_str()).collect();
    if !silent.is_empty() {
        say(format!(
            "note: not checked against the agents, because these tell what they can do by their cards only: {}",
            silent.join(", ")
        ));
    }
}

fn count(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}
