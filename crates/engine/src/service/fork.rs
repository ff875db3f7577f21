//! Runs that begin where another one stands or stood.

use std::sync::Arc;

use tutti_core::ids::RunId;
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::plan::{DataSources, Plan, StepIndex};
use tutti_core::ports::inbound::runs::{ForkRequest, StartOptions};
use tutti_core::ports::inbound::{RequestError, Violation};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::{RunQuery, RunSummary};
use tutti_core::run::{Origin, Point, RunState, decode, evolve, fold};
use tutti_core::value::Digest;
use tutti_core::workflow::Problem;

use super::errors::{of_engine, of_store};
use super::{start, value};
use crate::engine::{Fork, StartRun};
use crate::loader::load_plan;

/// Puts a run together that begins where another one stands or stood: with its definition, its policy and its data there,
/// with the changes. What was complete there is complete, in the same order.
///
/// # Errors
/// [`RequestError`].
pub async fn prepare_fork(
    query: &dyn RunQuery,
    payloads: &dyn PayloadStore,
    parent: &RunSummary,
    request: ForkRequest,
) -> Result<StartRun, RequestError> {
    start::check(&StartOptions { labels: request.labels.clone(), ..StartOptions::default() })?;
    let first = load_plan(query, parent.definition).await.map_err(of_engine)?;
    let state = state_at(query, parent.run, &first, request.at.as_ref()).await?;
    // Its plan may have changed by then; what its steps hold begins with them.
    let plan =
        state.plan().anew().map_err(|problems| RequestError::Invalid(problems.iter().map(violation).collect()))?;
    let hash = request_hash(&request, state.seq());
    let mut outputs = vec![None; plan.len()];
    let done = completed(&state);
    for step in &done {
        if let (Some(output), Some(step)) = (state.output(*step), plan.find(&state.plan().path(*step))) {
            outputs[step as usize] = Some(value(payloads, parent.run, output).await?);
        }
    }
    let created = state.created().clone();
    let mut sources = DataSources { start: value(payloads, parent.run, &created.data).await?, outputs };
    for (path, value) in &request.changes {
        sources = sources.changed(&plan, path, value).map_err(|why| {
            RequestError::Invalid(vec![Violation { field: format!("changes.{path}"), reason: why.to_string() }])
        })?;
    }
    let completed = done.into_iter().filter_map(|step| {
        let path = state.plan().path(step);
        let output = sources.outputs[plan.find(&path)? as usize].take()?;
        Some((path, output))
    });
    let fork = Fork {
        from: parent.run,
        seq: state.seq(),
        completed: completed.collect(),
        changed: request.changes.iter().map(|(path, _)| path.to_string()).collect(),
    };
    let origin = Origin {
        by: request.by,
        request_hash: Some(hash),
        key: request.key.map(|(key, _)| key),
        labels: request.labels,
        priority: created.origin.priority,
        timeout: created.origin.timeout,
        quality: created.origin.quality,
        ..Origin::default()
    };
    Ok(StartRun {
        namespace: request.namespace,
        request: request.request,
        plan,
        data: sources.start,
        policy: *state.policy(),
        strategy: created.strategy,
        origin,
        key_from: None,
        start_at: None,
        fork: Some(fork),
    })
}

fn violation(problem: &Problem) -> Violation {
    Violation { field: problem.field.clone(), reason: problem.reason.clone() }
}

/// The run as it was at a point of its history, rolled back stretches included; without one as it is.
async fn state_at(
    query: &dyn RunQuery,
    run: RunId,
    plan: &Arc<Plan>,
    at: Option<&Point>,
) -> Result<RunState, RequestError> {
    let to = match at {
        None => u64::MAX,
        Some(Point::Seq(seq)) => *seq,
        Some(Point::Checkpoint(name)) => {
            let state = fold_to(query, run, plan, u64::MAX).await?;
            let named = state.checkpoints().iter().rev().find(|(checkpoint, _)| checkpoint == name);
            named
                .map(|(_, seq)| *seq)
                .ok_or_else(|| RequestError::NotFound(format!("checkpoint \"{name}\" in run {run}")))?
        }
    };
    let state = fold_to(query, run, plan, to).await?;
    if state.seq() < to && to != u64::MAX {
        return Err(RequestError::NotFound(format!("event {to} in run {run}: its last is {}", state.seq())));
    }
    Ok(state)
}

async fn fold_to(query: &dyn RunQuery, run: RunId, plan: &Arc<Plan>, to: u64) -> Result<RunState, RequestError> {
    let damaged = |why: String| RequestError::Damaged(format!("the history of run {run}: {why}"));
    let mut state: Option<RunState> = None;
    loop {
        let from = state.as_ref().map_or(1, |state| state.seq() + 1);
        let page = query.events(run, from, EVENTS_PAGE).await.map_err(of_store)?;
        for stored in page.iter().filter(|stored| stored.event.seq <= to) {
            let event = decode(&stored.event).map_err(|error| damaged(error.to_string()))?;
            match &mut state {
                None => state = fold(plan, [&event]),
                Some(state) => evolve(state, &event, &mut Vec::new()),
            }
        }
        if page.len() < EVENTS_PAGE || page.last().is_some_and(|last| last.event.seq >= to) {
            let none = || RequestError::NotFound(format!("event {to} in run {run}"));
            return state.ok_or_else(none);
        }
    }
}

/// The steps of the workflow that are complete, in the order in which they were completed.
fn completed(state: &RunState) -> Vec<StepIndex> {
    let indexed = (0..).zip(state.steps());
    let mut done: Vec<(u64, StepIndex)> = indexed
        .filter(|(index, _)| state.output(*index).is_some())
        .map(|(index, step)| (step.completed_seq, index))
        .collect();
    // What a fork began with was completed by one event: then a step comes after those before it.
    let order = state.plan().topology().order();
    let mut rank = vec![0; state.plan().len()];
    order.iter().zip(0_usize..).for_each(|(step, place)| rank[*step as usize] = place);
    done.sort_unstable_by_key(|(seq, index)| (*seq, rank[*index as usize]));
    done.into_iter().map(|(_, index)| index).collect()
}

/// A hash of all that a request says. Where the other run stood counts only if the request says it: it may have gone on.
fn request_hash(request: &ForkRequest, seq: u64) -> Digest {
    let at = request.at.as_ref().map(|_| seq);
    let changes: Vec<(&str, &str)> =
        request.changes.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
    let key = request.key.as_ref().map(|(key, _)| key);
    let said = serde_json::json!(["fork", request.from, at, changes, key, request.labels]);
    Digest::of(said.to_string().as_bytes())
}
