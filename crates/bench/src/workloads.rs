//! What is measured.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tutti_core::ids::RunId;
use tutti_core::plan::Plan;
use tutti_core::ports::store::{CommitOutcome, EncodedEvent};
use tutti_core::workflow::parse;
use tutti_testkit::given;

use crate::Options;
use crate::table::Row;
use crate::world::{StoreKind, World};

/// Times that short workloads are repeated; the median counts.
const REPEATS: usize = 5;

/// Runs at once in W1.
const IN_FLIGHT: [usize; 4] = [1, 64, 256, 1_024];

/// A workload by name.
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    kind: Kind,
}

enum Kind {
    Chains,
    FanOutAndJoin,
    Pipeline,
    LargeRun,
}

/// Every workload.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "W1", kind: Kind::Chains },
    Workload { name: "W2", kind: Kind::FanOutAndJoin },
    Workload { name: "W3", kind: Kind::Pipeline },
    Workload { name: "W6", kind: Kind::LargeRun },
];

impl Workload {
    /// Measures it on a fresh store.
    pub async fn run(&self, store: StoreKind, options: &Options) -> Result<Vec<Row>, String> {
        match self.kind {
            Kind::Chains => self.chains(store, options).await,
            Kind::FanOutAndJoin => self.fan_out_and_join(store).await,
            Kind::Pipeline => self.pipeline(store).await,
            Kind::LargeRun => self.large_run(store, options.quick).await,
        }
    }

    fn row(&self, store: StoreKind, case: impl Into<String>, figure: &str, value: f64, unit: &str) -> Row {
        Row {
            workload: self.name.into(),
            store: store.name().into(),
            case: case.into(),
            figure: figure.into(),
            value,
            unit: unit.into(),
            more_is_better: unit.ends_with("/s") || unit == "%",
        }
    }

    /// Chains of ten steps, many runs at once; after each, what the store alone takes of the same rows.
    async fn chains(&self, store: StoreKind, options: &Options) -> Result<Vec<Row>, String> {
        const LENGTH: usize = 10;
        let plan = plan(&chain(LENGTH))?;
        let span = Duration::from_millis(if options.quick { 1_000 } else { 4_000 });
        let mut rows = Vec::new();
        for &in_flight in options.in_flight.as_deref().unwrap_or(&IN_FLIGHT) {
            let world = Arc::new(World::new(store, Duration::ZERO).await?);
            let (runs, took) = keep_busy(&world, &plan, in_flight, span).await?;
            let step = world.events_of_a_step().await?;
            drop(world);
            let rate = (runs.len() * LENGTH) as f64 / took.as_secs_f64();
            let time = median(runs).as_secs_f64() * 1e3 / LENGTH as f64;
            let (alone_rate, alone_time) = commits_alone(store, in_flight, &step, span).await?;
            let case = format!("chain of {LENGTH}, {in_flight} in flight");
            let row = |figure, value, unit| self.row(store, case.clone(), figure, value, unit);
            rows.push(row("steps", rate, "steps/s"));
            rows.push(row("steps, the store alone", alone_rate, "steps/s"));
            rows.push(row("of the store alone", rate / alone_rate * 100.0, "%"));
            rows.push(row("time per step, p50", time, "ms"));
            rows.push(row("one commit, p50", alone_time, "ms"));
            rows.push(row("step ÷ commit", time / alone_time, ""));
        }
        Ok(rows)
    }

    /// A hundred steps at once and one that waits for them.
    async fn fan_out_and_join(&self, store: StoreKind) -> Result<Vec<Row>, String> {
        let width = 100;
        let mut steps: String = (0..width).map(|i| format!("- {{id: s{i}, capability: c}}\n")).collect();
        let all = (0..width).map(|i| format!("s{i}")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(steps, "- {{id: join, capability: c, depends_on: [{all}]}}");
        let took = self.repeat(store, &plan(&steps)?, Duration::ZERO).await?;
        Ok(vec![self.row(store, format!("{width} parallel and a join"), "time", took.as_secs_f64() * 1e3, "ms")])
    }

    /// The eight steps of the data-science example at 50 ms each: five levels.
    async fn pipeline(&self, store: StoreKind) -> Result<Vec<Row>, String> {
        let steps = concat!(
            "- {id: a, capability: c}\n- {id: b, capability: c}\n- {id: d, capability: c}\n",
            "- {id: analyze, capability: c, depends_on: [a, b, d]}\n",
            "- {id: alpha, capability: c, depends_on: [analyze]}\n- {id: beta, capability: c, depends_on: [analyze]}\n",
            "- {id: ensemble, capability: c, depends_on: [alpha, beta]}\n",
            "- {id: report, capability: c, depends_on: [ensemble]}\n",
        );
        let (step, levels) = (Duration::from_millis(50), 5);
        let took = self.repeat(store, &plan(steps)?, step).await?;
        let ratio = took.as_secs_f64() / (step * levels).as_secs_f64();
        Ok(vec![self.row(store, "8 steps of 50 ms", "time ÷ critical path", ratio, "")])
    }

    /// One run of very many steps: what a step costs must not grow with their number.
    async fn large_run(&self, store: StoreKind, quick: bool) -> Result<Vec<Row>, String> {
        let sizes: &[usize] = if quick { &[1_000, 10_000] } else { &[1_000, 10_000, 100_000] };
        let mut rows = Vec::new();
        for &count in sizes {
            let fan: String =
                (1..count).map(|i| format!("- {{id: s{i}, capability: c, depends_on: [s0]}}\n")).collect();
            for (shape, steps) in [("chain", chain(count)), ("fan-out", format!("- {{id: s0, capability: c}}\n{fan}"))]
            {
                let plan = plan(&steps)?;
                let world = World::new(store, Duration::ZERO).await?;
                let began = Instant::now();
                world.run(&plan).await?;
                let per_step = began.elapsed().as_secs_f64() * 1e6 / count as f64;
                rows.push(self.row(store, format!("{shape} of {count}"), "time per step", per_step, "µs"));
            }
        }
        Ok(rows)
    }

    async fn repeat(&self, store: StoreKind, plan: &Arc<Plan>, step: Duration) -> Result<Duration, String> {
        let world = World::new(store, step).await?;
        world.run(plan).await?;
        let mut times = Vec::new();
        for _ in 0..REPEATS {
            let began = Instant::now();
            world.run(plan).await?;
            times.push(began.elapsed());
        }
        Ok(median(times))
    }
}

/// Runs a plan again and again, so many at once: how long each took, and all of them.
async fn keep_busy(
    world: &Arc<World>,
    plan: &Arc<Plan>,
    in_flight: usize,
    span: Duration,
) -> Result<(Vec<Duration>, Duration), String> {
    let began = Instant::now();
    let workers: Vec<_> = (0..in_flight)
        .map(|_| {
            let (world, plan) = (world.clone(), plan.clone());
            tokio::spawn(async move {
                let mut runs = Vec::new();
                while began.elapsed() < span {
                    let start = Instant::now();
                    world.run(&plan).await?;
                    runs.push(start.elapsed());
                }
                Ok::<_, String>(runs)
            })
        })
        .collect();
    let mut runs = Vec::new();
    for worker in workers {
        runs.extend(worker.await.map_err(|e| e.to_string())??);
    }
    Ok((runs, began.elapsed()))
}

/// What a store takes without an engine: commits of as many runs as are in flight, one call after the other, each of the
/// events of one step. Steps per second, and the median of a call in milliseconds.
async fn commits_alone(
    store: StoreKind,
    runs: usize,
    step: &[EncodedEvent],
    span: Duration,
) -> Result<(f64, f64), String> {
    let (stores, _kept) = store.fresh().await?;
    let ids: Vec<RunId> = (0..runs as u64).map(given::run_id).collect();
    for n in 0..runs as u64 {
        stores.runs.create(given::new_run(n)).await.map_err(|e| e.to_string())?;
    }
    let (mut calls, mut expected, began) = (Vec::new(), 2, Instant::now());
    while began.elapsed() < span {
        let start = Instant::now();
        let commit = |run: &RunId| {
            let mut commit = given::commit(*run, 1, expected, 0);
            commit.events =
                (expected + 1..).zip(step).map(|(seq, event)| EncodedEvent { seq, ..event.clone() }).collect();
            commit
        };
        let outcomes = stores.runs.commit(ids.iter().map(commit).collect()).await.map_err(|e| e.to_string())?;
        if outcomes.iter().any(|outcome| *outcome != CommitOutcome::Committed) {
            return Err("a commit was refused".to_owned());
        }
        calls.push(start.elapsed());
        expected += step.len() as u64;
    }
    let rate = (calls.len() * runs) as f64 / began.elapsed().as_secs_f64();
    Ok((rate, median(calls).as_secs_f64() * 1e3))
}

fn chain(length: usize) -> String {
    (0..length)
        .map(|i| {
            let on = if i == 0 { String::new() } else { format!(", depends_on: [s{}]", i - 1) };
            format!("- {{id: s{i}, capability: c{on}}}\n")
        })
        .collect()
}

/// A plan of steps.
pub fn plan(steps: &str) -> Result<Arc<Plan>, String> {
    let text = format!("id: bench\nmax_concurrent_tasks: 10000\nsteps:\n{steps}");
    let lines = |problems: Vec<tutti_core::workflow::Problem>| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    Plan::new(parse(&text).map_err(lines)?.workflow).map_err(lines)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
