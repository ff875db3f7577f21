//! What callers ask of the runs of an engine: the inbound port over the engine and its store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::{EVENTS_PAGE, MAX_WIDTH};
use tutti_core::plan::Plan;
use tutti_core::ports::query::{RunPage, RunSummary};
use tutti_core::ports::runs::{
    CommandRequest, EventPage, EventsRequest, ListRequest, Runs, RunsError, StartRequest, StartedRun, Violation,
};
use tutti_core::ports::store::StoreError;
use tutti_core::report::RunView;
use tutti_core::run::{Command, RunStatus, decode};
use tutti_core::schedule::StrategyDecision;
use tutti_core::value::{Json, PayloadRef};
use tutti_core::workflow::{Executor, Problem, Workflow, initial_data, parse};

use crate::engine::{Engine, EngineError, Ports, StartRun};
use crate::executors;
use crate::hub::Update;
use crate::loader::load_plan;
use crate::rest::store_answer;

/// Chooses the executor of a plan when it is `auto`, and says why.
pub type Strategist = Arc<dyn Fn(&Plan, Executor) -> StrategyDecision + Send + Sync>;

/// Runs listed on a page if the caller does not say.
const PAGE: usize = 50;

/// The runs of an engine, for callers.
#[derive(Clone)]
pub struct RunService {
    engine: Engine,
    strategist: Strategist,
}

impl RunService {
    /// The runs of this engine.
    #[must_use]
    pub const fn new(engine: Engine, strategist: Strategist) -> Self {
        Self { engine, strategist }
    }

    async fn summary(&self, namespace: &Namespace, run: RunId) -> Result<RunSummary, RunsError> {
        let found = self.engine.ports().query.find(namespace, run).await.map_err(|error| of_store(&error))?;
        found.ok_or_else(|| RunsError::NotFound(format!("run {run}")))
    }
}

#[async_trait]
impl Runs for RunService {
    async fn start(&self, request: StartRequest) -> Result<StartedRun, RunsError> {
        // Reading a large workflow takes its time, which is not that of others.
        let service = self.clone();
        let start = tokio::task::spawn_blocking(move || service.prepare(request))
            .await
            .map_err(|error| RunsError::Unavailable(format!("reading the workflow was given up: {error}")))??;
        let started = self.engine.start_run(start).await.map_err(of_engine)?;
        Ok(StartedRun { run: started.run, existed: started.existed })
    }

    async fn command(&self, request: CommandRequest) -> Result<bool, RunsError> {
        let CommandRequest { namespace, run, mut command, order } = request;
        // Looked up first: the engine knows no namespaces.
        let status = self.summary(&namespace, run).await?.status;
        let wanted = match command {
            Command::Pause => Some(RunStatus::Paused),
            Command::Cancel => Some(RunStatus::Cancelled),
            Command::Terminate => Some(RunStatus::Terminated),
            Command::Resume | Command::Retry | Command::Signal { .. } => None,
        };
        if wanted == Some(status) {
            return Ok(true);
        }
        store_answer(&*self.engine.ports().payloads, run, &mut command).await.map_err(|error| of_store(&error))?;
        self.engine.command(run, command, order).await.map_err(of_engine)?;
        Ok(false)
    }

    async fn get(&self, namespace: &Namespace, run: RunId) -> Result<RunView, RunsError> {
        let summary = self.summary(namespace, run).await?;
        let Ports { query, .. } = self.engine.ports();
        let plan = load_plan(&**query, summary.definition).await.map_err(of_engine)?;
        let mut view = RunView::new(plan);
        loop {
            let page = query.events(run, view.seq() + 1, EVENTS_PAGE).await.map_err(|error| of_store(&error))?;
            for stored in &page {
                view.apply(&decode(&stored.event).map_err(|error| RunsError::Damaged(error.to_string()))?);
            }
            if page.len() < EVENTS_PAGE {
                return Ok(view);
            }
        }
    }

    async fn list(&self, request: ListRequest) -> Result<RunPage, RunsError> {
        let (query, page) = (&self.engine.ports().query, request.query);
        let Some(prefix) = request.prefix else { return query.list(page).await.map_err(|error| of_store(&error)) };
        let limit = if page.limit == 0 { PAGE } else { page.limit };
        let runs = query.find_by_prefix(&page.namespace, &prefix.to_ascii_lowercase(), limit).await;
        Ok(RunPage { runs: runs.map_err(|error| of_store(&error))?, next: None })
    }

    async fn events(&self, request: EventsRequest) -> Result<EventPage, RunsError> {
        let EventsRequest { namespace, run, from, limit, wait } = request;
        let deadline = Instant::now() + wait;
        let mut watch = None;
        loop {
            // Asked first: what is recorded before the end is then in the page.
            let ended = self.summary(&namespace, run).await?.status.is_ended();
            let page =
                self.engine.ports().query.events(run, from.max(1), limit).await.map_err(|error| of_store(&error))?;
            if !page.is_empty() || ended || Instant::now() >= deadline {
                return Ok(EventPage { events: page.into_iter().map(|stored| stored.event).collect(), ended });
            }
            // News only wake: what is told is read from the store. Listened to before the store is read once more.
            let Some(news) = &mut watch else {
                watch = Some(self.engine.watch(run));
                continue;
            };
            loop {
                match timeout_at(deadline, news.next()).await {
                    Ok(Ok(Some(Update::Progress { .. }))) => {}
                    Ok(Ok(Some(Update::Event(_))) | Err(_)) | Err(_) => break,
                    Ok(Ok(Some(Update::Released) | None)) => {
                        watch = None;
                        break;
                    }
                }
            }
        }
    }

    async fn payload(&self, namespace: &Namespace, run: RunId, at: PayloadRef) -> Result<Bytes, RunsError> {
        self.summary(namespace, run).await?;
        let found = self.engine.ports().payloads.get(run, at).await.map_err(|error| of_store(&error))?;
        found.ok_or_else(|| RunsError::NotFound(format!("payload {} of run {run}", at.hash)))
    }
}

impl RunService {
    /// Checks everything that was given, and puts the run together.
    fn prepare(&self, request: StartRequest) -> Result<StartRun, RunsError> {
        let workflow = parse(&request.workflow).map_err(|problems| invalid(&problems))?.workflow;
        let plan = Plan::new(workflow.clone()).map_err(|problems| invalid(&problems))?;
        let data = data(&workflow, request.inputs)?;
        let mut settled = workflow;
        if let Some(executor) = request.executor {
            settled.executor = executor;
        }
        if let Some(width) = request.max_concurrent_tasks {
            if !(1..=MAX_WIDTH).contains(&width) {
                let reason = format!("must be a number from 1 to {MAX_WIDTH}");
                return Err(RunsError::invalid("max_concurrent_tasks", reason));
            }
            settled.max_concurrent_tasks = width;
        }
        let weighed = Plan::new(settled).map_err(|problems| invalid(&problems))?;
        let strategy = (self.strategist)(&weighed, weighed.workflow().executor);
        let policy = executors::policy(weighed.workflow(), strategy.executor);
        Ok(StartRun { namespace: request.namespace, request: request.request, plan, data, policy, strategy })
    }
}

/// The data at the start.
fn data(workflow: &Workflow, inputs: String) -> Result<Json, RunsError> {
    let inputs = match inputs.trim() {
        "" => Json::empty_object(),
        _ => Json::parse(inputs).map_err(|error| RunsError::invalid("inputs_json", error.to_string()))?,
    };
    // The default of a file input is the name of a file beside the workflow, which is not here.
    let given = tutti_core::value::members(&inputs).unwrap_or_default();
    let files = workflow.inputs.iter().filter(|(name, spec)| spec.file && !given.contains_key(*name));
    let missing: Vec<Violation> = files
        .filter(|(_, spec)| spec.default.is_some())
        .map(|(name, _)| Violation {
            field: format!("inputs_json.{name}"),
            reason: "is a file, and the server reads none: give its text".to_owned(),
        })
        .collect();
    if !missing.is_empty() {
        return Err(RunsError::Invalid(missing));
    }
    initial_data(workflow, &inputs).map_err(|problems| {
        let field = |field: &str| field.replacen("inputs", "inputs_json", 1);
        let violation = |problem: Problem| Violation { field: field(&problem.field), reason: problem.reason };
        RunsError::Invalid(problems.into_iter().map(violation).collect())
    })
}

/// What is wrong with a workflow, by field.
fn invalid(problems: &[Problem]) -> RunsError {
    let violation = |problem: &Problem| {
        let mut field = "workflow".to_owned();
        for part in problem.step.iter().map(|step| format!("steps[{step}]")).chain([problem.field.clone()]) {
            if !part.is_empty() {
                field = format!("{field}.{part}");
            }
        }
        let place = problem.position.map(|at| format!("line {}, column {}: ", at.line, at.column)).unwrap_or_default();
        Violation { field, reason: format!("{place}{}", problem.reason) }
    };
    RunsError::Invalid(problems.iter().filter(|problem| problem.is_error()).map(violation).collect())
}

fn of_store(error: &StoreError) -> RunsError {
    match error {
        StoreError::BadCursor => RunsError::invalid("page_token", "was not given out by this server"),
        StoreError::Unavailable(_) | StoreError::InUse(_) => RunsError::Unavailable(error.to_string()),
        StoreError::Permanent(_) | StoreError::Corrupt(_) => RunsError::Damaged(error.to_string()),
    }
}

fn of_engine(error: EngineError) -> RunsError {
    match error {
        EngineError::Store(error) => of_store(&error),
        EngineError::NotFound(run) => RunsError::NotFound(format!("run {run}")),
        EngineError::Rejected(_) | EngineError::Quarantined(_) | EngineError::TooNew { .. } => {
            RunsError::NotAllowed(error.to_string())
        }
        EngineError::NotLive(_) | EngineError::ShuttingDown => RunsError::Unavailable(error.to_string()),
        EngineError::Damaged { .. } | EngineError::Definition { .. } => RunsError::Damaged(error.to_string()),
    }
}
