//! Looking at the runs of a server.

use std::time::Duration;

use async_trait::async_trait;

use super::error::RequestError;
use crate::ids::{Namespace, RunId};
use crate::ports::filter::RunFilter;
use crate::ports::query::{ListRuns, RunCounts, RunPage, RunSummary};
use crate::ports::store::EncodedEvent;
use crate::report::{Explanation, RunView};

/// The runs of a server, to look at.
///
/// Contract: that of [`inbound`](super).
#[async_trait]
pub trait Views: Send + Sync {
    /// One run with its whole history taken in.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn get(&self, namespace: &Namespace, run: RunId) -> Result<RunView, RequestError>;

    /// A page of runs, newest first.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Invalid`] for a cursor that was not given out.
    async fn list(&self, request: ListRequest) -> Result<RunPage, RequestError>;

    /// How many runs there are, by state.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn count(&self, namespace: &Namespace, filter: &RunFilter) -> Result<RunCounts, RequestError>;

    /// Events of a run from a number on. If there is none yet and the run has not ended, waits for one.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn events(&self, request: EventsRequest) -> Result<EventPage, RequestError>;

    /// Why a run stands as it does: the step that is named by its path, or those that matter, and the run.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::NotFound`] too for a step that the run does not have.
    async fn explain(&self, namespace: &Namespace, run: RunId, step: Option<&str>)
    -> Result<Explanation, RequestError>;

    /// The runs that change from now on, as lists show them.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn changes(&self, namespace: &Namespace, filter: &RunFilter) -> Result<Box<dyn Changes>, RequestError>;
}

/// Runs that change. Conflated: of a run that changed twice before it was asked for, the last state is told.
#[async_trait]
pub trait Changes: Send {
    /// The runs that changed since the last call, waiting for one; those that left the filter too, so that a list
    /// that follows can drop them. `None` when the server stops.
    ///
    /// # Errors
    /// [`RequestError::Exhausted`] if so many changed that some are not known: list again, then ask for changes anew.
    async fn next(&mut self) -> Result<Option<Vec<RunChange>>, RequestError>;
}

/// A run that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunChange {
    /// The run now, with counts of this moment.
    pub run: RunSummary,
    /// True if the filter still takes it.
    pub matches: bool,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Filters and the page.
    pub query: ListRuns,
    /// Only runs whose id, hyphenated, begins so; the other filters and the cursor do not count then.
    pub prefix: Option<String>,
}

/// Which events to read.
#[derive(Debug, Clone)]
pub struct EventsRequest {
    /// Whose.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// The first one, from 1.
    pub from: u64,
    /// At most so many.
    pub limit: usize,
    /// How long to wait if there is none yet.
    pub wait: Duration,
}

/// Events of a run.
#[derive(Debug, Clone, Default)]
pub struct EventPage {
    /// In order and without a gap; empty if none came in time or none is left.
    pub events: Vec<EncodedEvent>,
    /// True if the run has ended: a page that is empty is then the last one.
    pub ended: bool,
}
