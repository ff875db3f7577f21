//! Runs schedules over an engine on a fresh SQLite file, and takes their figures.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tutti_core::plan::Plan;
use tutti_core::workflow::{Executor, parse};
use tutti_planner::strategy::{SystemLoad, choose};

use super::agent::{Work, Worker};
use super::schedules::Schedule;
use crate::world::{StoreKind, World};

/// Schedules run so many times faster than they are written.
pub const SCALE: f64 = 20.0;

/// What one run of a schedule came to, seen from outside the engine. Times are as they were measured.
#[derive(Debug)]
pub struct Outcome {
    /// From the request to the end of the run.
    pub makespan: Duration,
    /// Most calls at work at once.
    pub peak: usize,
    /// Longest time from the end of a step's last dependency to the call of its agent.
    pub latency: Duration,
    /// Steps whose last call succeeded.
    pub succeeded: usize,
    /// From the end of the failed call to the start of the step's next one, if a call failed.
    pub recovery: Option<Duration>,
}

/// A time of a schedule as it is run.
pub fn scaled(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds / SCALE)
}

/// Runs a schedule by an executor; the first call of the step `failing` fails.
pub async fn run(schedule: &Schedule, executor: Executor, failing: Option<&'static str>) -> Result<Outcome, String> {
    let times = schedule.steps.iter().map(|(id, seconds, _)| (*id, scaled(*seconds))).collect();
    let worker = Arc::new(Worker::new(times, failing)?);
    let world = World::over(StoreKind::Sqlite, worker.clone()).await?;
    let plan = self::plan(schedule)?;
    let idle = SystemLoad { cpu: Some(0.0), available_workers: Some(100) };
    // The first run of a fresh file makes statements ready; what is measured is the engine at work.
    let warm_up = self::plan(&Schedule { steps: &[("warm-up", 0.0, &[])], ..*schedule })?;
    world.run(&warm_up).await?;
    worker.take_log();

    let began = Instant::now();
    world.run_by(&plan, choose(&plan, executor, idle)).await?;
    let makespan = began.elapsed();
    let log = worker.take_log();
    Ok(Outcome {
        makespan,
        peak: peak(&log),
        latency: latency(schedule, &log),
        succeeded: schedule.steps.iter().filter(|(id, ..)| succeeded(&log, id).is_some()).count(),
        recovery: log
            .iter()
            .find(|work| !work.succeeded)
            .and_then(|failed| Some(succeeded(&log, &failed.step)?.began.duration_since(failed.ended))),
    })
}

/// The plan of a schedule, its back-off shortened as its steps are.
fn plan(schedule: &Schedule) -> Result<Arc<Plan>, String> {
    let backoff = scaled(1.0).as_millis();
    let mut text = "id: figures\nmax_concurrent_tasks: 8\nsteps:\n".to_owned();
    for (id, seconds, on) in schedule.steps {
        let on = on.join(", ");
        let _ = writeln!(
            text,
            "- {{id: {id}, capability: c, depends_on: [{on}], estimated_duration: {}ms, retry: {{backoff: {backoff}ms}}}}",
            scaled(seconds.max(0.02)).as_millis()
        );
    }
    let lines = |problems: Vec<tutti_core::workflow::Problem>| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    Plan::new(parse(&text).map_err(lines)?.workflow).map_err(lines)
}

fn succeeded<'l>(log: &'l [Work], step: &str) -> Option<&'l Work> {
    log.iter().find(|work| work.succeeded && work.step == step)
}

/// The number of calls at work at the start of each; the largest.
fn peak(log: &[Work]) -> usize {
    let at_work = |at: Instant| log.iter().filter(|work| work.began <= at && at < work.ended).count();
    log.iter().map(|work| at_work(work.began)).max().unwrap_or_default()
}

fn latency(schedule: &Schedule, log: &[Work]) -> Duration {
    let wait = |(id, on): (&str, &[&str])| {
        let ready = on.iter().filter_map(|on| succeeded(log, on)).map(|work| work.ended).max()?;
        Some(log.iter().find(|work| work.step == id)?.began.saturating_duration_since(ready))
    };
    schedule.steps.iter().filter_map(|(id, _, on)| wait((id, on))).max().unwrap_or_default()
}
