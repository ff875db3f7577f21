//! Makes spans and metrics of what the engine tells.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tutti_core::ids::RunId;
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::plan::Plan;
use tutti_core::ports::query::RunQuery;
use tutti_core::run::{Event, Recorded, RunCreated, decode};
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;
use tutti_core::workflow::Workflow;

use super::builder::{Committed, Open, SpanBuilder};
use super::export::SpanQueue;
use super::metrics::Metrics;
use super::observer::{CommitNote, Missed, Note};
use super::runs;
use super::span::Span;

/// How often runs of which something is missing are looked up.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Plans that are kept.
const PLANS: usize = 64;

/// Runs of which is remembered that they ended.
const ENDED: usize = 10_000;

/// What the worker needs.
pub struct Worker {
    query: Arc<dyn RunQuery>,
    metrics: Metrics,
    spans: Option<SpanQueue>,
    missed: Arc<Missed>,
    /// What happened before was counted by an earlier process.
    since: Timestamp,
    /// Runs that have not ended.
    runs: HashMap<RunId, SpanBuilder>,
    ended: Ended,
    plans: HashMap<Digest, Arc<Plan>>,
}

/// The last events of runs that ended a while ago, so that nothing of them is told twice.
#[derive(Default)]
struct Ended {
    seqs: HashMap<RunId, u64>,
    order: VecDeque<RunId>,
}

impl Ended {
    fn add(&mut self, run: RunId, seq: u64) {
        if self.seqs.insert(run, seq).is_none() {
            self.order.push_back(run);
        }
        if self.order.len() > ENDED
            && let Some(first) = self.order.pop_front()
        {
            self.seqs.remove(&first);
        }
    }

    /// Number of the last event that was told; 0 for a run that is not known.
    fn told(&self, run: RunId) -> u64 {
        self.seqs.get(&run).copied().unwrap_or_default()
    }
}

impl Worker {
    /// A worker that counts what happens from `since` on. Without a queue for spans it only counts.
    pub fn new(
        query: Arc<dyn RunQuery>,
        metrics: Metrics,
        spans: Option<SpanQueue>,
        missed: Arc<Missed>,
        since: Timestamp,
    ) -> Self {
        Self {
            query,
            metrics,
            spans,
            missed,
            since,
            runs: HashMap::new(),
            ended: Ended::default(),
            plans: HashMap::new(),
        }
    }

    /// Works until it is told to stop, or nobody tells anything any more.
    pub async fn run(mut self, mut notes: mpsc::Receiver<Note>) {
        let mut tick = interval(CATCH_UP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                note = notes.recv() => match note {
                    Some(Note::Recorded(run, event)) => self.recorded(run, &event).await,
                    Some(Note::Committed(note)) => self.committed(*note).await,
                    Some(Note::Stop(done)) => {
                        self.catch_up_missed().await;
                        // Nobody may wait any more.
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                _ = tick.tick() => self.catch_up_missed().await,
            }
        }
    }

    async fn recorded(&mut self, run: RunId, event: &Recorded) {
        if event.seq <= self.ended.told(run) {
            return;
        }
        self.catch_up(run, event.seq - 1).await;
        let told = self.fold(run, event).await;
        self.tell(told);
        self.forget_ended(run);
    }

    async fn committed(&mut self, note: CommitNote) {
        self.metrics.committed(&note);
        if self.spans.is_none() || !note.answered {
            return;
        }
        for (run, committed) in note.commits {
            if committed.first_seq <= self.ended.told(run) {
                continue;
            }
            self.catch_up(run, committed.first_seq - 1).await;
            self.tell_commit(run, &committed);
        }
    }

    fn tell_commit(&mut self, run: RunId, committed: &Committed) {
        let span = self.runs.get(&run).map(|builder| builder.committed(committed));
        self.tell(span.into_iter().collect());
    }

    /// Reads the runs of which the queue had no room for something.
    async fn catch_up_missed(&mut self) {
        for run in self.missed.take() {
            self.catch_up(run, u64::MAX).await;
            self.forget_ended(run);
        }
    }

    /// Reads a run's events up to a number, if they were not seen: the run was taken over from a process that is gone, or
    /// the queue was full.
    async fn catch_up(&mut self, run: RunId, last: u64) {
        let mut told = Vec::new();
        loop {
            let from = self.runs.get(&run).map_or(1, |builder| builder.seq() + 1);
            if from > last {
                break;
            }
            let limit = usize::try_from(last - from + 1).unwrap_or(usize::MAX).min(EVENTS_PAGE);
            let page = match self.query.events(run, from, limit).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::debug!(%run, %error, "telemetry could not read the run's events; it will try again");
                    self.missed.add(run);
                    break;
                }
            };
            for stored in &page {
                let Ok(event) = decode(&stored.event) else { break };
                if matches!(event.event, Event::RunReopened(_)) {
                    self.leave_old(&mut told);
                }
                told.extend(self.fold(run, &event).await);
            }
            let reached = self.runs.get(&run).map_or(0, SpanBuilder::seq);
            // Whatever cannot be read or folded is not tried again and again.
            if page.len() < limit || reached + 1 == from {
                break;
            }
        }
        if self.runs.get(&run).is_some_and(SpanBuilder::has_ended) {
            self.leave_old(&mut told);
        }
        self.tell(told);
    }

    /// Spans of a generation that ended before this process began were told by the one that ended it.
    fn leave_old(&self, told: &mut Vec<Span>) {
        told.retain(|span| span.end >= self.since);
    }

    /// Takes an event in: the spans that it ends.
    async fn fold(&mut self, run: RunId, event: &Recorded) -> Vec<Span> {
        let is_told = event.seq <= self.ended.told(run);
        let Some(builder) = self.runs.get_mut(&run) else {
            let Event::RunCreated(created) = &event.event else { return Vec::new() };
            let plan = self.plan(created).await;
            let Some((builder, planned)) = SpanBuilder::begin(event, plan) else { return Vec::new() };
            if event.at >= self.since && !is_told {
                self.metrics.run_started(created);
            }
            runs::begin(created);
            self.metrics.run_known(true);
            self.metrics.open(Open::default(), builder.open());
            self.runs.insert(run, builder);
            return if is_told { Vec::new() } else { vec![planned] };
        };
        let before = builder.open();
        let spans = builder.apply(event);
        self.metrics.open(before, builder.open());
        if let (Event::QualityAssessed(assessed), false) = (&event.event, is_told) {
            self.metrics.assessed(assessed);
        }
        if is_told { Vec::new() } else { spans }
    }

    fn forget_ended(&mut self, run: RunId) {
        if let Some(builder) = self.runs.get(&run)
            && builder.has_ended()
        {
            self.ended.add(run, builder.seq());
            self.runs.remove(&run);
            self.metrics.run_known(false);
            runs::end(run);
        }
    }

    fn tell(&self, spans: Vec<Span>) {
        for span in spans {
            if span.end >= self.since {
                self.metrics.ended(&span);
            }
            if let Some(queue) = &self.spans
                && span.sampled
            {
                self.metrics.span_created();
                if !queue.push(span) {
                    self.metrics.dropped("span", 1);
                }
            }
        }
    }

    /// The plan of a run, to name what its steps need; none if it cannot be read.
    async fn plan(&mut self, created: &RunCreated) -> Option<Arc<Plan>> {
        if let Some(plan) = self.plans.get(&created.definition) {
            return Some(plan.clone());
        }
        let bytes = self.query.definition(created.definition).await.ok()??;
        let plan = Plan::new(Workflow::from_canonical(&bytes).ok()?).ok()?;
        if self.plans.len() >= PLANS {
            self.plans.clear();
        }
        self.plans.insert(created.definition, plan.clone());
        Some(plan)
    }
}

#[cfg(test)]
mod tests;
