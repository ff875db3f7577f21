//! Workflows that are registered.
//!
//! Three documents in the store: the file of a version, what is said of the version, and the version that was registered
//! last, written in this order. So a version that is named has its file, whatever was cut off.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tutti_core::ids::{Capability, Namespace, WorkflowId};
use tutti_core::plan::Plan;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::cursor;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::runs::WorkflowSource;
use tutti_core::ports::inbound::workflows::{
    ListWorkflows, PlanDescription, RegisterWorkflow, RegisteredWorkflow, WorkflowPage, Workflows,
};
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey, RecordKind, RecordStore};
use tutti_core::report::PastRuns;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;
use tutti_core::workflow::{Problem, Workflow, parse, sub_workflow_problems, unresolved};

use super::errors::{of_store, of_workflow};
use super::learning::past_runs;
use super::planning::{Planner, Proposed};
use super::start::{proposed, says_threshold};
use super::sub_workflows::{gather, read, read_whole, with_registered};
use crate::dispatcher::{Registry, Want};
use crate::engine::Engine;

/// Describes the plan of a workflow.
pub type Describer = Arc<dyn Fn(PlanSubject) -> Result<PlanDescription, Vec<Problem>> + Send + Sync>;

/// A workflow to be planned, and what is known of it and around it.
#[derive(Debug, Clone)]
pub struct PlanSubject {
    /// The workflow.
    pub workflow: Workflow,
    /// What its past runs took.
    pub past: PastRuns,
    /// How many agents offer each capability to its namespace.
    pub offers: BTreeMap<Capability, u32>,
    /// How it was made, if that was for the caller.
    pub made: Option<Proposed>,
}

/// Workflows listed on a page if the caller does not say, and at most.
const PAGE: (usize, usize) = (50, 1_000);

/// Times that the last version is written anew when another was registered at the same time.
const TRIES: usize = 10;

/// The registered workflows of a store, for callers.
#[derive(Clone)]
pub struct WorkflowService {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    registry: Registry,
    describer: Describer,
    planner: Option<Arc<dyn Planner>>,
    parallel_threshold: Option<u32>,
}

/// What is kept of a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Version {
    id: WorkflowId,
    version: String,
    name: String,
    description: String,
    definition: Digest,
    steps: u32,
    number: u64,
    at: Timestamp,
    by: String,
}

impl WorkflowService {
    /// The workflows in the store of this engine.
    #[must_use]
    pub fn new(engine: &Engine, describer: Describer) -> Self {
        let (records, clock) = (engine.ports().records.clone(), engine.ports().clock.clone());
        Self::over(records, clock, engine.registry().clone(), describer)
    }

    /// The workflows in a store that no engine need have.
    #[must_use]
    pub const fn over(
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
        registry: Registry,
        describer: Describer,
    ) -> Self {
        Self { records, clock, registry, describer, planner: None, parallel_threshold: None }
    }

    /// Independent steps from which a run is parallel if its executor is chosen, for the plans of workflows that do not
    /// say; as [`ServiceOptions::parallel_threshold`](super::ServiceOptions).
    #[must_use]
    pub fn with_parallel_threshold(self, parallel_threshold: Option<u32>) -> Self {
        Self { parallel_threshold, ..self }
    }

    /// Requests in plain words are planned by this one; without it they are refused.
    #[must_use]
    pub fn with_planner(self, planner: Arc<dyn Planner>) -> Self {
        Self { planner: Some(planner), ..self }
    }

    fn records(&self) -> &dyn RecordStore {
        &*self.records
    }

    /// Makes a version the last one, unless a later one is.
    async fn head(&self, namespace: &Namespace, version: &Version) -> Result<(), RequestError> {
        let key = RecordKey { kind: RecordKind::Workflow, namespace: namespace.clone(), name: version.id.to_string() };
        for _ in 0..TRIES {
            let there = self.records().get(&key).await.map_err(of_store)?;
            let revision = there.as_ref().map_or(0, |record| record.revision);
            if let Some(record) = &there
                && record_of::<Version>(record)?.number >= version.number
            {
                return Ok(());
            }
            let record = Record { key: key.clone(), revision, blob: written(version) };
            if let Put::Stored(_) = self.records().put(record).await.map_err(of_store)? {
                return Ok(());
            }
        }
        Err(RequestError::Unavailable("other versions were registered again and again at the same time".into()))
    }
}

#[async_trait]
impl Workflows for WorkflowService {
    async fn register(&self, request: RegisterWorkflow) -> Result<RegisteredWorkflow, RequestError> {
        let RegisterWorkflow { namespace, request: _, text, by } = request;
        let workflow = read(text.clone()).await?;
        let whole = with_registered(self.records(), &namespace, workflow.clone(), BTreeMap::new()).await?;
        blocking(move || Plan::new(whole).map_err(|problems| of_workflow(&problems))).await?;
        // What a version is does not change with those that it names.
        let (definition, _) = workflow.to_canonical();
        let head = find(self.records(), RecordKind::Workflow, &namespace, workflow.id.as_str()).await?;
        let number = head.as_ref().map(record_of::<Version>).transpose()?.map_or(0, |head| head.number) + 1;
        let version = Version {
            id: workflow.id.clone(),
            version: workflow.version.clone(),
            name: workflow.name.clone(),
            description: workflow.description.clone(),
            definition,
            steps: u32::try_from(workflow.steps.len()).unwrap_or(u32::MAX),
            number,
            at: self.clock.now(),
            by,
        };
        let name = name_of(&version.id, &version.version);
        let put = async |kind, blob| {
            let key = RecordKey { kind, namespace: namespace.clone(), name: name.clone() };
            self.records().put(Record { key, revision: 0, blob }).await.map_err(of_store)
        };
        // What stands there of a registration that was cut off names nothing yet; the text of a version that is
        // registered has its content.
        if let Put::Conflict(Some(there)) = put(RecordKind::WorkflowText, Bytes::from(text.clone())).await?
            && there.blob != text.as_bytes()
            && find(self.records(), RecordKind::WorkflowVersion, &namespace, &name).await?.is_none()
        {
            let record = Record { blob: Bytes::from(text), ..there };
            self.records().put(record).await.map_err(of_store)?;
        }
        let (version, existed) = match put(RecordKind::WorkflowVersion, written(&version)).await? {
            Put::Stored(_) => (version, false),
            Put::Conflict(Some(there)) => (record_of::<Version>(&there)?, true),
            Put::Conflict(None) => return Err(RequestError::Unavailable("the version was removed meanwhile".into())),
        };
        if existed && version.definition != definition {
            let what = format!("version \"{}\" of workflow {}", version.version.escape_debug(), version.id);
            return Err(RequestError::AlreadyExists { what, existing: version.definition, given: definition });
        }
        self.head(&namespace, &version).await?;
        let latest = find(self.records(), RecordKind::Workflow, &namespace, version.id.as_str()).await?;
        let latest = latest.as_ref().map(record_of::<Version>).transpose()?;
        Ok(told(version.clone(), latest.is_some_and(|head| head.number == version.number), existed))
    }

    async fn get(
        &self,
        namespace: &Namespace,
        id: &WorkflowId,
        version: Option<&str>,
    ) -> Result<(RegisteredWorkflow, String), RequestError> {
        let (found, latest) = registered(self.records(), namespace, id, version).await?;
        let text = text_of(self.records(), namespace, &found).await?;
        Ok((told(found, latest, true), text))
    }

    async fn list(&self, request: ListWorkflows) -> Result<WorkflowPage, RequestError> {
        let ListWorkflows { namespace, id, all_versions, limit, cursor } = request;
        let limit = if limit == 0 { PAGE.0 } else { limit.min(PAGE.1) };
        let prefix = match (&id, all_versions) {
            (None, _) => String::new(),
            (Some(id), true) => name_of(id, ""),
            (Some(id), false) => id.to_string(),
        };
        let list = format!("workflows {namespace} {prefix} {all_versions}");
        let after = cursor.map(|cursor| cursor::decode_name(&list, &cursor)).transpose().map_err(of_store)?;
        let kind = if all_versions { RecordKind::WorkflowVersion } else { RecordKind::Workflow };
        let query = ListRecords { kind, namespace: namespace.clone(), prefix, after, limit: limit + 1 };
        let mut records = self.records().list(query).await.map_err(of_store)?;
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| more).map(|last| cursor::encode_name(&list, &last.key.name));
        let mut workflows = Vec::with_capacity(records.len());
        for record in &records {
            let version: Version = record_of(record)?;
            // Ids that only begin with the one that was asked for.
            if id.as_ref().is_some_and(|id| *id != version.id) {
                continue;
            }
            let latest = !all_versions || is_latest(self.records(), &namespace, &version).await?;
            workflows.push(told(version, latest, true));
        }
        Ok(WorkflowPage { workflows, next })
    }

    async fn validate(&self, namespace: &Namespace, text: &str) -> Result<Vec<Problem>, RequestError> {
        let (namespace, text, registry) = (namespace.clone(), text.to_owned(), self.registry.clone());
        let parsed = match blocking(move || Ok(parse(&text))).await? {
            Ok(parsed) => parsed,
            Err(problems) => return Ok(problems),
        };
        let names = unresolved(&parsed.workflow);
        let known = gather(self.records(), &namespace, names, BTreeMap::new()).await?;
        let now = self.clock.now();
        blocking(move || {
            let mut problems = parsed.warnings;
            problems.extend(sub_workflow_problems(&parsed.workflow, &known));
            for (index, step) in parsed.workflow.steps.iter().enumerate() {
                let calls = step.within().into_iter().flat_map(|(inside, step)| {
                    let undo =
                        step.compensate.as_ref().map(|how| ("compensate.capability", &how.capability, &how.agent));
                    let own = step.capability.as_ref().map(|capability| ("capability", capability, &step.agent));
                    let calls = own.into_iter().chain(undo);
                    calls.map(move |(field, capability, agent)| (format!("{inside}{field}"), capability, agent))
                });
                for (field, capability, agent) in calls {
                    let (namespace, pinned) = (namespace.clone(), agent.clone());
                    let want = Want { namespace, capability: capability.clone(), pinned, asked: Vec::new() };
                    if registry.outlook(&want, now).is_some() {
                        continue;
                    }
                    let reason = match agent {
                        Some(agent) => format!("agent \"{agent}\" is not registered here"),
                        None => format!("no agent that is registered here has the capability \"{capability}\""),
                    };
                    problems.push(Problem::in_step(index, &step.id, field, reason).warning());
                }
            }
            Ok(problems)
        })
        .await
    }

    async fn plan(&self, namespace: &Namespace, workflow: &WorkflowSource) -> Result<PlanDescription, RequestError> {
        let (text, made) = match workflow {
            WorkflowSource::Text(text) => (text.clone(), None),
            WorkflowSource::Registered { id, version } => {
                (registered_text(self.records(), namespace, id, version.as_deref()).await?, None)
            }
            WorkflowSource::Query(query) => {
                let proposed = proposed(self.planner.as_deref(), namespace, (query, false)).await?;
                (proposed.text.clone(), Some(proposed))
            }
        };
        let (describer, threshold) = (self.describer.clone(), self.parallel_threshold);
        let mut workflow = read_whole(self.records(), namespace, text.clone()).await?;
        if let Some(threshold) = threshold.filter(|_| !says_threshold(&text)) {
            workflow.parallel_threshold = threshold;
        }
        let past = past_runs(self.records(), namespace, &workflow.id).await.map_err(of_store)?;
        let subject = PlanSubject { workflow, past, offers: self.registry.offers(namespace), made: made.clone() };
        let described = blocking(move || describer(subject).map_err(|problems| of_workflow(&problems))).await?;
        let (planned_by, notes) = made.map(|made| (made.by, made.notes)).unwrap_or_default();
        Ok(PlanDescription { workflow: text, planned_by, notes, ..described })
    }
}

/// The file of a registered version; without a version, of the one that was registered last.
pub(super) async fn registered_text(
    records: &dyn RecordStore,
    namespace: &Namespace,
    id: &WorkflowId,
    version: Option<&str>,
) -> Result<String, RequestError> {
    let (found, _) = registered(records, namespace, id, version).await?;
    text_of(records, namespace, &found).await
}

async fn text_of(records: &dyn RecordStore, namespace: &Namespace, version: &Version) -> Result<String, RequestError> {
    let name = name_of(&version.id, &version.version);
    let found = find(records, RecordKind::WorkflowText, namespace, &name).await?;
    let damaged = || RequestError::Damaged(format!("the file of workflow {} is not in the store", version.id));
    String::from_utf8(found.ok_or_else(damaged)?.blob.into()).map_err(|_| damaged())
}

/// A registered version, and whether it is the one that was registered last.
async fn registered(
    records: &dyn RecordStore,
    namespace: &Namespace,
    id: &WorkflowId,
    version: Option<&str>,
) -> Result<(Version, bool), RequestError> {
    let Some(version) = version else {
        let head = find(records, RecordKind::Workflow, namespace, id.as_str()).await?;
        return Ok((record_of(&head.ok_or_else(|| RequestError::NotFound(format!("workflow {id}")))?)?, true));
    };
    let found = find(records, RecordKind::WorkflowVersion, namespace, &name_of(id, version)).await?;
    let missing = || RequestError::NotFound(format!("version \"{}\" of workflow {id}", version.escape_debug()));
    let found = record_of(&found.ok_or_else(missing)?)?;
    let latest = is_latest(records, namespace, &found).await?;
    Ok((found, latest))
}

async fn is_latest(records: &dyn RecordStore, namespace: &Namespace, version: &Version) -> Result<bool, RequestError> {
    let head = find(records, RecordKind::Workflow, namespace, version.id.as_str()).await?;
    Ok(head.as_ref().map(record_of::<Version>).transpose()?.is_some_and(|head| head.number == version.number))
}

async fn find(
    records: &dyn RecordStore,
    kind: RecordKind,
    namespace: &Namespace,
    name: &str,
) -> Result<Option<Record>, RequestError> {
    records.get(&RecordKey { kind, namespace: namespace.clone(), name: name.to_owned() }).await.map_err(of_store)
}

/// The name of a version in the store. An id has no slash.
fn name_of(id: &WorkflowId, version: &str) -> String {
    format!("{id}/{version}")
}

fn told(version: Version, latest: bool, existed: bool) -> RegisteredWorkflow {
    RegisteredWorkflow {
        id: version.id,
        version: version.version,
        name: version.name,
        description: version.description,
        definition: version.definition,
        steps: version.steps,
        registered_at: version.at,
        registered_by: version.by,
        latest,
        existed,
    }
}

fn written<T: Serialize>(document: &T) -> Bytes {
    serde_json::to_vec(document).expect("a document of text and numbers").into()
}

fn record_of<T: for<'de> Deserialize<'de>>(record: &Record) -> Result<T, RequestError> {
    serde_json::from_slice(&record.blob)
        .map_err(|error| RequestError::Damaged(format!("document {}: {error}", record.key.name)))
}

/// Reading a large workflow takes its time, which is not that of others.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RequestError> + Send + 'static,
) -> Result<T, RequestError> {
    let given_up = |error| RequestError::Unavailable(format!("reading the workflow was given up: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(given_up)?
}
