//! A store and its runs.

use tutti_core::ids::Namespace;
use tutti_core::invariants::{check_history, epochs_never_fall};
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::filter::{Condition, RunFilter};
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::ports::store::StoredEvent;
use tutti_core::run::{Event, Recorded, RunStatus, decode};
use tutti_core::value::{Digest, Payload, PayloadRef};

use super::Findings;
use crate::cli::Global;
use crate::clock::SystemClock;
use crate::exit::{Failure, Result};
use crate::report::with_store;
use crate::store::{Reader, StoreSpec};

/// Most runs named in one finding.
const NAMED: usize = 5;

/// How far in the future a run may have been created before the clock is doubted.
const AHEAD: std::time::Duration = std::time::Duration::from_secs(60);

/// Looks into the store, and closely at its newest runs.
pub(super) async fn look(global: &Global, newest: usize, findings: &mut Findings) {
    let spec = &global.store;
    match spec {
        StoreSpec::Sqlite(path) if !path.exists() => {
            let made = format!("there is no store at {} yet", path.display());
            return findings.note("store", made, "tutti run WORKFLOW.yaml makes it");
        }
        StoreSpec::Memory => return findings.ok("store", "in memory: nothing is kept"),
        StoreSpec::Sqlite(_) | StoreSpec::Postgres(_) => {}
    }
    let reader = match spec.open_reader().await {
        Ok(reader) => reader,
        Err(failure) => return findings.failed("store", &failure),
    };
    if let Err(failure) = states(&reader, global, findings).await {
        return findings.failed("store", &failure);
    }
    if let Err(failure) = histories(&reader, newest, findings).await {
        findings.failed("runs", &failure);
    }
}

/// How many runs there are in which state, and which need somebody.
async fn states(reader: &Reader, global: &Global, findings: &mut Findings) -> Result<()> {
    let counts = reader.query.count(&Namespace::default(), &RunFilter::default()).await?;
    let told: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let told = if told.is_empty() { "no runs".to_owned() } else { told.join(", ") };
    findings.ok("store", format!("{} opens: {told}", global.store));
    let flag = with_store(&global.store);
    let of = async |state| named(reader, state).await;
    if counts.contains_key(&RunStatus::Quarantined) {
        let runs = of(RunStatus::Quarantined).await?;
        let next = format!("tutti events RUN{flag} tells why; tutti resume RUN{flag} lets it go on");
        findings.wrong("quarantined", format!("set aside because they take their server down: {runs}"), next);
    }
    if counts.contains_key(&RunStatus::Stuck) {
        let runs = of(RunStatus::Stuck).await?;
        findings.wrong("stuck", format!("somebody must decide: {runs}"), format!("tutti get RUN{flag}"));
    }
    if counts.contains_key(&RunStatus::Waiting) {
        let runs = of(RunStatus::Waiting).await?;
        findings.note("waiting", format!("wait for an answer: {runs}"), format!("tutti signal RUN ANSWER{flag}"));
    }
    let open: u64 = [RunStatus::Pending, RunStatus::Running].iter().filter_map(|state| counts.get(state)).sum();
    if open > 0 {
        let next = format!("if no engine has the store: tutti serve{flag}, or tutti resume RUN{flag}");
        findings.note("open", format!("{open} under way"), next);
    }
    Ok(())
}

/// The newest runs of a state, by id.
async fn named(reader: &Reader, state: RunStatus) -> Result<String> {
    let filter = RunFilter::default().and(Condition::State(vec![state]));
    let page = reader.query.list(ListRuns { filter, limit: NAMED, ..ListRuns::default() }).await?;
    let names: Vec<String> = page.runs.iter().map(|run| run.run.to_string()).collect();
    Ok(format!("{}{}", names.join(", "), if page.next.is_some() { ", …" } else { "" }))
}

/// Checks the histories of the newest runs against what runs promise, and their payloads.
async fn histories(reader: &Reader, newest: usize, findings: &mut Findings) -> Result<()> {
    let mut query = ListRuns { limit: newest.min(1_000), ..ListRuns::default() };
    let (mut runs, mut payloads, mut wrong) = (0, 0, 0);
    while runs < newest {
        let page = reader.query.list(query.clone()).await?;
        for run in page.runs.iter().take(newest - runs) {
            runs += 1;
            ahead(run, findings);
            match history(reader, run).await {
                Ok(checked) => payloads += checked,
                Err(failure) => {
                    wrong += 1;
                    let damage = format!("run {}: {}", run.run, failure.message());
                    findings.wrong("runs", damage, "restore the store from a copy; keep this one to find out why");
                }
            }
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => break,
        }
    }
    if wrong == 0 {
        findings.ok("runs", format!("the {runs} newest keep what runs promise; their {payloads} payloads are there"));
    }
    Ok(())
}

/// A run from the future: the clock was set back, or is wrong now.
fn ahead(run: &RunSummary, findings: &mut Findings) {
    let ahead = run.created_at.max(run.updated_at).since(SystemClock.now());
    if ahead > AHEAD {
        let told = format!("run {} is {} s in the future", run.run, ahead.as_secs());
        findings.wrong("clock", told, "set the clock of this machine by a time server");
    }
}

/// Checks one history: the number of its payloads.
async fn history(reader: &Reader, run: &RunSummary) -> Result<usize> {
    let plan = reader.plan(run).await?;
    let (mut stored, mut events): (Vec<StoredEvent>, Vec<Recorded>) = Default::default();
    loop {
        let page = reader.query.events(run.run, stored.len() as u64 + 1, EVENTS_PAGE).await?;
        if page.is_empty() {
            break;
        }
        for event in page {
            events.push(decode(&event.event).map_err(|error| Failure::unavailable(error.to_string()))?);
            stored.push(event);
        }
    }
    let violated = |violation: tutti_core::invariants::Violation| Failure::unavailable(violation.to_string());
    epochs_never_fall(&stored).map_err(violated)?;
    check_history(&plan, &events).map_err(violated)?;
    let payloads: Vec<PayloadRef> = events.iter().filter_map(|recorded| payload(&recorded.event)).collect();
    for at in &payloads {
        let content = reader.payload(run.run, *at).await?;
        if content.len() as u64 != at.len || Digest::of(&content) != at.hash {
            return Err(Failure::unavailable(format!("payload {} is not what it was", at.hash)));
        }
    }
    Ok(payloads.len())
}

/// What an event keeps beside the history.
fn payload(event: &Event) -> Option<PayloadRef> {
    let of = |payload: &Payload| match payload {
        Payload::Stored(at) => Some(*at),
        Payload::Inline(_) => None,
    };
    match event {
        Event::RunCreated(created) => of(&created.data),
        Event::SignalReceived(signal) => of(&signal.answer),
        Event::StepCompleted(completed) => of(&completed.output),
        Event::ArtifactRecorded(artifact) => Some(artifact.content),
        _ => None,
    }
}
