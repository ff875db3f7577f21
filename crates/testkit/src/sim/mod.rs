//! A simulator: servers, a store and agents in one thread, under a virtual clock, with faults at every turn. Everything
//! follows from the seed, so a failure repeats exactly.
//!
//! What is simulated is the real driver and the real rules over the real store in memory; only time, chance and what
//! fails are made up. After every write the promises of [`tutti_core::invariants`] are checked; at the end every run must
//! have ended, and, where nothing but faults disturbed it, with the data of an uninterrupted run.

pub(crate) mod agents;
mod effects;
mod faults;
pub(crate) mod own;
mod people;
mod recovering;
mod rng;
mod workflow;
mod world;

use futures::FutureExt;
use tutti_core::ids::{RequestId, RunId};
use tutti_core::invariants::Violation;
use tutti_core::plan::run_data;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::run::{Event, RunState, RunStatus, StepState};
use tutti_core::schedule::turn;
use tutti_core::value::{Digest, Json, Payload, PayloadRef};
use tutti_core::workflow::Priority;
use tutti_engine::driver::CreateRun;

pub use faults::{Fault, Faults};
pub use recovering::draw as draw_recovering;
pub use rng::Rng;
pub use workflow::{Case, Reference, draw};
pub(crate) use world::driver;

use world::{Action, SERVERS, World};

/// Actions after which a simulation is taken to run in circles.
const MAX_ACTIONS: usize = 200_000;

/// What a simulation that found nothing wrong has seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Runs that were started and reached the store.
    pub runs: usize,
    /// Runs whose end was compared with an uninterrupted run.
    pub compared: usize,
    /// Messages that agents took.
    pub messages: usize,
    /// How often each fault struck.
    pub faults: Faults,
    /// Names everything that happened: equal for equal seeds.
    pub trace: Digest,
}

/// A promise that did not hold, and how it came to that.
#[derive(Debug, Clone, thiserror::Error)]
#[error("seed {seed}: {violation}\n{}", last_lines(trace))]
pub struct Failed {
    /// Simulating this seed again fails again.
    pub seed: u64,
    /// What did not hold.
    pub violation: Violation,
    /// Everything that happened, a line each.
    pub trace: Vec<String>,
}

fn last_lines(trace: &[String]) -> String {
    trace[trace.len().saturating_sub(40)..].join("\n")
}

/// Simulates a seed.
///
/// # Errors
/// The first promise that did not hold.
pub fn simulate(seed: u64) -> Result<Seen, Box<Failed>> {
    let mut world = World::new(seed);
    let outcome = drive(&mut world).and_then(|()| finish(&mut world));
    match outcome {
        Ok(compared) => Ok(Seen {
            runs: world.runs.len(),
            compared,
            messages: world.agents.len(),
            faults: world.faults,
            trace: Digest::of(world.trace.join("\n").as_bytes()),
        }),
        Err(violation) => Err(Box::new(Failed { seed, violation, trace: world.trace })),
    }
}

fn drive(world: &mut World) -> Result<(), Violation> {
    let runs = 1 + world.rng.below(4);
    world.troubles = world.rng.below(6) as u32;
    for _ in 0..runs {
        let recovers = world.rng.percent(50);
        let case = if recovers { recovering::draw(&mut world.rng) } else { draw(&mut world.rng) };
        let number = world.rng.below(SERVERS as u64) as usize;
        let create = new_run(world, &case);
        let run = create.run;
        let waits = case.asks.contains(&true);
        world.start(number, create, case)?;
        if recovers {
            world.people(run);
        } else {
            disturb(world, run, waits);
        }
    }
    for _ in 0..world.rng.below(3) {
        let (after, number) = (world.span(20_000), world.rng.below(SERVERS as u64) as usize);
        world.plan(after, Action::Crash(number));
    }
    if world.rng.percent(20) {
        let (after, number) = (world.span(10_000), world.rng.below(SERVERS as u64) as usize);
        world.plan(after, Action::Drain(number));
    }
    for _ in 0..MAX_ACTIONS {
        if !world.step()? {
            return Ok(());
        }
    }
    Err(Violation { invariant: "everything_comes_to_an_end", detail: format!("{MAX_ACTIONS} actions") })
}

/// Plans what operators and other servers do to a run.
fn disturb(world: &mut World, run: RunId, waits: bool) {
    if world.rng.percent(30) {
        let (after, number) = (world.span(15_000), world.rng.below(SERVERS as u64) as usize);
        world.plan(after, Action::TakeOver(number, run));
    }
    if world.rng.percent(20) {
        let after = world.span(10_000);
        world.plan(after, Action::Pause(run));
    }
    if world.rng.percent(if waits { 60 } else { 5 }) {
        let after = world.span(10_000);
        world.plan(after, Action::Cancel(run));
    }
}

fn new_run(world: &mut World, case: &Case) -> CreateRun {
    let mut random = [0; 10];
    random.copy_from_slice(&world.rng.bits().to_be_bytes()[..10]);
    let run = RunId::new(world.now.as_micros() as u64 / 1000, random);
    let create = case.create(run, RequestId::from_u128(world.rng.bits()), case.plan.workflow().executor);
    let waits = world.rng.percent(20);
    CreateRun { turn: waits.then(|| turn(Priority::Normal, world.now)), ..create }
}

/// Checks how everything ended; gives the number of runs compared with an uninterrupted one.
fn finish(world: &mut World) -> Result<usize, Violation> {
    let mut compared = 0;
    let runs: Vec<RunId> = world.runs.keys().copied().filter(|run| !world.stored(*run).is_empty()).collect();
    for run in runs {
        let state = world.check(run)?;
        let history = world.history(run);
        world.count_ends(&state, &history);
        world.count_recoveries(&state, &history);
        if state.status() == RunStatus::Quarantined {
            continue;
        }
        if !state.status().is_ended() {
            return Err(Violation { invariant: "every_run_ends", detail: format!("{run} is {}", state.status()) });
        }
        if world.runs[&run].case.recovers {
            world.outputs_are_those_of_agents(run, &state)?;
        } else if world.runs[&run].is_determined {
            compare(world, run, &state)?;
            artifacts_are_kept(world, run, &state)?;
            compared += 1;
        }
    }
    Ok(compared)
}

/// A run that was killed and resumed ends as an uninterrupted one.
fn compare(world: &World, run: RunId, state: &RunState) -> Result<(), Violation> {
    let case = &world.runs[&run].case;
    let reference = case.reference();
    let steps: Vec<_> = state.steps().iter().map(StepState::status).collect();
    let start = case.plan.workflow().data.clone();
    let data = run_data(&case.plan, &start, |step| state.output(step).map(|payload| world.value(run, payload)));
    if steps == reference.steps && data == reference.data {
        return Ok(());
    }
    let detail = format!("run {run}: steps {steps:?} instead of {:?}", reference.steps);
    Err(Violation { invariant: "a_disturbed_run_ends_as_an_undisturbed_one", detail })
}

/// The artifacts of each completed step are recorded once and can be read.
fn artifacts_are_kept(world: &World, run: RunId, state: &RunState) -> Result<(), Violation> {
    let mut recorded: Vec<PayloadRef> = Vec::new();
    for event in world.history(run) {
        if let Event::ArtifactRecorded(artifact) = event.event {
            recorded.push(artifact.content);
        }
    }
    let completed = (0..).zip(state.steps()).filter_map(|(step, _)| Some((step, state.output(step)?)));
    let contents = completed.flat_map(|(step, output)| Case::artifacts(step, &world.value(run, output)));
    let mut expected: Vec<PayloadRef> = contents.map(|content| PayloadRef::to(&content)).collect();
    recorded.sort_unstable_by_key(|at| at.hash);
    expected.sort_unstable_by_key(|at| at.hash);
    let is_kept = |at: &PayloadRef| matches!(world.store.get(run, *at).now_or_never(), Some(Ok(Some(_))));
    if recorded == expected && recorded.iter().all(is_kept) {
        return Ok(());
    }
    let detail = format!("run {run}: {} are recorded, {} were produced", recorded.len(), expected.len());
    Err(Violation { invariant: "artifacts_are_kept", detail })
}

impl World {
    /// A value of a run, wherever it is kept.
    fn value(&self, run: RunId, payload: &Payload) -> Json {
        match payload {
            Payload::Inline(value) => value.clone(),
            Payload::Stored(at) => {
                let bytes = self.store.get(run, *at).now_or_never().expect("a store in memory never waits");
                Json::parse(bytes.expect("no failure").expect("stored before it was named")).expect("valid JSON")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_seeds_keep_every_promise_and_meet_every_fault() {
        let mut faults = Faults::default();
        let (mut runs, mut compared) = (0, 0);
        for seed in 0..200 {
            let seen = simulate(seed).unwrap_or_else(|failed| panic!("{failed}"));
            faults.add(&seen.faults);
            runs += seen.runs;
            compared += seen.compared;
        }
        assert_eq!(faults.missing(), [], "every kind of fault was met");
        assert!(compared * 4 > runs, "{compared} of {runs} runs were compared with an uninterrupted one");
    }

    #[test]
    fn a_seed_repeats_exactly() {
        for seed in 1_000..1_010 {
            let (one, two) = (simulate(seed).unwrap(), simulate(seed).unwrap());
            assert_eq!(one.trace, two.trace, "seed {seed}");
        }
    }
}
