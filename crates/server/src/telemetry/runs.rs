//! The traces of the runs that this process drives, for log lines about them. One table for the process, as there is one
//! log.

use std::collections::{HashMap, VecDeque};
use std::sync::{LazyLock, PoisonError, RwLock};

use tutti_core::ids::RunId;
use tutti_core::run::RunCreated;
use tutti_core::trace::{RunTrace, span_id};

/// Runs that are remembered after their end, for what is said of them late.
const ENDED: usize = 1_000;

static RUNS: LazyLock<RwLock<Runs>> = LazyLock::new(RwLock::default);

#[derive(Default)]
struct Runs {
    /// With whether the run has ended.
    traces: HashMap<RunId, (RunTrace, bool)>,
    ended: VecDeque<RunId>,
}

/// Where something that a log line tells of belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
    /// Whether the trace is kept.
    pub sampled: bool,
}

/// A run is driven here from now on.
pub fn begin(created: &RunCreated) {
    let trace = RunTrace::new(created.run, created.origin.trace_parent.as_deref());
    let mut runs = RUNS.write().unwrap_or_else(PoisonError::into_inner);
    runs.traces.insert(created.run, (trace, false));
}

/// A run has ended, or is not driven here any more.
pub fn end(run: RunId) {
    let mut runs = RUNS.write().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, has_ended)) = runs.traces.get_mut(&run) {
        *has_ended = true;
        runs.ended.push_back(run);
    }
    if runs.ended.len() > ENDED
        && let Some(first) = runs.ended.pop_front()
        && runs.traces.get(&first).is_some_and(|(_, has_ended)| *has_ended)
    {
        runs.traces.remove(&first);
    }
}

/// The place of a run, or of an attempt by its message id; `None` for another text, or a run that is not known.
pub fn place(name: &str) -> Option<Place> {
    // A UUID in its hyphenated form is 36 characters long.
    let run = name.get(..36)?.parse::<RunId>().ok()?;
    let (trace, _) = *RUNS.read().unwrap_or_else(PoisonError::into_inner).traces.get(&run)?;
    Some(Place { trace: trace.trace, span: span_id(name), sampled: trace.sampled })
}
