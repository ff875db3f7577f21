//! A run put together from what a caller gave.

use std::sync::Arc;
use std::time::Duration;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::{MAX_LABEL_VALUE, MAX_LABELS, MAX_REPLANS, MAX_TIMEOUT, MAX_WIDTH};
use tutti_core::orchestration::{Orchestration, Phase, Settled, Wishes};
use tutti_core::plan::Plan;
use tutti_core::ports::inbound::runs::{StartOptions, StartRequest, WorkflowSource};
use tutti_core::ports::inbound::{RequestError, Violation};
use tutti_core::run::{OWN_LABELS, Origin};
use tutti_core::value::{DataPath, Digest, Json, members};
use tutti_core::workflow::{Document, Problem, Workflow, initial_data, with_session};

use super::RunService;
use super::errors::of_workflow;
use super::planning::{Planner, Proposed, Wanted};
use super::replan::planned_labels;
use super::workflows::registered_text;
use crate::engine::StartRun;
use crate::executors;

/// How the workflow of a run came to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origins {
    /// Who planned it, if it was made of plain words.
    pub(super) planned_by: Option<String>,
    /// The run whose failure it follows.
    pub(super) replan_of: Option<RunId>,
    /// How long planning took.
    pub(super) took: Duration,
}

impl RunService {
    /// The text of the workflow that a run is to follow, and who planned it.
    pub(super) async fn workflow_text(&self, request: &StartRequest) -> Result<(String, Option<String>), RequestError> {
        match &request.workflow {
            WorkflowSource::Text(text) => Ok((text.clone(), None)),
            WorkflowSource::Registered { id, version } => {
                let records = &*self.ports().records;
                Ok((registered_text(records, &request.namespace, id, version.as_deref()).await?, None))
            }
            WorkflowSource::Query(query) => {
                let alone = !self.orchestration.delegates(&request.options.orchestration);
                let proposed = proposed(self.planner.as_deref(), &request.namespace, (query, alone)).await?;
                Ok((proposed.text, Some(proposed.by)))
            }
        }
    }
}

/// What a planner makes of a request in plain words.
pub(super) async fn proposed(
    planner: Option<&dyn Planner>,
    namespace: &Namespace,
    (query, alone): (&str, bool),
) -> Result<Proposed, RequestError> {
    let planner = planner.ok_or_else(|| RequestError::invalid("query", "nobody here plans requests in plain words"))?;
    planner.propose(Wanted { namespace: namespace.clone(), query: query.to_owned(), alone, failed: None }).await
}

/// Checks everything that was given, and puts the run together.
pub(super) fn prepare(
    service: &RunService,
    request: StartRequest,
    (workflow, text, origins): (Workflow, &str, &Origins),
    left: Vec<(DataPath, Json)>,
    hash: Digest,
) -> Result<StartRun, RequestError> {
    let began = service.ports().clock.now();
    let plan = Plan::new(workflow.clone()).map_err(|problems| of_workflow(&problems))?;
    let mut options = request.options;
    check(&options)?;
    let (plan, mut settled, mut orchestration) =
        orchestrated(service, (plan, workflow), (&request.namespace, &options.orchestration))?;
    let is_alone = orchestration.as_ref().is_some_and(|orchestration| !orchestration.has(Phase::Sessions));
    options.session = options.session.filter(|_| !is_alone);
    let left = if is_alone { Vec::new() } else { left };
    let data = with_session(data(plan.workflow(), request.inputs)?, left);
    settled.executor = options.executor.unwrap_or(settled.executor);
    settled.max_concurrent_tasks = options.max_concurrent_tasks.unwrap_or(settled.max_concurrent_tasks);
    if let Some(threshold) = service.options.parallel_threshold.filter(|_| !says_threshold(text)) {
        settled.parallel_threshold = threshold;
    }
    let weighed = Plan::new(settled).map_err(|problems| of_workflow(&problems))?;
    let strategy = (service.strategist)(&weighed, weighed.workflow().executor);
    service.note(strategy.executor);
    let policy = executors::policy(weighed.workflow(), strategy.executor);
    if let Some(orchestration) = &mut orchestration {
        orchestration.planned_by.clone_from(&origins.planned_by);
        orchestration.planning_micros = micros(origins.took);
        orchestration.analysis_micros = micros(service.ports().clock.now().since(began));
    }
    let planned = planned_labels(origins.planned_by.as_deref(), origins.replan_of, options.replan);
    let origin = Origin {
        by: options.by,
        request_hash: Some(hash),
        key: options.key.map(|(key, _)| key),
        labels: options.labels.into_iter().chain(planned).collect(),
        priority: options.priority.unwrap_or(weighed.workflow().priority),
        session: options.session,
        timeout: options.timeout,
        orchestration,
        trace_parent: options.trace_parent,
        quality: None,
    };
    let (namespace, request) = (request.namespace, request.request);
    Ok(StartRun {
        namespace,
        request,
        plan,
        data,
        policy,
        strategy,
        origin,
        key_from: None,
        start_at: options.start_at,
        fork: None,
    })
}

/// A plan, its workflow, and how the run is orchestrated, if anybody asked for that.
type Orchestrated = (Arc<Plan>, Workflow, Option<Box<Orchestration>>);

/// A run as it is orchestrated, if anybody asks for that: its plan, the workflow with its settings, and what is recorded.
fn orchestrated(
    service: &RunService,
    (plan, workflow): (Arc<Plan>, Workflow),
    (namespace, said): (&Namespace, &Wishes),
) -> Result<Orchestrated, RequestError> {
    let offers = service.engine.registry().offers(namespace);
    let settled = service.orchestration.settle(&plan, said, |asked| offers.contains_key(asked));
    let Some(settled) = settled.map_err(|problems| of_workflow(&problems))? else { return Ok((plan, workflow, None)) };
    let Settled { workflow, orchestration, .. } = settled;
    // What is judged, and how, and a last step stand in the plan; the rest is settings of the run.
    let plan = match orchestration.synthesis.is_some() || workflow.quality != plan.workflow().quality {
        true => Plan::new(workflow.clone()).map_err(|problems| of_workflow(&problems))?,
        false => plan,
    };
    Ok((plan, workflow, Some(Box::new(orchestration))))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Whether a workflow file says itself from how many independent steps on it is parallel.
pub(super) fn says_threshold(text: &str) -> bool {
    const NAME: &str = "parallel_threshold";
    // Most files do not hold the word; the others are read once more.
    text.contains(NAME)
        && Document::read(text)
            .ok()
            .and_then(|file| Json::parse(file.to_json()).ok())
            .and_then(|file| members(&file))
            .is_some_and(|members| members.contains_key(NAME))
}

/// A hash of all that a request says, but for who says it and in which trace. No inputs are the same as an empty object of
/// them, and spaces around them say nothing.
pub(super) fn request_hash(request: &StartRequest) -> Digest {
    let StartRequest { namespace: _, request: _, workflow, inputs, options } = request;
    let StartOptions { executor, max_concurrent_tasks, priority, timeout, start_at, key, labels, session, .. } =
        options;
    let workflow = match workflow {
        WorkflowSource::Text(text) => serde_json::json!({ "text": text }),
        WorkflowSource::Registered { id, version } => serde_json::json!({ "id": id, "version": version }),
        WorkflowSource::Query(query) => serde_json::json!({ "query": query }),
    };
    let inputs = Some(inputs.trim()).filter(|inputs| !inputs.is_empty()).unwrap_or("{}");
    let key = key.as_ref().map(|(key, _)| key);
    let mut said = serde_json::json!([workflow, inputs, executor, max_concurrent_tasks, timeout, key, labels, session]);
    if let (Some(priority), Some(said)) = (priority, said.as_array_mut()) {
        // Requests of before there were priorities keep their hash.
        said.push(priority.as_str().into());
    }
    if let (Some(at), Some(said)) = (start_at, said.as_array_mut()) {
        said.push(at.as_micros().into());
    }
    if let (false, Some(said)) = (options.orchestration.is_empty(), said.as_array_mut()) {
        said.push(serde_json::json!({ "orchestration": options.orchestration }));
    }
    if let (1.., Some(said)) = (options.replan, said.as_array_mut()) {
        said.push(serde_json::json!({ "replan": options.replan }));
    }
    Digest::of(said.to_string().as_bytes())
}

/// Checks what may be said about a run.
pub(super) fn check(options: &StartOptions) -> Result<(), RequestError> {
    let mut wrong = Vec::new();
    let mut refuse = |field: String, reason: String| wrong.push(Violation { field, reason });
    if options.max_concurrent_tasks.is_some_and(|width| !(1..=MAX_WIDTH).contains(&width)) {
        refuse("max_concurrent_tasks".into(), format!("must be a number from 1 to {MAX_WIDTH}"));
    }
    if options.timeout.is_some_and(|timeout| timeout.0.is_zero() || timeout.0 > MAX_TIMEOUT) {
        refuse("timeout_seconds".into(), format!("must be more than 0 and at most {}", MAX_TIMEOUT.as_secs()));
    }
    if options.labels.len() > MAX_LABELS {
        refuse("labels".into(), format!("are {}; a run has at most {MAX_LABELS}", options.labels.len()));
    }
    if options.replan > MAX_REPLANS {
        refuse("replan".into(), format!("is {}; at most {MAX_REPLANS} new plans may follow a run", options.replan));
    }
    for name in options.labels.keys().filter(|name| name.as_str().starts_with(OWN_LABELS)) {
        refuse(format!("labels.{name}"), format!("labels that begin with \"{OWN_LABELS}\" are the product's own"));
    }
    for (name, value) in options.labels.iter().filter(|(_, value)| value.len() > MAX_LABEL_VALUE) {
        refuse(format!("labels.{name}"), format!("has {} bytes; a label has at most {MAX_LABEL_VALUE}", value.len()));
    }
    if wrong.is_empty() { Ok(()) } else { Err(RequestError::Invalid(wrong)) }
}

/// The data at the start.
fn data(workflow: &Workflow, inputs: String) -> Result<Json, RequestError> {
    let inputs = match inputs.trim() {
        "" => Json::empty_object(),
        _ => Json::parse(inputs).map_err(|error| RequestError::invalid("inputs_json", error.to_string()))?,
    };
    // The default of a file input is the name of a file beside the workflow, which is not here.
    let given = members(&inputs).unwrap_or_default();
    let files = workflow.inputs.iter().filter(|(name, spec)| spec.file && !given.contains_key(*name));
    let missing: Vec<Violation> = files
        .filter(|(_, spec)| spec.default.is_some())
        .map(|(name, _)| Violation {
            field: format!("inputs_json.{name}"),
            reason: "is a file, and the server reads none: give its text".to_owned(),
        })
        .collect();
    if !missing.is_empty() {
        return Err(RequestError::Invalid(missing));
    }
    initial_data(workflow, &inputs).map_err(|problems| {
        let field = |field: &str| field.replacen("inputs", "inputs_json", 1);
        let violation = |problem: Problem| Violation { field: field(&problem.field), reason: problem.reason };
        RequestError::Invalid(problems.into_iter().map(violation).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_inputs_are_an_empty_object_of_them() {
        let hash = |inputs: &str| {
            request_hash(&StartRequest {
                namespace: tutti_core::ids::Namespace::default(),
                request: uuid::Uuid::nil(),
                workflow: WorkflowSource::Text(String::new()),
                inputs: inputs.to_owned(),
                options: StartOptions::default(),
            })
        };
        for none in ["", " \n", "{}", "\t{} "] {
            assert_eq!(hash(none), hash("{}"), "{none:?}");
        }
        assert_eq!(hash(" {\"n\": 1}\n"), hash("{\"n\": 1}"));
        assert_ne!(hash("{\"n\": 1}"), hash("{}"));
    }

    #[test]
    fn the_word_counts_where_it_is_a_key() {
        let file = |head: &str| format!("id: w\n{head}steps:\n- {{id: parallel_threshold, capability: c}}\n");
        assert!(says_threshold(&file("parallel_threshold: 3\n")));
        assert!(says_threshold(r#"{"id": "w", "parallel_threshold": 3, "steps": []}"#));
        assert!(!says_threshold(&file("")));
        assert!(!says_threshold(&file("# parallel_threshold: 3\n")));
    }
}
