//! Chaos: three real servers on one PostgreSQL, agents in processes of their own, and faults at random. What is
//! acknowledged must not be lost, and what is told must be so.

mod check;
mod faults;
mod line;
mod load;
mod recovery;
pub mod upgrade;
mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tutti_testkit::sim::Rng;

use faults::Faults;
use line::Line;
use load::Load;
use world::World;

/// How long everything may take to end when nothing fails any more.
const END: Duration = Duration::from_secs(60);

/// How many servers share the database, and how many callers start runs.
const SERVERS: usize = 3;
const STARTERS: u64 = 8;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long faults come.
    pub span: Duration,
    /// What they follow from, as far as the machine lets them.
    pub seed: u64,
    /// Bounds on time count so many times: more than one on a machine that has much else to do.
    pub patience: u32,
}

/// Lets chaos rule for a while, heals everything, and tells what was seen.
pub async fn run(options: Options) -> Result<(), String> {
    let world = Arc::new(World::start(&[world::built()?], SERVERS).await?);
    println!("seed {}, {} s", options.seed, options.span.as_secs());
    let outcome = rule(&world, options).await;
    if outcome.is_err() {
        world.keep_logs();
    }
    outcome
}

async fn rule(world: &Arc<World>, options: Options) -> Result<(), String> {
    let (stop, stopped) = watch::channel(false);
    let load = Load::start(world, STARTERS, options.seed, &stopped);
    let faults = Faults::start(world, options.seed, &stopped);
    let operator = tokio::spawn(load::operate(world.clone(), Rng::new(options.seed ^ 0x300)));
    sleep(options.span).await;
    let _ = stop.send(true);
    let faults = faults.end(options.patience).await?;
    world.heal().await?;
    let healed = Instant::now();
    let seen = load.end().await?;
    let left = check::wait_for_ends(world, END * options.patience).await?;
    let quiet = healed.elapsed();
    operator.abort();
    let mut lines = faults.lines();
    lines.push(Line::any("time until all had ended after the last fault", &format!("{:.1} s", quiet.as_secs_f64())));
    lines.extend(check::lines(world, &seen, Some(&faults), &left).await?);
    lines.extend(seen.lines());
    lines.extend(world.lines());
    line::print(&lines);
    match lines.iter().filter(|line| !line.holds()).count() {
        0 => Ok(()),
        wrong => Err(format!("{wrong} promises do not hold; repeat it by --seed {}", options.seed)),
    }
}
