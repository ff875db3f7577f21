//! What a store keeps of a run beside its events, against what the events say.

use super::Violation;
use crate::ports::inspect::{Glance, KeptRun};
use crate::ports::query::RunSummary;
use crate::ports::store::Wake;
use crate::run::{RunState, RunStatus, without_asking};
use crate::time::Timestamp;

/// Checks what can be told of a run without its history.
#[must_use]
pub fn check_glance(glance: &Glance) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut wrong = |invariant, detail| found.push(Violation { invariant, detail });
    let Some(guard) = &glance.guard else {
        wrong("guard_and_line_agree", "it stands in lists, but has no guard: nobody can drive it".to_owned());
        return found;
    };
    if i64::from(glance.run.slot()) != guard.slot {
        let detail = format!("it is kept under slot {}, its id says {}", guard.slot, glance.run.slot());
        wrong("slot_follows_from_the_id", detail);
    }
    let last = glance.last_event.unwrap_or(0);
    if guard.last_seq != last || last < 1 {
        let detail = format!("its guard counts {} events, the last one that is there is number {last}", guard.last_seq);
        wrong("guard_counts_the_events", detail);
    }
    if !glance.defined {
        wrong("definition_is_kept", "the definition of its workflow is not there".to_owned());
    }
    let Some((namespace, status)) = &glance.line else {
        wrong("guard_and_line_agree", "it has a guard, but does not stand in lists".to_owned());
        return found;
    };
    if *namespace != guard.namespace {
        let detail = format!("its guard says namespace {}, its line {namespace}", guard.namespace);
        wrong("guard_and_line_agree", detail);
    }
    match status.parse::<RunStatus>() {
        Err(why) => wrong("guard_and_line_agree", why),
        Ok(status) => {
            let moves = matches!(guard.wake, Wake::Active | Wake::At(_));
            if status.is_ended() && guard.wake != Wake::Never {
                wrong("ended_runs_sleep", format!("it is {status}, and is to be woken"));
            } else if matches!(status, RunStatus::Pending | RunStatus::Running) && !moves {
                wrong("open_runs_are_woken", format!("it is {status}, and nothing will ever wake it"));
            } else if !status.is_ended() && guard.wake == Wake::Never {
                wrong("open_runs_are_woken", format!("it is {status}, and no input will ever reach it"));
            }
        }
    }
    found
}

/// Checks all that is kept of a run against the state that its events fold to, beside what [`check_glance`] checks. The
/// snapshot is compared by whoever folds, when he passes it.
#[must_use]
pub fn check_kept(kept: &KeptRun, state: &RunState) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut wrong = |invariant, detail| found.push(Violation { invariant, detail });
    if kept.events != state.seq() {
        wrong(
            "guard_counts_the_events",
            format!("{} events are there, the last is number {}", kept.events, state.seq()),
        );
    }
    if let Some(detail) = kept.line.as_ref().and_then(|line| line_differs(line, state)) {
        wrong("fold_is_the_line", detail);
    }
    if let Some(guard) = &kept.glance.guard {
        if guard.namespace != state.created().namespace.as_str() {
            let of = &state.created().namespace;
            wrong("guard_and_line_agree", format!("its guard says namespace {}, its history {of}", guard.namespace));
        }
        if earliest(guard.wake) > earliest(state.wake()) {
            let (kept, needed) = (shown(guard.wake), shown(state.wake()));
            wrong("open_runs_are_woken", format!("it is to be woken {kept}, and must be {needed}"));
        }
    }
    if let Some(snapshot) = kept.snapshot.as_ref().filter(|snapshot| snapshot.seq > state.seq()) {
        let detail = format!("the snapshot is of event {}, the last event is number {}", snapshot.seq, state.seq());
        wrong("snapshot_is_the_fold", detail);
    }
    found
}

/// What the line for lists says otherwise than the history. Its counts are those of the last change of state.
fn line_differs(line: &RunSummary, state: &RunState) -> Option<String> {
    let told = state.summary();
    let counts = |line: &RunSummary| (line.completed, line.failed);
    let behind = line.completed <= told.completed && line.failed <= told.failed && line.updated_at <= told.updated_at;
    let differs = [
        ("run", line.run != told.run),
        ("state", line.status != told.status),
        ("workflow", (&line.workflow, &line.version) != (&told.workflow, &told.version)),
        ("definition", line.definition != told.definition),
        ("number of steps", line.steps != told.steps),
        ("creation", line.created_at != told.created_at),
        ("end", line.ended_at != told.ended_at),
        ("key", line.key != told.key),
        ("session", line.session != told.session),
        // Earlier versions did not note that a run asks: then it is noted with the next change.
        ("labels", without_asking(&line.labels) != without_asking(&told.labels)),
        ("open questions", line.labels.len() > told.labels.len()),
        ("counts", !behind || (told.status.is_ended() && counts(line) != counts(&told))),
        ("error", told.status.is_ended() && line.error != told.error),
    ];
    let names: Vec<&str> = differs.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    let states = format!("it is listed as {}, its history says {}", line.status, told.status);
    (!names.is_empty()).then(|| format!("its line and its history differ in: {} ({states})", names.join(", ")))
}

/// When a wake comes at the earliest, to compare two of them.
fn earliest(wake: Wake) -> (u8, Timestamp) {
    let zero = Timestamp::from_micros(0);
    match wake {
        Wake::Active => (0, zero),
        Wake::At(at) => (0, at.max(zero)),
        Wake::OnInput => (1, zero),
        Wake::Never => (2, zero),
    }
}

fn shown(wake: Wake) -> String {
    match wake {
        Wake::Active => "at once".to_owned(),
        Wake::At(at) => format!("at {}", crate::report::rfc3339(at)),
        Wake::OnInput => "by an input".to_owned(),
        Wake::Never => "never".to_owned(),
    }
}
