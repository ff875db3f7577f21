//! ListTasks: runs, newest first.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tonic::Status;
use tutti_a2a::task::{history_length, page_size};
use tutti_a2a::v1::{self, TaskState};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::filter::{Condition, RunFilter};
use tutti_core::ports::inbound::views::ListRequest;
use tutti_core::ports::query::{ListRuns, RunSummary};

use super::OrchestratorAgent;
use super::labels;
use super::refusal::{invalid, of_task};
use super::task::{Room, Telling, context, of_summary, run_states};
use crate::api::convert::moment_in;

/// Histories read at once for one page.
const AT_ONCE: usize = 4;

/// Stands before the store's cursor in a page token.
const RUNS: &str = "r:";

/// The token of the last page of a context when only the run that the context is named after is left.
const NAMESAKE: &str = "n";

/// Where a page begins.
enum From {
    Runs(Option<String>),
    Namesake,
}

impl OrchestratorAgent {
    /// A page of tasks. What the store cannot filter (the moment of the last change, and for whom a run waits) is left out
    /// of the page, which is then shorter, and counted in the total.
    pub(super) async fn list(
        &self,
        namespace: &Namespace,
        asked: v1::ListTasksRequest,
    ) -> Result<v1::ListTasksResponse, Status> {
        let size = page_size(asked.page_size)?;
        let telling = Telling {
            // Not told: none, so that a list costs no more than a list.
            history: history_length(asked.history_length.unwrap_or_default())?,
            artifacts: asked.include_artifacts.unwrap_or_default(),
        };
        let from = match asked.page_token.as_str() {
            "" => From::Runs(None),
            NAMESAKE => From::Namesake,
            token => {
                let cursor = token.strip_prefix(RUNS);
                From::Runs(Some(cursor.ok_or_else(|| invalid("page_token", "was not given out here"))?.to_owned()))
            }
        };
        let wanted = asked.status();
        let mut filter = RunFilter::default();
        if let Some(states) = run_states(wanted) {
            if states.is_empty() {
                return Ok(v1::ListTasksResponse { page_size: number(size), ..Default::default() });
            }
            filter = filter.and(Condition::State(states));
        }
        let namesake = self.namesake(namespace, &asked.context_id, &filter).await?;
        if !asked.context_id.is_empty() {
            filter = labels::filter(filter, labels::CONTEXT, &asked.context_id);
        }
        let counts = self.views.count(namespace, &filter).await.map_err(|error| of_task(&error))?;
        let total = counts.values().sum::<u64>() + u64::from(namesake.is_some());
        let (mut runs, next) = self.runs(namespace, filter, from, size, namesake).await?;
        let after = asked.status_timestamp_after.as_ref().and_then(|after| moment_in(Some(after)));
        runs.retain(|run| after.is_none_or(|after| run.updated_at > after));
        runs.retain(|run| asked.context_id.is_empty() || context(run.run, &run.labels) == asked.context_id);
        let tasks = self.tell(namespace, runs, wanted, telling).await?;
        Ok(v1::ListTasksResponse {
            tasks,
            next_page_token: next.unwrap_or_default(),
            page_size: number(size),
            total_size: i32::try_from(total).unwrap_or(i32::MAX),
        })
    }

    /// A page of runs, and the token of the next. The namesake of a context is older than all others in it: nobody knew the
    /// name before.
    async fn runs(
        &self,
        namespace: &Namespace,
        filter: RunFilter,
        from: From,
        size: usize,
        namesake: Option<RunSummary>,
    ) -> Result<(Vec<RunSummary>, Option<String>), Status> {
        let From::Runs(cursor) = from else { return Ok((namesake.into_iter().collect(), None)) };
        let query = ListRuns { namespace: namespace.clone(), filter, limit: size, cursor };
        let page = self.views.list(ListRequest { query, prefix: None }).await.map_err(|error| of_task(&error))?;
        let mut runs = page.runs;
        let next = match (page.next, namesake) {
            (Some(cursor), _) => Some(format!("{RUNS}{cursor}")),
            (None, Some(_)) if runs.len() >= size => Some(NAMESAKE.to_owned()),
            (None, namesake) => {
                runs.extend(namesake);
                None
            }
        };
        Ok((runs, next))
    }

    /// The run that a context is named after because its client chose none, if the filter takes it.
    async fn namesake(
        &self,
        namespace: &Namespace,
        context_id: &str,
        filter: &RunFilter,
    ) -> Result<Option<RunSummary>, Status> {
        let Ok(run) = context_id.parse::<RunId>() else { return Ok(None) };
        let query = ListRuns { namespace: namespace.clone(), limit: 1, ..ListRuns::default() };
        let request = ListRequest { query, prefix: Some(run.to_string()) };
        let page = self.views.list(request).await.map_err(|error| of_task(&error))?;
        let found = page.runs.into_iter().next();
        Ok(found.filter(|found| filter.takes(found) && context(found.run, &found.labels) == context_id))
    }

    /// The tasks of a page. Only for those of which more is to be told than lists know the history is read.
    async fn tell(
        &self,
        namespace: &Namespace,
        runs: Vec<RunSummary>,
        wanted: TaskState,
        telling: Telling,
    ) -> Result<Vec<v1::Task>, Status> {
        let brief = telling == Telling { history: 0, artifacts: false };
        let views = stream::iter(runs).map(async |run| match of_summary(&run).filter(|_| brief) {
            Some(task) => Ok((Some(task), None)),
            None => {
                let view = self.views.get(namespace, run.run).await.map_err(|error| of_task(&error))?;
                Ok::<_, Status>((None, Some(view)))
            }
        });
        let views: Vec<_> = views.buffered(AT_ONCE).try_collect().await?;
        let mut room = Room::new();
        let mut tasks = Vec::with_capacity(views.len());
        for (task, view) in views {
            match (task, view) {
                (Some(task), _) => tasks.push(task),
                (None, Some(view)) => tasks.push(self.task(namespace, &view, telling, &mut room).await?),
                (None, None) => {}
            }
        }
        tasks.retain(|task| wanted == TaskState::Unspecified || tutti_a2a::task::state_of(task) == wanted);
        Ok(tasks)
    }
}

fn number(size: usize) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}
