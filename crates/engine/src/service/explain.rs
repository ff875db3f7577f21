//! Why a run stands as it does: what follows from its history, and what only its owner knows.

use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::MAX_QUEUE_LOOK;
use tutti_core::plan::StepIndex;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::store::{Due, DueRuns};
use tutti_core::report::{Explanation, Known, Owner, QueuePlace, RunView, steps_without_agent};
use tutti_core::run::{FORMAT, RunStatus};

use super::RunService;
use super::errors::{of_engine, of_store};
use crate::driver::want;

impl RunService {
    /// Explains a run, or one of its steps.
    pub(super) async fn explanation(
        &self,
        namespace: &Namespace,
        run: RunId,
        step: Option<&str>,
    ) -> Result<Explanation, RequestError> {
        let view = self.view(&self.summary(namespace, run).await?).await?;
        let index = step.map(|step| find(&view, step)).transpose()?;
        let known = self.known(&view, run, index).await?;
        let explained = Explanation::new(&view, index, &known, self.ports().clock.now());
        explained
            .ok_or_else(|| RequestError::Damaged(format!("the history of run {run} does not begin with its creation")))
    }

    /// What only the owner of a run knows of it, as far as this server does.
    pub(crate) async fn known(
        &self,
        view: &RunView,
        run: RunId,
        step: Option<StepIndex>,
    ) -> Result<Known, RequestError> {
        let seen = self.engine.seen(run).await.map_err(of_engine)?;
        let owner = Owner {
            drives: seen.is_some(),
            is_full: seen.is_some_and(|seen| seen.is_starved),
            commit_since: seen.and_then(|seen| seen.commit_since),
        };
        let now = self.ports().clock.now();
        let mut known = Known { owner: Some(owner), ..Known::default() };
        let Some(state) = view.state() else { return Ok(known) };
        for index in steps_without_agent(view, step, now) {
            if let Some(want) = want(state, index) {
                known.outlooks.insert(index, self.engine.registry().outlook_of(&want, run, now));
            }
        }
        let waits = state.status() == RunStatus::Pending && state.created().turn.is_some_and(|turn| turn <= now);
        if waits && self.engine.has(run) {
            known.queue = self.place_in_queue(run).await?;
        }
        Ok(known)
    }

    /// How many runs this server brings in before this one.
    async fn place_in_queue(&self, run: RunId) -> Result<Option<QueuePlace>, RequestError> {
        let due = Due::Until(self.ports().clock.now());
        let query = DueRuns { slots: self.engine.own_slots(), due, reads: FORMAT, limit: MAX_QUEUE_LOOK };
        let due = self.ports().store.due(query).await.map_err(of_store)?;
        Ok(match due.iter().position(|other| *other == run) {
            Some(before) => Some(QueuePlace { before: before as u64, or_more: false }),
            None if due.len() == MAX_QUEUE_LOOK => Some(QueuePlace { before: due.len() as u64, or_more: true }),
            // It has left it meanwhile.
            None => None,
        })
    }
}

/// A step by its path.
fn find(view: &RunView, step: &str) -> Result<StepIndex, RequestError> {
    let path = step.parse().ok();
    let found = path.and_then(|path| view.plan().find(&path));
    found.ok_or_else(|| RequestError::NotFound(format!("step \"{}\" in this run", step.escape_debug())))
}
