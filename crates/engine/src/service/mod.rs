//! The inbound ports over an engine and its stores.

mod access;
mod agents;
mod approvals;
mod changes;
mod errors;
mod explain;
mod fork;
mod learning;
mod patch;
mod planning;
mod replan;
mod retention;
mod runs;
mod sessions;
mod start;
mod sub_workflows;
mod views;
mod watchdog;
mod workflows;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::{DEFAULT_SESSION_TIMEOUT, EVENTS_PAGE};
use tutti_core::orchestration::Rules;
use tutti_core::plan::{Plan, run_data};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::health::{Health, ServerHealth};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunSummary;
use tutti_core::ports::retention::Retention;
use tutti_core::report::RunView;
use tutti_core::run::decode;
use tutti_core::schedule::StrategyDecision;
use tutti_core::time::Timestamp;
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::Executor;

pub use self::access::AccessService;
pub use self::agents::{AgentService, CheckUrl};
pub use self::approvals::check_decision;
pub use self::fork::prepare_fork;
pub use self::learning::{Ended, EndedRuns, learn, past_runs};
pub use self::patch::prepare_patch;
pub use self::planning::{Ask, Asker, Planner, Proposed, Wanted};
pub use self::replan::planned_labels;
pub use self::retention::{Removed, RetentionService};
pub use self::sub_workflows::with_registered;
pub use self::watchdog::WatchdogOptions;
pub use self::workflows::{Describer, PlanSubject, WorkflowService};

use self::errors::{of_engine, of_store};
use crate::engine::{Engine, Ports};
use crate::loader::load_plan;

/// Chooses the executor of a plan when it is `auto`, and says why.
pub type Strategist = Arc<dyn Fn(&Plan, Executor) -> StrategyDecision + Send + Sync>;

/// How runs are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceOptions {
    /// A session is over when none of its runs started or ended for so long. Default: 24 h.
    pub session_timeout: Duration,
    /// Independent steps from which a run is parallel if its executor is chosen, for workflows that do not say. Default:
    /// `None`, which stands for what a workflow has then.
    pub parallel_threshold: Option<u32>,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self { session_timeout: DEFAULT_SESSION_TIMEOUT, parallel_threshold: None }
    }
}

/// The runs of an engine, for callers.
#[derive(Clone)]
pub struct RunService {
    engine: Engine,
    strategist: Strategist,
    options: ServiceOptions,
    /// Knows what became of runs that are not there any more.
    tombstones: Option<Arc<dyn Retention>>,
    /// Plans requests in plain words.
    planner: Option<Arc<dyn Planner>>,
    /// How runs are orchestrated that say nothing of it.
    orchestration: Arc<Rules>,
    /// The last strategy that was chosen, and when.
    decided: Arc<Mutex<Option<(Executor, Timestamp)>>>,
}

impl RunService {
    /// The runs of this engine.
    #[must_use]
    pub fn new(engine: Engine, strategist: Strategist, options: ServiceOptions) -> Self {
        Self {
            engine,
            strategist,
            options,
            tombstones: None,
            planner: None,
            orchestration: Arc::default(),
            decided: Arc::default(),
        }
    }

    /// Who asks for a run that was removed is told so.
    #[must_use]
    pub fn with_tombstones(self, house: &RetentionService) -> Self {
        Self { tombstones: Some(house.retention.clone()), ..self }
    }

    /// Runs are orchestrated by these rules, where neither workflow nor submission say anything else.
    #[must_use]
    pub fn with_orchestration(self, rules: Rules) -> Self {
        Self { orchestration: Arc::new(rules), ..self }
    }

    /// Requests in plain words are planned by this one; without it they are refused.
    #[must_use]
    pub fn with_planner(self, planner: Arc<dyn Planner>) -> Self {
        Self { planner: Some(planner), ..self }
    }

    fn ports(&self) -> &Ports {
        self.engine.ports()
    }

    /// Remembers the strategy of the last run.
    fn note(&self, strategy: Executor) {
        let at = self.ports().clock.now();
        *self.decided.lock().unwrap_or_else(PoisonError::into_inner) = Some((strategy, at));
    }

    async fn summary(&self, namespace: &Namespace, run: RunId) -> Result<RunSummary, RequestError> {
        match self.ports().query.find(namespace, run).await.map_err(of_store)? {
            Some(summary) => Ok(summary),
            None => Err(retention::missing(self.tombstones.as_deref(), namespace, run).await?),
        }
    }

    /// A run with its whole history taken in.
    async fn view(&self, summary: &RunSummary) -> Result<RunView, RequestError> {
        let query = &self.ports().query;
        let plan = load_plan(&**query, summary.definition).await.map_err(of_engine)?;
        let mut view = RunView::new(plan);
        loop {
            let page = query.events(summary.run, view.seq() + 1, EVENTS_PAGE).await.map_err(of_store)?;
            for stored in &page {
                view.apply(&decode(&stored.event).map_err(|error| RequestError::Damaged(error.to_string()))?);
            }
            if page.len() < EVENTS_PAGE {
                return Ok(view);
            }
        }
    }

    /// The data of a run as it stands.
    async fn data_of(&self, view: &RunView) -> Result<Json, RequestError> {
        let (Some(run), Some(created)) = (view.run(), view.created()) else { return Ok(Json::empty_object()) };
        let start = self.value(run, &created.data).await?;
        let mut outputs = vec![None; view.plan().len()];
        for step in view.steps() {
            if let (Some(output), false) = (step.output, step.step.output.is_empty()) {
                outputs[step.index as usize] = Some(self.value(run, output).await?);
            }
        }
        Ok(run_data(view.plan(), &start, |step| outputs[step as usize].clone()))
    }

    async fn value(&self, run: RunId, payload: &Payload) -> Result<Json, RequestError> {
        value(&*self.ports().payloads, run, payload).await
    }
}

/// A value of a run, wherever it is kept.
async fn value(payloads: &dyn PayloadStore, run: RunId, payload: &Payload) -> Result<Json, RequestError> {
    let at = match payload {
        Payload::Inline(value) => return Ok(value.clone()),
        Payload::Stored(at) => at,
    };
    let missing = || RequestError::Damaged(format!("payload {} of run {run} is not in the store", at.hash));
    let bytes = payloads.get(run, *at).await.map_err(of_store)?.ok_or_else(missing)?;
    let damaged = |why| RequestError::Damaged(format!("payload {} of run {run} is {why}", at.hash));
    Json::parse(bytes).map_err(damaged)
}

impl Health for RunService {
    fn health(&self) -> ServerHealth {
        let decided = *self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = self.engine.attempts();
        let ended = u32::try_from(attempts.succeeded + attempts.failed).unwrap_or(u32::MAX);
        ServerHealth {
            strategy: decided.map(|(strategy, _)| strategy),
            decided_at: decided.map(|(_, at)| at),
            active_attempts: attempts.active,
            completed_attempts: attempts.succeeded,
            failed_attempts: attempts.failed,
            average_response: (ended > 0).then(|| attempts.time / ended),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            driven_runs: self.engine.live_runs() as u64,
            stalled_runs: self.engine.stalled_runs(),
            fleet: self.engine.fleet(),
        }
    }
}
