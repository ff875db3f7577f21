//! What runs of a session share.
//!
//! A run that completes leaves the values that its workflow names by `share` to later runs of its session, in its own
//! namespace. Nothing else is shared, nobody else writes it, and it is kept nowhere but in the histories of those runs. A
//! session is over when none of its runs started or ended for the session timeout: the next run begins with nothing.

use std::time::Duration;

use tutti_core::ids::{Namespace, SessionId};
use tutti_core::limits::MAX_SESSION_RUNS;
use tutti_core::orchestration::Wishes;
use tutti_core::ports::filter::{Condition, RunFilter};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;
use tutti_core::value::{DataPath, DataTree, Json};
use tutti_core::workflow::parse;

use super::RunService;
use super::errors::of_store;

impl RunService {
    /// How long a session lasts in which nothing happens: what the domain of the run says, else the configuration.
    pub(super) fn session_timeout(&self, said: &Wishes, workflow: &str) -> Duration {
        let rules = &self.orchestration;
        let timeout_of = || {
            // Without domains nothing has to be read for it.
            let own = if said.domain.is_none() && !rules.domains.is_empty() && workflow.contains("domain") {
                parse(workflow).ok().and_then(|parsed| parsed.workflow.domain)
            } else {
                None
            };
            let name = said.domain.as_ref().or(own.as_ref()).or(rules.wishes.domain.as_ref())?;
            Some(rules.domains.get(name)?.session_timeout?.0)
        };
        timeout_of().unwrap_or(self.options.session_timeout)
    }

    /// What a session's completed runs left, in the order in which they ended.
    pub(super) async fn left_in(
        &self,
        namespace: &Namespace,
        session: &SessionId,
        timeout: Duration,
    ) -> Result<Vec<(DataPath, Json)>, RequestError> {
        let query = ListRuns {
            namespace: namespace.clone(),
            filter: RunFilter::default().and(Condition::Session(session.clone())),
            limit: MAX_SESSION_RUNS,
            cursor: None,
        };
        let runs = self.ports().query.list(query).await.map_err(of_store)?.runs;
        let mut left = Vec::new();
        for run in living(runs, self.ports().clock.now(), timeout) {
            let view = self.view(&run).await?;
            let share = &view.plan().workflow().share;
            if share.is_empty() {
                continue;
            }
            let data = DataTree::new(self.data_of(&view).await?);
            left.extend(share.iter().filter_map(|path| Some((path.clone(), data.get(path)?))));
        }
        Ok(left)
    }
}

/// The completed runs of the session that goes on, in the order in which they ended: those after the last time that
/// nothing happened for the timeout.
fn living(mut runs: Vec<RunSummary>, now: Timestamp, timeout: std::time::Duration) -> Vec<RunSummary> {
    // From the newest moment back: a run counts from its start to its end, an open one until now.
    let end = |run: &RunSummary| run.ended_at.unwrap_or(now);
    runs.sort_by_key(|run| std::cmp::Reverse((end(run), run.run)));
    let mut since = now;
    let goes_on = |run: &RunSummary| {
        let alive = since.since(end(run)) <= timeout;
        if alive {
            since = since.min(run.created_at);
        }
        alive
    };
    let mut living: Vec<RunSummary> = runs.into_iter().take_while(goes_on).collect();
    living.reverse();
    living.retain(|run| run.status == RunStatus::Completed);
    living
}

#[cfg(test)]
mod tests {
    use tutti_core::ids::RunId;
    use tutti_core::value::Digest;

    use super::*;

    fn run(n: u8, from: i64, to: Option<i64>, status: RunStatus) -> RunSummary {
        RunSummary {
            run: RunId::new(u64::from(n), [n; 10]),
            workflow: "w".parse().unwrap(),
            version: String::new(),
            definition: Digest::of(b""),
            status,
            steps: 1,
            completed: 0,
            failed: 0,
            created_at: Timestamp::from_micros(from),
            updated_at: Timestamp::from_micros(from),
            ended_at: to.map(Timestamp::from_micros),
            error: None,
            key: None,
            session: None,
            labels: Default::default(),
        }
    }

    fn ids(runs: Vec<RunSummary>, now: i64) -> Vec<u64> {
        let living = living(runs, Timestamp::from_micros(now), Duration::from_micros(10));
        living
            .iter()
            .map(|run| run.run.as_uuid().get_timestamp().map_or(0, |t| u64::from(t.to_unix().1) / 1_000_000))
            .collect()
    }

    #[test]
    fn completed_runs_count_in_the_order_of_their_ends_until_nothing_happened_for_too_long() {
        use RunStatus::{Completed, Failed, Running};
        let runs = vec![
            run(1, 0, Some(5), Completed),
            run(2, 20, Some(40), Completed),
            run(3, 22, Some(30), Completed),
            run(4, 41, Some(45), Failed),
        ];
        assert_eq!(ids(runs.clone(), 50), [3, 2], "1 ended 15 before 2 began; a failed one leaves nothing");
        assert_eq!(ids(runs.clone(), 55), [3, 2]);
        assert_eq!(ids(runs.clone(), 56), [0_u64; 0], "over");
        let open = [runs, vec![run(5, 50, None, Running)]].concat();
        assert_eq!(ids(open, 1_000), [3, 2], "a run under way keeps the session alive");
    }
}
