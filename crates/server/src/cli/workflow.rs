//! `tutti workflow`: registered workflows, of a server or of a store.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use tutti_core::ids::WorkflowId;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::runs::WorkflowSource;
use tutti_core::ports::inbound::workflows::{ListWorkflows, RegisteredWorkflow};
use tutti_core::report::{fit, human_seconds, pad, printable, rfc3339};
use tutti_core::value::Digest;
use tutti_core::workflow::{Problem, Severity};
use tutti_engine::PlanSubject;

use super::list::ListForm;
use super::{Global, LintArgs, Source, TextOrJson, lint};
use crate::catalogue::{Access, Catalogue};
use crate::clock::SystemClock;
use crate::config::{Flags, settled};
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, answer_json, json_line, say, stdout_width};
use crate::planning::{describe, remembered};
use crate::report::with_store;
use crate::workflow_file::{WorkflowFile, lines, text};

#[derive(Debug, Args)]
pub struct WorkflowArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Register a version of a workflow. A version that is registered never changes.
    Apply {
        /// The workflow, YAML or JSON; it names its id and its version.
        file: PathBuf,
        /// The form of the answer.
        #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
        output: TextOrJson,
        #[command(flatten)]
        source: Source,
    },
    /// List registered workflows, by id.
    List(ListArgs),
    /// Print the file of a registered workflow.
    Show {
        /// The workflow; without a version the one that was registered last.
        #[arg(value_name = "ID[@VERSION]", value_parser = reference)]
        workflow: Reference,
        /// Text is the file as it was registered; JSON tells who registered it and when, too.
        #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
        output: TextOrJson,
        #[command(flatten)]
        source: Source,
    },
    /// Check a workflow file: `tutti lint`, or by a server, with its agents.
    Lint {
        #[command(flatten)]
        lint: LintArgs,
        #[command(flatten)]
        source: Source,
    },
    /// Draw the plan of a workflow.
    Graph {
        /// The workflow: a file, or a registered one.
        #[arg(value_name = "FILE|ID[@VERSION]")]
        workflow: String,
        /// The form of the answer.
        #[arg(short, long, value_enum, default_value_t = GraphForm::Text)]
        output: GraphForm,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only versions of this workflow; all of them.
    #[arg(value_name = "ID")]
    id: Option<WorkflowId>,
    /// Every version of each workflow, not only the last one.
    #[arg(long)]
    all: bool,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = ListForm::Table)]
    output: ListForm,
    /// At most so many, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Where the page before ended, as it said.
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GraphForm {
    /// Levels, critical path and times.
    Text,
    /// A Mermaid flow chart.
    Mermaid,
    /// A Graphviz graph.
    Dot,
}

/// A registered workflow, as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    id: WorkflowId,
    version: Option<String>,
}

fn reference(text: &str) -> std::result::Result<Reference, String> {
    let (id, version) = text.split_once('@').map_or((text, None), |(id, version)| (id, Some(version.to_owned())));
    let id = id.parse().map_err(|error: tutti_core::ids::InvalidName| error.to_string())?;
    Ok(Reference { id, version })
}

/// The registered workflow that a text names; `None` if it names a file that is there, or looks like one.
pub fn registered(text: &str) -> Option<(WorkflowId, Option<String>)> {
    let path = Path::new(text);
    let id = text.split('@').next().unwrap_or_default();
    let is_file = [".yaml", ".yml", ".json"].iter().any(|ending| id.ends_with(ending) || text.ends_with(ending));
    let Reference { id, version } = reference(text).ok()?;
    (!path.exists() && !is_file).then_some((id, version))
}

/// A version as JSON.
#[derive(Serialize)]
struct Line<'l> {
    workflow: &'l WorkflowId,
    version: &'l str,
    name: &'l str,
    description: &'l str,
    definition: Digest,
    steps: u32,
    registered_at: String,
    registered_by: &'l str,
    latest: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    existed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'l str>,
}

impl<'l> Line<'l> {
    fn new(workflow: &'l RegisteredWorkflow) -> Self {
        Self {
            workflow: &workflow.id,
            version: &workflow.version,
            name: &workflow.name,
            description: &workflow.description,
            definition: workflow.definition,
            steps: workflow.steps,
            registered_at: rfc3339(workflow.registered_at),
            registered_by: &workflow.registered_by,
            latest: workflow.latest,
            existed: None,
            text: None,
        }
    }
}

/// A page as JSON.
#[derive(Serialize)]
struct Page<'p> {
    workflows: Vec<Line<'p>>,
    /// For `--cursor`; null on the last page.
    next: Option<&'p str>,
}

/// # Errors
/// A workflow that is not there or cannot be used, a store or a server that cannot be used.
pub async fn execute(args: WorkflowArgs, global: &Global) -> Result<Exit> {
    match args.verb {
        Verb::Apply { file, output, source } => apply(&file, output, &source, global).await,
        Verb::List(args) => list(args, global).await,
        Verb::Show { workflow, output, source } => {
            let workflows = Catalogue::open(&source, global, Access::Look).await?;
            let (found, text) = workflows.get(&workflow.id, workflow.version.as_deref()).await?;
            match output {
                TextOrJson::Json => answer_json(&Line { text: Some(&text), ..Line::new(&found) })?,
                TextOrJson::Text => {
                    let end = if text.ends_with('\n') { "" } else { "\n" };
                    answer(&format!("{text}{end}"))?;
                    let (at, by) = (rfc3339(found.registered_at), printable(&found.registered_by).into_owned());
                    say(format!("{}: registered {at} by {by}", Named(&found)));
                }
            }
            Ok(Exit::Done)
        }
        Verb::Lint { lint, source } if source.server.is_none() => lint::execute(&lint, global),
        Verb::Lint { lint, source } => {
            let workflows = Catalogue::open(&source, global, Access::Look).await?;
            let mut problems = workflows.validate(&text(&lint.file)?).await?;
            for problem in problems.iter_mut().filter(|problem| lint.strict && problem.field == "capability") {
                problem.severity = Severity::Error;
            }
            lint::tell(&lint, &problems)
        }
        Verb::Graph { workflow, output, source } => graph(&workflow, output, &source, global).await,
    }
}

async fn apply(file: &Path, output: TextOrJson, source: &Source, global: &Global) -> Result<Exit> {
    // What is wrong is told with its place before anybody is asked.
    let read = WorkflowFile::read(file)?;
    let workflows = Catalogue::open(source, global, Access::Write).await?;
    let registered = workflows.register(text(file)?).await?;
    if output == TextOrJson::Json {
        return answer_json(&Line { existed: Some(registered.existed), ..Line::new(&registered) }).map(|()| Exit::Done);
    }
    answer(&format!("{}\n", Named(&registered)))?;
    if registered.existed {
        say("it was registered with this content before");
    }
    if read.workflow.version.is_empty() {
        say("it names no version: another content cannot be registered under its id before it names one");
    }
    match &source.server {
        Some(url) => say(format!("next:  tutti submit {} --server {url}", registered.id)),
        None => say(format!("next:  tutti serve{}", with_store(&global.store))),
    }
    Ok(Exit::Done)
}

async fn list(args: ListArgs, global: &Global) -> Result<Exit> {
    let workflows = Catalogue::open(&args.source, global, Access::Look).await?;
    let request = ListWorkflows {
        namespace: args.source.namespace.clone(),
        all_versions: args.all || args.id.is_some(),
        id: args.id,
        limit: usize::from(args.limit),
        cursor: args.cursor,
    };
    let page = workflows.list(request).await?;
    let found = &page.workflows;
    match args.output {
        ListForm::Json => {
            answer_json(&Page { workflows: found.iter().map(Line::new).collect(), next: page.next.as_deref() })?;
        }
        ListForm::Jsonl => answer(&found.iter().map(|one| json_line(&Line::new(one))).collect::<String>())?,
        ListForm::Name => answer(&found.iter().map(|one| format!("{}\n", Named(one))).collect::<String>())?,
        ListForm::Table => answer(&table(found, stdout_width()))?,
    }
    if args.output != ListForm::Json {
        if let Some(next) = &page.next {
            say(format!("there are more: repeat the command with --cursor {next}"));
        }
        if found.is_empty() {
            say("no workflows");
        }
    }
    Ok(Exit::Done)
}

fn table(workflows: &[RegisteredWorkflow], width: usize) -> String {
    if workflows.is_empty() {
        return String::new();
    }
    let names = workflows.iter().map(|one| one.id.as_str().len()).max().unwrap_or(0).clamp(8, 40);
    let row = |id: &str, version: &str, latest: &str, steps: &str, age: &str, what: &str| {
        let (id, version) = (pad(id, names), pad(version, 12));
        format!("{}\n", fit(&format!("{id}  {version}  {latest:<6}  {steps:>5}  {age:>10}  {what}"), width).trim_end())
    };
    let now = SystemClock.now();
    let mut table = row("WORKFLOW", "VERSION", "LATEST", "STEPS", "AGE", "NAME");
    for one in workflows {
        let age = human_seconds(now.since(one.registered_at).as_secs_f64());
        let latest = if one.latest { "yes" } else { "-" };
        table.push_str(&row(one.id.as_str(), &one.version, latest, &one.steps.to_string(), &age, &one.name));
    }
    table
}

async fn graph(workflow: &str, output: GraphForm, source: &Source, global: &Global) -> Result<Exit> {
    let wanted = match registered(workflow) {
        Some((id, version)) => WorkflowSource::Registered { id, version },
        None => WorkflowSource::Text(text(Path::new(workflow))?),
    };
    let plan = match (&wanted, &source.server) {
        // A file needs no store.
        (WorkflowSource::Text(_), None) => {
            let file = WorkflowFile::read(Path::new(workflow))?.with_named(global, &source.namespace).await?;
            let config = &global.config;
            let refused = |problems: Vec<Problem>| {
                Failure::usage(format!("the workflow cannot run\n{}", lines(&file.path, &problems).trim_end()))
            };
            let workflow = settled(&file.workflow, file.explicit, &config.execution, Flags::default());
            let past = remembered(global, &source.namespace, &workflow.id).await;
            describe(PlanSubject { workflow, past, offers: BTreeMap::new(), made: None }, config).map_err(refused)?
        }
        _ => Catalogue::open(source, global, Access::Look).await?.plan(&wanted).await?,
    };
    let drawn = match output {
        GraphForm::Text => plan.text,
        GraphForm::Mermaid => plan.mermaid,
        GraphForm::Dot => plan.dot,
    };
    answer(&drawn).map(|()| Exit::Done)
}

/// A version by its name: `ID@VERSION`, or `ID` if it has none.
struct Named<'n>(&'n RegisteredWorkflow);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RegisteredWorkflow { id, version, .. } = self.0;
        if version.is_empty() { write!(f, "{id}") } else { write!(f, "{id}@{}", printable(version)) }
    }
}
