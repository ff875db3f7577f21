//! The instruments, and what moves them. Labels are agents, capabilities, workflows and words of ours; the SDK stops at
//! 2,000 combinations of an instrument and counts the rest together.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram, Meter};
use tutti_adapters_grpc::PoolStats;
use tutti_core::ports::agent::Usage;
use tutti_core::ports::inbound::agents::BreakerState;
use tutti_core::run::{QualityAssessed, RunCreated};
use tutti_engine::{AgentState, Engine, Registry, Removed};

use super::builder::{Open, word};
use super::names::{self, Metric, key};
use super::observer::{CommitNote, now};
use super::process;
use super::span::{About, Span, Spent};

/// Bounds of the buckets of durations, in seconds: from a commit to a run that waits for people.
const SECONDS: [f64; 20] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
    3_600.0, 86_400.0,
];

/// Bounds of the buckets of shares.
const SHARES: [f64; 10] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// The instruments. Cloning shares them.
#[derive(Clone)]
pub struct Metrics(Arc<Instruments>);

struct Instruments {
    meter: Meter,
    runs_started: Counter<u64>,
    runs_ended: Counter<u64>,
    run_duration: Histogram<f64>,
    run_efficiency: Histogram<f64>,
    plans: Counter<u64>,
    steps_ended: Counter<u64>,
    quality_assessed: Counter<u64>,
    quality_score: Histogram<f64>,
    attempt_duration: Histogram<f64>,
    usage_cost: Counter<f64>,
    usage_tokens: Counter<u64>,
    commit_duration: Histogram<f64>,
    commit_runs: Counter<u64>,
    commit_events: Counter<u64>,
    commit_size: Counter<u64>,
    spans_created: Counter<u64>,
    spans_exported: Counter<u64>,
    dropped: Counter<u64>,
    purged_runs: Counter<u64>,
    purged_events: Counter<u64>,
    swept: Counter<u64>,
    levels: Arc<Levels>,
}

/// What goes up and down.
#[derive(Default)]
struct Levels {
    runs: AtomicI64,
    in_flight: AtomicI64,
    spans: AtomicI64,
}

impl Metrics {
    /// Makes the instruments.
    pub fn new(meter: Meter) -> Self {
        let levels = Arc::new(Levels::default());
        gauge(&meter, names::RUNS_ACTIVE, levels.clone(), |levels| &levels.runs);
        gauge(&meter, names::ATTEMPTS_IN_FLIGHT, levels.clone(), |levels| &levels.in_flight);
        gauge(&meter, names::SPANS_OPEN, levels.clone(), |levels| &levels.spans);
        observe_process(&meter);
        Self(Arc::new(Instruments {
            runs_started: counter(&meter, names::RUNS_STARTED),
            runs_ended: counter(&meter, names::RUNS_ENDED),
            run_duration: histogram(&meter, names::RUN_DURATION, &SECONDS),
            run_efficiency: histogram(&meter, names::RUN_EFFICIENCY, &SHARES),
            plans: counter(&meter, names::PLANS),
            steps_ended: counter(&meter, names::STEPS_ENDED),
            quality_assessed: counter(&meter, names::QUALITY_ASSESSED),
            quality_score: histogram(&meter, names::QUALITY_SCORE, &SHARES),
            attempt_duration: histogram(&meter, names::ATTEMPT_DURATION, &SECONDS),
            usage_cost: {
                let metric = names::USAGE_COST;
                meter.f64_counter(metric.name).with_unit(metric.unit).with_description(metric.meaning).build()
            },
            usage_tokens: counter(&meter, names::USAGE_TOKENS),
            commit_duration: histogram(&meter, names::COMMIT_DURATION, &SECONDS),
            commit_runs: counter(&meter, names::COMMIT_RUNS),
            commit_events: counter(&meter, names::COMMIT_EVENTS),
            commit_size: counter(&meter, names::COMMIT_SIZE),
            spans_created: counter(&meter, names::SPANS_CREATED),
            spans_exported: counter(&meter, names::SPANS_EXPORTED),
            dropped: counter(&meter, names::DROPPED),
            purged_runs: counter(&meter, names::PURGED_RUNS),
            purged_events: counter(&meter, names::PURGED_EVENTS),
            swept: counter(&meter, names::SWEPT),
            levels,
            meter,
        }))
    }

    /// Tells of connections to agents what `look` finds.
    pub fn observe_connections(&self, look: impl Fn() -> PoolStats + Clone + Send + Sync + 'static) {
        let meter = &self.0.meter;
        let count = |metric: Metric, of: fn(PoolStats) -> u64| {
            let look = look.clone();
            let builder = meter.u64_observable_counter(metric.name).with_unit(metric.unit);
            builder.with_description(metric.meaning).with_callback(move |to| to.observe(of(look()), &[])).build();
        };
        count(names::CONNECTIONS_OPENED, |seen| seen.opened);
        count(names::CONNECTIONS_REUSED, |seen| seen.reused);
        let metric = names::CONNECTIONS_HELD;
        let builder = meter.u64_observable_gauge(metric.name).with_unit(metric.unit);
        builder
            .with_description(metric.meaning)
            .with_callback(move |to| to.observe(look().channels as u64, &[]))
            .build();
    }

    /// Tells how agents stand, and what waits for them.
    pub fn observe_dispatch(&self, registry: &Registry) {
        let meter = &self.0.meter;
        let agents = |metric: Metric, of: fn(&AgentState) -> u64| {
            let registry = registry.clone();
            let builder = meter.u64_observable_gauge(metric.name).with_unit(metric.unit);
            let look = move |to: &dyn AsyncInstrument<u64>| {
                for agent in registry.states(now()) {
                    to.observe(of(&agent), &[KeyValue::new(key::AGENT, agent.record.id.to_string())]);
                }
            };
            builder.with_description(metric.meaning).with_callback(look).build();
        };
        agents(names::BREAKER, |agent| match agent.breaker {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open { .. } => 2,
        });
        agents(names::AGENT_IN_FLIGHT, |agent| agent.stats.in_flight.into());
        let (metric, opened) = (names::BREAKER_OPENED, registry.clone());
        let look = move |to: &dyn AsyncInstrument<u64>| {
            for (agent, stats) in opened.list() {
                to.observe(stats.breaker_opened, &[KeyValue::new(key::AGENT, agent.id.to_string())]);
            }
        };
        let builder = meter.u64_observable_counter(metric.name).with_unit(metric.unit);
        builder.with_description(metric.meaning).with_callback(look).build();
        let (metric, waiting) = (names::WAITING, registry.clone());
        let look = move |to: &dyn AsyncInstrument<u64>| {
            for (capability, runs) in waiting.waiting() {
                to.observe(runs, &[KeyValue::new(key::CAPABILITY, capability.to_string())]);
            }
        };
        let builder = meter.u64_observable_gauge(metric.name).with_unit(metric.unit);
        builder.with_description(metric.meaning).with_callback(look).build();
    }

    /// Tells how many runs of an engine make no progress though they should.
    pub fn observe_stalled(&self, engine: Engine) {
        let metric = names::RUNS_STALLED;
        let builder = self.0.meter.u64_observable_gauge(metric.name).with_unit(metric.unit);
        let look = move |to: &dyn AsyncInstrument<u64>| to.observe(engine.stalled_runs(), &[]);
        builder.with_description(metric.meaning).with_callback(look).build();
    }

    /// A run was created.
    pub fn run_started(&self, created: &RunCreated) {
        self.0.runs_started.add(1, &[KeyValue::new(key::WORKFLOW, created.workflow.to_string())]);
        let executor = KeyValue::new(key::EXECUTOR, word(created.strategy.executor));
        self.0.plans.add(1, &[executor, KeyValue::new(key::REASON, word(created.strategy.reason))]);
    }

    /// A run is driven here, or is not any more.
    pub fn run_known(&self, known: bool) {
        self.0.levels.runs.fetch_add(if known { 1 } else { -1 }, Ordering::Relaxed);
    }

    /// So much of a run is open now, after it was so much before.
    pub fn open(&self, before: Open, after: Open) {
        let levels = &self.0.levels;
        levels.in_flight.fetch_add(after.in_flight - before.in_flight, Ordering::Relaxed);
        levels.spans.fetch_add(after.spans - before.spans, Ordering::Relaxed);
    }

    /// Something ended.
    pub fn ended(&self, span: &Span) {
        let seconds = span.end.since(span.start).as_secs_f64();
        let result = || KeyValue::new(key::RESULT, span.outcome.as_str());
        match &span.about {
            About::Run { workflow, state, efficiency } => {
                let workflow = KeyValue::new(key::WORKFLOW, workflow.to_string());
                let labels = [workflow.clone(), KeyValue::new(key::STATE, state.as_str())];
                self.0.runs_ended.add(1, &labels);
                self.0.run_duration.record(seconds, &labels);
                if let Some(share) = efficiency {
                    self.0.run_efficiency.record(*share, &[workflow]);
                }
            }
            About::Step { capability } => {
                let capability = capability.as_ref().map_or_else(String::new, ToString::to_string);
                self.0.steps_ended.add(1, &[KeyValue::new(key::CAPABILITY, capability), result()]);
            }
            About::Attempt { agent, spent } => {
                if let Some(spent) = spent {
                    self.spent(spent);
                }
                let agent = KeyValue::new(key::AGENT, agent.to_string());
                self.0.attempt_duration.record(seconds, &[agent, result()]);
            }
            About::Plan | About::Phase | About::Commit => {}
        }
    }

    /// An attempt took something.
    fn spent(&self, spent: &Spent) {
        let Usage { cost_micros, tokens_in, tokens_out } = spent.usage;
        let capability = spent.capability.as_ref().map_or_else(String::new, ToString::to_string);
        let labels =
            [KeyValue::new(key::WORKFLOW, spent.workflow.to_string()), KeyValue::new(key::CAPABILITY, capability)];
        self.0.usage_cost.add(cost_micros as f64 / 1e6, &labels);
        for (word, tokens) in [("input", tokens_in), ("output", tokens_out)] {
            let [workflow, capability] = labels.clone();
            self.0.usage_tokens.add(tokens, &[workflow, capability, KeyValue::new(key::TOKEN_TYPE, word)]);
        }
    }

    /// An answer was judged.
    pub fn assessed(&self, assessed: &QualityAssessed) {
        let verdict = [KeyValue::new(key::RESULT, assessed.verdict.as_str())];
        self.0.quality_assessed.add(1, &verdict);
        if let Some(score) = assessed.assessment.score {
            self.0.quality_score.record(score, &verdict);
        }
    }

    /// The store was asked to commit a batch.
    pub fn committed(&self, note: &CommitNote) {
        let word = if note.answered { "completed" } else { "failed" };
        self.0.commit_duration.record(note.seconds, &[KeyValue::new(key::RESULT, word)]);
        self.0.commit_runs.add(note.commits.len() as u64, &[]);
        self.0.commit_events.add(note.commits.iter().map(|(_, commit)| commit.events).sum(), &[]);
        self.0.commit_size.add(note.commits.iter().map(|(_, commit)| commit.bytes).sum(), &[]);
    }

    /// A span was made.
    pub fn span_created(&self) {
        self.0.spans_created.add(1, &[]);
    }

    /// Spans arrived.
    pub fn spans_exported(&self, count: u64) {
        self.0.spans_exported.add(count, &[]);
    }

    /// Runs were purged, or what belongs to none was removed.
    pub fn removed(&self, removed: Removed) {
        self.0.purged_runs.add(removed.runs, &[]);
        self.0.purged_events.add(removed.events, &[]);
        self.0.swept.add(removed.payloads + removed.definitions, &[]);
    }

    /// There was no room for something, or it could not be delivered.
    pub fn dropped(&self, what: &'static str, count: u64) {
        self.0.dropped.add(count, &[KeyValue::new(key::DROPPED, what)]);
    }
}

fn counter(meter: &Meter, metric: Metric) -> Counter<u64> {
    meter.u64_counter(metric.name).with_unit(metric.unit).with_description(metric.meaning).build()
}

fn histogram(meter: &Meter, metric: Metric, bounds: &[f64]) -> Histogram<f64> {
    let builder = meter.f64_histogram(metric.name).with_unit(metric.unit).with_description(metric.meaning);
    builder.with_boundaries(bounds.to_vec()).build()
}

fn gauge(meter: &Meter, metric: Metric, levels: Arc<Levels>, of: fn(&Levels) -> &AtomicI64) {
    let builder = meter.i64_observable_gauge(metric.name).with_unit(metric.unit).with_description(metric.meaning);
    builder.with_callback(move |to| to.observe(of(&levels).load(Ordering::Relaxed), &[])).build();
}

fn observe_process(meter: &Meter) {
    let metric = names::CPU_TIME;
    let builder = meter.f64_observable_counter(metric.name).with_unit(metric.unit).with_description(metric.meaning);
    let look = |to: &dyn AsyncInstrument<f64>| {
        if let Some(seconds) = process::cpu_seconds() {
            to.observe(seconds, &[]);
        }
    };
    builder.with_callback(look).build();
    let metric = names::MEMORY;
    let builder = meter.u64_observable_gauge(metric.name).with_unit(metric.unit).with_description(metric.meaning);
    let look = |to: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
        if let Some(bytes) = process::memory_bytes() {
            to.observe(bytes, &[]);
        }
    };
    builder.with_callback(look).build();
}
