//! `tutti purge` and `tutti retention`: removing runs that have ended, by hand and by rule. At a server as its caller may, in
//! a local store as its owner.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tutti_adapters_grpc::api::{ApiClient, PurgeRuns, PurgedRun};
use tutti_core::ids::{Namespace, RequestId, RunId, WorkflowId};
use tutti_core::ports::clock::Clock as _;
use tutti_core::ports::inbound::retention::{Housekeeping as _, Keep, PurgeRequest, RetentionRule};
use tutti_core::report::rfc3339;
use tutti_core::run::RunStatus;
use tutti_core::time::{Span, Timestamp};
use tutti_engine::RetentionService;

use super::operate::confirm;
use super::table::table;
use super::{Global, Source, TextOrJson, filter};
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, answer_json, say};
use crate::remote;
use crate::store::Store;

#[derive(Debug, Args)]
#[command(after_help = super::list::TERMS)]
pub struct PurgeArgs {
    /// Runs that ended longer ago than this, such as 30d or 12h.
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    older_than: Span,
    /// Of these only runs that a filter takes.
    #[arg(short, long, value_name = "FILTER", allow_hyphen_values = true)]
    filter: Option<String>,
    /// Why; recorded in the log of the server.
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    #[command(flatten)]
    source: Source,
    /// A UUID of the caller's for this request.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
    /// Say which runs are meant, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
}

#[derive(Debug, Args)]
pub struct RetentionArgs {
    /// Keep runs so long after their end, such as 30d; `forever`, or `default` for as long as the server keeps those of
    /// namespaces without a rule. Without it the rule is shown.
    #[arg(long, value_name = "DURATION", requires = "reason")]
    keep: Option<String>,
    /// Why; recorded in the log of the server.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    source: Source,
    /// A UUID of the caller's for this request.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
}

/// Runs that were purged, as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    dry_run: bool,
    /// Only runs that ended before this.
    ended_before: String,
    runs: Vec<Line<'a>>,
    /// Events of all of them.
    events: u64,
    /// Runs that changed meanwhile and stay.
    kept: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    run_id: RunId,
    workflow: &'a WorkflowId,
    state: RunStatus,
    ended_at: String,
    events: u64,
}

impl<'a> Line<'a> {
    fn of(run: &'a PurgedRun) -> Self {
        let PurgedRun { run, workflow, status, ended_at, events } = run;
        Self { run_id: *run, workflow, state: *status, ended_at: rfc3339(*ended_at), events: *events }
    }
}

/// A rule as JSON.
#[derive(Serialize)]
struct Rule<'a> {
    namespace: &'a Namespace,
    /// Null: for ever.
    keep_seconds: Option<u64>,
    own: bool,
}

/// Purges runs that ended some time ago.
///
/// # Errors
/// What the server or the store refuses.
pub async fn execute(args: PurgeArgs, global: &Global) -> Result<Exit> {
    let ended_before = ago(SystemClock.now(), args.older_than);
    let place = Place::open(&args, global, args.dry_run).await?;
    if args.dry_run {
        let (runs, kept) = place.purge_all(&args, ended_before, true).await?;
        show(&args, ended_before, &runs, kept)?;
        say(format!("{} would be purged", counted(&runs)));
        return Ok(Exit::Done);
    }
    if !args.yes {
        let (runs, _) = place.purge_all(&args, ended_before, true).await?;
        if !runs.is_empty() {
            let what = counted(&runs);
            confirm(&format!("purge {what} that ended before {}?", rfc3339(ended_before)))?;
        }
    }
    let (runs, kept) = place.purge_all(&args, ended_before, false).await?;
    show(&args, ended_before, &runs, kept)?;
    let kept = if kept > 0 { format!("; {kept} changed meanwhile and stay") } else { String::new() };
    say(format!("{} purged{kept}", counted(&runs)));
    Ok(Exit::Done)
}

/// Shows or sets how long the runs of a namespace are kept.
///
/// # Errors
/// What the server or the store refuses.
pub async fn retention(args: RetentionArgs, global: &Global) -> Result<Exit> {
    let namespace = &args.source.namespace;
    let own = args.keep.as_deref().map(keep).transpose()?;
    let rule = match (&args.source.server, own) {
        (Some(url), None) => {
            remote::client(url)?.retention(namespace).await.map_err(|error| remote::failure(url, error))?
        }
        (Some(url), Some(own)) => {
            let request = args.request_id.unwrap_or_else(|| SystemClock.request_id());
            let client = remote::client(url)?;
            let reason = args.reason.unwrap_or_default();
            let set = client.set_retention(namespace, own, request, &reason).await;
            set.map_err(|error| remote::failure(url, error))?
        }
        (None, None) => service(&global.store.look().await?, global).retention(namespace).await?,
        (None, Some(own)) => {
            service(&global.store.open_for_keeping().await?, global).set_retention(namespace, own).await?
        }
    };
    shown(&rule, namespace, args.output)?;
    Ok(Exit::Done)
}

/// Where runs are purged.
enum Place {
    Server(Box<ApiClient>, String),
    Store(Box<RetentionService>),
}

impl Place {
    async fn open(args: &PurgeArgs, global: &Global, only_look: bool) -> Result<Self> {
        if let Some(url) = &args.source.server {
            return Ok(Self::Server(Box::new(remote::client(url)?), url.clone()));
        }
        let store = if only_look { global.store.look().await? } else { global.store.open_for_keeping().await? };
        Ok(Self::Store(Box::new(service(&store, global))))
    }

    /// Purges page by page, or says what would be; with how many runs stay that changed meanwhile.
    async fn purge_all(
        &self,
        args: &PurgeArgs,
        ended_before: Timestamp,
        dry_run: bool,
    ) -> Result<(Vec<PurgedRun>, u64)> {
        let request = args.request_id.unwrap_or_else(|| SystemClock.request_id());
        let text = args.filter.clone().unwrap_or_default();
        let (filter, namespace) = (filter(&text)?, &args.source.namespace);
        let (mut all, mut kept) = (Vec::new(), 0);
        let (mut token, mut before) = (None, None);
        loop {
            let is_last = match self {
                Self::Server(client, url) => {
                    let page = client.purge_runs(PurgeRuns {
                        namespace: namespace.clone(),
                        request,
                        reason: args.reason.clone().unwrap_or_default(),
                        ended_before,
                        filter: text.clone(),
                        dry_run,
                        page_token: token.take(),
                    });
                    let page = page.await.map_err(|error| remote::failure(url, error))?;
                    all.extend(page.runs);
                    kept += page.kept;
                    token = page.next;
                    token.is_none()
                }
                Self::Store(service) => {
                    let (namespace, filter) = (namespace.clone(), filter.clone());
                    let request = PurgeRequest { namespace, filter, ended_before, before, limit: 0, dry_run };
                    let page = service.purge(request).await?;
                    all.extend(page.runs.into_iter().map(|run| PurgedRun {
                        run: run.summary.run,
                        workflow: run.summary.workflow,
                        status: run.summary.status,
                        ended_at: run.summary.ended_at.unwrap_or(run.summary.updated_at),
                        events: run.last_seq,
                    }));
                    kept += page.kept;
                    before = page.next;
                    before.is_none()
                }
            };
            if is_last {
                return Ok((all, kept));
            }
        }
    }
}

fn service(store: &Store, global: &Global) -> RetentionService {
    let reading = (store.query.clone(), store.records.clone());
    let keep = global.config.retention.keep();
    RetentionService::new(store.retention.clone(), reading, Arc::new(SystemClock), keep, |_| {})
}

fn show(args: &PurgeArgs, ended_before: Timestamp, runs: &[PurgedRun], kept: u64) -> Result<()> {
    if args.output == TextOrJson::Json {
        return answer_json(&Answer {
            dry_run: args.dry_run,
            ended_before: rfc3339(ended_before),
            runs: runs.iter().map(Line::of).collect(),
            events: events(runs),
            kept,
        });
    }
    if runs.is_empty() {
        return Ok(());
    }
    let row = |run: &PurgedRun| {
        let PurgedRun { run, workflow, status, ended_at, events } = run;
        vec![run.to_string(), workflow.to_string(), status.to_string(), rfc3339(*ended_at), events.to_string()]
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    answer(&table(&["RUN", "WORKFLOW", "STATE", "ENDED", "EVENTS"], &rows))
}

fn shown(rule: &RetentionRule, namespace: &Namespace, output: TextOrJson) -> Result<()> {
    let keep_seconds = if let Keep::For(span) = rule.keep { Some(span.0.as_secs()) } else { None };
    if output == TextOrJson::Json {
        return answer_json(&Rule { namespace, keep_seconds, own: rule.own });
    }
    let keep = keep_seconds.map_or_else(|| "forever".to_owned(), |seconds| format!("{seconds}s"));
    answer(&format!("{keep}\n"))?;
    let whose = if rule.own { "by its own rule" } else { "as the server keeps those of namespaces without a rule" };
    say(format!("runs of namespace {namespace} are kept after their end {whose}"));
    Ok(())
}

fn keep(text: &str) -> Result<Option<Keep>> {
    match text {
        "forever" => Ok(Some(Keep::Forever)),
        "default" => Ok(None),
        span => Span::parse(span).map(|span| Some(Keep::For(span))).map_err(|why| {
            Failure::usage(format!("--keep: {why}")).next("--keep 30d, --keep forever or --keep default")
        }),
    }
}

fn events(runs: &[PurgedRun]) -> u64 {
    runs.iter().map(|run| run.events).sum()
}

fn counted(runs: &[PurgedRun]) -> String {
    let (count, events) = (runs.len(), events(runs));
    format!("{count} run{} with {events} events", if count == 1 { "" } else { "s" })
}

fn ago(now: Timestamp, span: Span) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_sub(i64::try_from(span.0.as_micros()).unwrap_or(i64::MAX)))
}
