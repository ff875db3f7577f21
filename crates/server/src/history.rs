//! Runs as a store has them, for those who look on.

use std::sync::Arc;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::plan::{Plan, run_data};
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::report::{ExecutionReport, Output, OutputReport, RunFigures, RunView};
use tutti_core::run::{Recorded, decode};
use tutti_core::value::{Json, Payload, PayloadRef};
use tutti_core::workflow::Workflow;

use crate::exit::{Failure, Result};
use crate::store::Reader;

/// The word that stands for the newest run.
const LATEST: &str = "latest";

/// Most runs named when the beginning of an id fits several.
const NAMED: usize = 5;

impl Reader {
    /// The same, for the runs of a namespace.
    #[must_use]
    pub fn within(self, namespace: &Namespace) -> Self {
        Self { namespace: namespace.clone(), ..self }
    }

    /// The run that a person means: by id, by the beginning of one, or the latest.
    ///
    /// # Errors
    /// A run that is not there, or a beginning that fits several.
    pub async fn find(&self, named: &str) -> Result<RunSummary> {
        let namespace = &self.namespace;
        if named == LATEST {
            let page =
                self.query.list(ListRuns { namespace: namespace.clone(), limit: 1, ..ListRuns::default() }).await?;
            let none = || {
                Failure::usage("there is no run yet")
                    .next("tutti run WORKFLOW.yaml, or tutti submit WORKFLOW.yaml at a server")
            };
            return page.runs.into_iter().next().ok_or_else(none);
        }
        let shown: String = named.chars().take(60).flat_map(char::escape_debug).collect();
        let unknown = || Failure::usage(format!("there is no run \"{shown}\" in this store")).next("tutti list");
        if let Ok(run) = named.parse::<RunId>() {
            if let Some(found) = self.query.find(namespace, run).await? {
                return Ok(found);
            }
            let stone = match &self.retention {
                Some(retention) => retention.tombstone(namespace, run).await?,
                None => None,
            };
            return Err(stone.map_or_else(unknown, |stone| Failure::usage(format!("there is no {stone}"))));
        }
        if named.is_empty() || !named.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
            return Err(Failure::usage(format!("\"{shown}\" is not a run id, the beginning of one, or `latest`"))
                .next("tutti list"));
        }
        let mut runs = self.query.find_by_prefix(namespace, &named.to_ascii_lowercase(), NAMED + 1).await?;
        match runs.len() {
            0 => Err(unknown()),
            1 => Ok(runs.remove(0)),
            found => {
                let names: Vec<String> = runs.iter().take(NAMED).map(|run| format!("  {}", run.run)).collect();
                let more = if found > NAMED { "\n  …" } else { "" };
                Err(Failure::usage(format!("several runs begin with {shown}:\n{}{more}", names.join("\n")))
                    .next("give more of the id"))
            }
        }
    }

    /// The plan that a run follows.
    ///
    /// # Errors
    /// A definition that is not there or cannot be used.
    pub async fn plan(&self, run: &RunSummary) -> Result<Arc<Plan>> {
        let damaged =
            |why: String| Failure::unavailable(format!("the definition {} of run {} {why}", run.definition, run.run));
        let bytes =
            self.query.definition(run.definition).await?.ok_or_else(|| damaged("is not in the store".into()))?;
        let workflow = Workflow::from_canonical(&bytes).map_err(|why| damaged(format!("cannot be read: {why}")))?;
        Plan::new(workflow).map_err(|problems| {
            let why: Vec<String> = problems.iter().map(ToString::to_string).collect();
            damaged(format!("cannot be used: {}", why.join("; ")))
        })
    }

    /// A page of events from a number on; empty beyond the end.
    ///
    /// # Errors
    /// An event that cannot be read.
    pub async fn events(&self, run: RunId, from: u64) -> Result<Vec<Recorded>> {
        let page = self.query.events(run, from, EVENTS_PAGE).await?;
        page.iter().map(|stored| decode(&stored.event).map_err(|e| Failure::unavailable(e.to_string()))).collect()
    }

    /// Brings a view up to what the store has now; hands each event that is new to `seen`.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    pub async fn catch_up(
        &self,
        run: RunId,
        view: &mut RunView,
        mut seen: impl FnMut(&RunView, &Recorded),
    ) -> Result<()> {
        loop {
            let page = self.events(run, view.seq() + 1).await?;
            if page.is_empty() {
                return Ok(());
            }
            for event in &page {
                view.apply(event);
                seen(view, event);
            }
        }
    }

    /// A run with its whole history.
    ///
    /// # Errors
    /// A run that cannot be read.
    pub async fn view(&self, run: &RunSummary) -> Result<RunView> {
        let mut view = RunView::new(self.plan(run).await?);
        self.catch_up(run.run, &mut view, |_, _| {}).await?;
        Ok(view)
    }

    /// A value, wherever it is kept.
    ///
    /// # Errors
    /// A payload that is not there or cannot be read.
    pub async fn value(&self, run: RunId, payload: &Payload) -> Result<Json> {
        match payload {
            Payload::Inline(value) => Ok(value.clone()),
            Payload::Stored(at) => {
                let bytes = self.payload(run, *at).await?;
                Json::parse(bytes)
                    .map_err(|why| Failure::unavailable(format!("payload {} of run {run} is {why}", at.hash)))
            }
        }
    }

    /// The bytes of a payload.
    ///
    /// # Errors
    /// A payload that is not there or cannot be read.
    pub async fn payload(&self, run: RunId, at: PayloadRef) -> Result<bytes::Bytes> {
        let missing = || Failure::unavailable(format!("payload {} of run {run} is not in the store", at.hash));
        self.payloads.get(run, at).await?.ok_or_else(missing)
    }

    /// The data of a run as it stands.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub async fn data(&self, view: &RunView) -> Result<Json> {
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

    /// What a run came to, to be compared: with its data at the start and every output in full.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub async fn figures(&self, view: &RunView) -> Result<RunFigures> {
        let mut figures = RunFigures::new(view).ok_or_else(|| Failure::unavailable("the run has no history"))?;
        if let (None, Some(created)) = (&figures.start, view.created()) {
            figures.start = Some(self.value(figures.run_id, &created.data).await?);
        }
        for step in &mut figures.steps {
            if let Some(Output::Apart(payload)) = &step.output {
                step.output = Some(Output::Known(self.value(figures.run_id, payload).await?));
            }
        }
        Ok(figures)
    }

    /// The report on a run, with every output in full.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub async fn report(&self, view: &RunView) -> Result<ExecutionReport> {
        let mut report = ExecutionReport::new(view).ok_or_else(|| Failure::unavailable("the run has no history"))?;
        for step in &mut report.steps {
            if let Some(OutputReport::Stored { payload }) = &step.output {
                let value = self.value(report.run_id, &Payload::Stored(*payload)).await?;
                step.output = Some(OutputReport::Inline(value));
            }
        }
        Ok(report)
    }
}
