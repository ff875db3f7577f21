//! Chaos: three real servers on one PostgreSQL, agents in processes of their own, and faults at random. What is
//! acknowledged must not be lost, and what is told must be so.

mod check;
mod faults;
mod load;
mod recovery;
mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tutti_testkit::sim::Rng;

use faults::Faults;
use load::Load;
use world::World;

/// How long everything may take to end when nothing fails any more.
const END: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long faults come.
    pub span: Duration,
    /// What they follow from, as far as the machine lets them.
    pub seed: u64,
}

/// One line of the table.
pub struct Line {
    /// What was looked at.
    pub what: String,
    /// What was seen.
    pub seen: String,
    /// What is wrong with it, if anything is.
    pub wrong: Option<String>,
}

impl Line {
    fn new(what: impl Into<String>, seen: impl Into<String>, wrong: Option<String>) -> Self {
        Self { what: what.into(), seen: seen.into(), wrong }
    }

    /// One that is wrong unless `right` is true.
    fn check(what: impl Into<String>, seen: impl Into<String>, right: bool) -> Self {
        Self::new(what, seen, (!right).then(String::new))
    }
}

/// Lets chaos rule for a while, heals everything, and tells what was seen.
pub async fn run(options: Options) -> Result<(), String> {
    let world = Arc::new(World::start().await?);
    println!("seed {}, {} s; logs: {}", options.seed, options.span.as_secs(), world.folder().display());
    let outcome = rule(&world, options).await;
    if outcome.is_err() {
        world.keep_logs();
    }
    outcome
}

async fn rule(world: &Arc<World>, options: Options) -> Result<(), String> {
    let (stop, stopped) = watch::channel(false);
    let load = Load::start(world, options.seed, &stopped);
    let faults = Faults::start(world, options.seed, &stopped);
    let operator = tokio::spawn(load::operate(world.clone(), Rng::new(options.seed ^ 0x300)));
    sleep(options.span).await;
    let _ = stop.send(true);
    let faults = faults.end().await?;
    world.heal().await?;
    let healed = Instant::now();
    let seen = load.end().await?;
    let left = check::wait_for_ends(world, END).await?;
    let quiet = healed.elapsed();
    operator.abort();
    let mut lines = faults.lines();
    lines.push(Line::new("everything ended after the last fault", format!("{:.1} s", quiet.as_secs_f64()), None));
    lines.extend(check::lines(world, &seen, &faults, &left).await?);
    lines.extend(seen.lines());
    lines.extend(world.lines());
    print(&lines);
    match lines.iter().filter(|line| line.wrong.is_some()).count() {
        0 => Ok(()),
        wrong => Err(format!("{wrong} promises do not hold; repeat it by --seed {}", options.seed)),
    }
}

fn print(lines: &[Line]) {
    println!("{:<52} {:>24}  ", "what", "seen");
    for Line { what, seen, wrong } in lines {
        println!("{what:<52} {seen:>24}  {}", if wrong.is_some() { "WRONG" } else { "" });
    }
    for line in lines {
        if let Some(why) = line.wrong.as_ref().filter(|why| !why.is_empty()) {
            println!("\n{}:\n{why}", line.what);
        }
    }
}
