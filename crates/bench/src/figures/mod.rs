//! Known schedules, run over the real engine at a twentieth of their length: what they take, and what they must.

mod agent;
mod levels;
mod measure;
mod schedules;

use std::time::Duration;

use measure::{Outcome, SCALE, run, scaled};
use schedules::{DATA_SCIENCE, RECOVERY, SCHEDULES, Schedule};
use tutti_core::workflow::Executor;

/// How narrow the bounds are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As the product promises them; for a quiet machine.
    Strict,
    /// Order and peaks only, of a part of the schedules; for any machine.
    Quick,
}

/// Times that a row is measured before its miss counts: another program may have had the machine.
const TRIES: usize = 3;

/// Makespans may be so much shorter or longer than the ideal.
const MAKESPAN: std::ops::RangeInclusive<f64> = 0.99..=1.05;

/// Reductions may be off by so much.
const REDUCTION: f64 = 0.03;

/// Longest time from the end of a step's last dependency to its own call; not scaled.
const LATENCY: Duration = Duration::from_millis(50);

/// Longest time that the data science pipeline may take, in seconds before scaling.
const DATA_SCIENCE_TOTAL: f64 = 6.0;

/// Longest time from a failed call to the next one, in seconds before scaling, by executor.
const RECOVERIES: &[(&str, Executor, f64)] =
    &[("basic", Executor::Basic, 2.0), ("parallel", Executor::Parallel, 2.0), ("auto", Executor::Auto, 1.5)];

/// Most memory of this process.
const MEMORY_MB: f64 = 100.0;

/// A measured row: how it is shown, and in what it misses its bounds.
struct Row {
    shown: String,
    misses: Vec<String>,
}

/// Runs every schedule, prints what it took, and checks it.
///
/// # Errors
/// Says how many rows miss their bounds.
pub async fn check(mode: Mode) -> Result<(), String> {
    let mut missed = 0;
    println!("Seconds are those of the schedule; it runs {SCALE} times faster.\n");
    println!(
        "{:<14} {:>21} {:>21} {:>19} {:>6} {:>12}",
        "schedule", "sequential", "parallel", "reduction", "peak", "latency"
    );
    let schedules = if mode == Mode::Quick { &SCHEDULES[1..2] } else { SCHEDULES };
    for schedule in schedules {
        missed += settle(async || both_ways(schedule, mode).await).await?;
    }
    println!();
    missed += settle(async || data_science(mode).await).await?;
    for (name, executor, limit) in RECOVERIES {
        missed += settle(async || recovery(name, *executor, *limit, mode).await).await?;
    }
    missed += memory();
    missed += levels::check()?;
    println!("phase breakdown: the report does not offer one yet");
    match missed {
        0 => Ok(()),
        1 => Err("one row misses its bounds".to_owned()),
        rows => Err(format!("{rows} rows miss their bounds")),
    }
}

/// Measures a row until it keeps its bounds, a few times at most. Says so if it took more than one; 1 if it never did.
async fn settle(measure: impl AsyncFn() -> Result<Row, String>) -> Result<usize, String> {
    for attempt in 1..=TRIES {
        let row = measure().await?;
        if row.misses.is_empty() {
            let again = if attempt == 1 { String::new() } else { format!("  (measured {attempt} times)") };
            println!("{}{again}", row.shown);
            return Ok(0);
        }
        if attempt == TRIES {
            println!("{}  MISSED {TRIES} times: {}", row.shown, row.misses.join("; "));
        }
    }
    Ok(1)
}

async fn both_ways(schedule: &Schedule, mode: Mode) -> Result<Row, String> {
    let one = run(schedule, Executor::Basic, None).await?;
    let many = run(schedule, Executor::Parallel, None).await?;
    let reduction = 1.0 - many.makespan.as_secs_f64() / one.makespan.as_secs_f64();
    // One step at a time, a step that is ready waits for its turn.
    let latency = many.latency;
    let mut misses = complete(schedule, &[&one, &many]);
    if one.peak != 1 {
        misses.push(format!("{} at work at once in sequence", one.peak));
    }
    if many.peak != schedule.peak {
        misses.push(format!("{} at work at once, not {}", many.peak, schedule.peak));
    }
    match mode {
        Mode::Quick if many.makespan >= one.makespan => misses.push("parallel is no faster".to_owned()),
        Mode::Quick => {}
        Mode::Strict => {
            misses.extend(off_ideal("sequential", one.makespan, schedule.sequential));
            misses.extend(off_ideal("parallel", many.makespan, schedule.parallel));
            if (reduction - schedule.reduction()).abs() > REDUCTION {
                misses.push("reduction".to_owned());
            }
            if latency >= LATENCY {
                misses.push("latency".to_owned());
            }
        }
    }
    let shown = format!(
        "{:<14} {:>21} {:>21} {:>19} {:>6} {:>9.1} ms",
        schedule.name,
        against(one.makespan, schedule.sequential),
        against(many.makespan, schedule.parallel),
        format!("{:.1} % of {:.1} %", reduction * 100.0, schedule.reduction() * 100.0),
        many.peak,
        latency.as_secs_f64() * 1e3,
    );
    Ok(Row { shown, misses })
}

async fn data_science(mode: Mode) -> Result<Row, String> {
    let outcome = run(&DATA_SCIENCE, Executor::Parallel, None).await?;
    let mut misses = complete(&DATA_SCIENCE, &[&outcome]);
    if outcome.peak != DATA_SCIENCE.peak {
        misses.push(format!("{} at work at once, not {}", outcome.peak, DATA_SCIENCE.peak));
    }
    if mode == Mode::Strict {
        misses.extend(off_ideal("total", outcome.makespan, DATA_SCIENCE.parallel));
        if outcome.makespan > scaled(DATA_SCIENCE_TOTAL) {
            misses.push(format!("more than {DATA_SCIENCE_TOTAL} s"));
        }
        if outcome.latency >= LATENCY {
            misses.push("latency".to_owned());
        }
    }
    let shown = format!(
        "data science: {} of {} steps, at most {} at once, {} s (limit {DATA_SCIENCE_TOTAL} s), latency {:.1} ms",
        outcome.succeeded,
        DATA_SCIENCE.steps.len(),
        outcome.peak,
        against(outcome.makespan, DATA_SCIENCE.parallel),
        outcome.latency.as_secs_f64() * 1e3,
    );
    Ok(Row { shown, misses })
}

async fn recovery(name: &str, executor: Executor, limit: f64, mode: Mode) -> Result<Row, String> {
    let outcome = run(&RECOVERY, executor, Some("b")).await?;
    let mut misses = complete(&RECOVERY, &[&outcome]);
    let took = outcome.recovery.ok_or("the failed step was not tried again")?;
    if mode == Mode::Strict && took > scaled(limit) {
        misses.push(format!("more than {limit} s"));
    }
    let seconds = took.as_secs_f64() * SCALE;
    Ok(Row { shown: format!("recovery, {name}: tried again after {seconds:.2} s (limit {limit} s)"), misses })
}

/// Linux tells the most that this process ever had.
fn memory() -> usize {
    let Some(mb) = crate::world::most_memory_mb() else {
        println!("memory: this system does not tell");
        return 0;
    };
    let missed = mb >= MEMORY_MB;
    println!("memory: {mb:.0} MB at most (limit {MEMORY_MB} MB){}", if missed { "  MISSED" } else { "" });
    usize::from(missed)
}

fn complete(schedule: &Schedule, outcomes: &[&Outcome]) -> Vec<String> {
    let steps = schedule.steps.len();
    let short = outcomes.iter().filter(|outcome| outcome.succeeded != steps);
    short.map(|outcome| format!("{} of {steps} steps succeeded", outcome.succeeded)).collect()
}

fn off_ideal(what: &str, took: Duration, ideal: f64) -> Option<String> {
    let ratio = took.as_secs_f64() / scaled(ideal).as_secs_f64();
    (!MAKESPAN.contains(&ratio)).then(|| format!("{what} is {:+.1} % off", (ratio - 1.0) * 100.0))
}

/// A time before scaling, and how far it is from the ideal.
fn against(took: Duration, ideal: f64) -> String {
    let seconds = took.as_secs_f64() * SCALE;
    format!("{seconds:.2} of {ideal} ({:+.1} %)", (seconds / ideal - 1.0) * 100.0)
}
