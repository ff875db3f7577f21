//! One run, played over any store by a script: what happens next is chosen, and its owner dies where the script says.
//!
//! The driver and the rules are the real ones, the store is the real one too; only time, chance, agents and death are
//! made up. Where the [simulator](crate::sim) lets faults rain over a store in memory, here one fault strikes at one point,
//! so that every point can be tried.

mod order;
mod recoveries;
mod shapes;
mod world;

use std::collections::BTreeMap;

use tutti_core::ids::{RequestId, RunId};
use tutti_core::plan::StepIndex;
use tutti_core::run::{Command, ForkedStep, RunForked, RunState, StepStatus};
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::Executor;
use tutti_engine::driver::CreateRun;

use crate::sim::Case;
use crate::stores::Stores;
pub use order::{Order, Turns};
pub use recoveries::recoveries;
pub use shapes::{EXECUTORS, shapes};

/// What a person wants of a run that stands so; the person thinks of one step.
pub type Person = fn(&RunState, StepIndex) -> Option<Command>;

/// A workflow and what its agents do.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it is about.
    pub name: &'static str,
    /// What runs, and who cannot do it.
    pub case: Case,
    /// How many attempts of each step fail before one succeeds.
    pub fails: Vec<u32>,
    /// What a person wants of the run when nothing is under way.
    pub person: Person,
    /// The step that the person thinks of.
    pub about: StepIndex,
    /// The person looks after everything that happens, and not only when nothing is under way.
    pub is_eager: bool,
    /// Every attempt is answered twice.
    pub answers_twice: bool,
    /// With how many of its first steps complete the run begins, as a fork.
    pub forked: usize,
}

/// Where an owner dies. Writes are counted from 1: the creation, then each commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before this write reaches the store.
    Before(u32),
    /// When the store has done this write and not yet answered.
    After(u32),
}

/// How a run ended. Equal for runs that nobody can tell apart, whatever happened to their owners.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// State of each step, and the attempts it took.
    pub steps: Vec<(StepStatus, u32)>,
    /// The run's data.
    pub data: Json,
    /// How many events of each kind it has. How often the ids of tasks were recorded is left out: that depends on when they
    /// were told.
    pub events: BTreeMap<&'static str, usize>,
    /// Messages that agents took.
    pub messages: usize,
}

/// A run that was played to its end.
#[derive(Debug, Clone)]
pub struct Played {
    /// How it ended.
    pub end: End,
    /// Writes that the first owner asked for.
    pub writes: u32,
    /// True if an owner died where it should.
    pub died: bool,
    /// Attempts whose task the second owner found at the agent.
    pub found_again: u32,
    /// Attempts whose message the second owner sent, because the first had not.
    pub sent_late: u32,
}

impl Script {
    /// A script in which nobody interferes.
    #[must_use]
    pub fn new(name: &'static str, case: Case, fails: Vec<u32>) -> Self {
        Self { name, case, fails, person: |_, _| None, about: 0, is_eager: false, answers_twice: false, forked: 0 }
    }

    fn create(&self, run: RunId, request: RequestId, executor: Executor) -> CreateRun {
        let create = self.case.create(run, request, executor);
        let plan = &self.case.plan;
        let output = || Payload::Inline(Json::parse(r#"{"v":"of the other run"}"#).expect("valid JSON"));
        let done = plan.indexes().take(self.forked);
        let completed: Vec<ForkedStep> =
            done.map(|step| ForkedStep { step: plan.path(step), output: output() }).collect();
        let forked = RunForked { from: run, seq: 9, completed, changed: vec![] };
        CreateRun { forked: (self.forked > 0).then(|| Box::new(forked)), ..create }
    }
}

/// Plays a run. `open` gives the store: once for each owner, after the one before let go of it.
///
/// # Panics
/// If a promise of [`tutti_core::invariants`] does not hold, or the run does not end.
pub async fn play<O: AsyncFnMut() -> Stores>(
    script: &Script,
    executor: Executor,
    run: RunId,
    death: Option<Point>,
    order: &mut Order,
    open: &mut O,
) -> Played {
    let request = RequestId::from_u128(run.as_uuid().as_u128());
    let create = || script.create(run, request, executor);
    let mut world = world::World::new(script, order, death, open().await);
    world.start(create()).await;
    world.go_on().await;
    let writes = world.writes();
    if world.has_died() {
        world.revive(open().await);
        if !world.take_over(run).await {
            // Nobody was told that the run exists, so whoever wanted it asks again.
            world.start(create()).await;
        }
        world.go_on().await;
    }
    world.finish(run, writes).await
}

/// What a sweep has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Points at which an owner died.
    pub points: u32,
    /// Attempts whose task the second owner found at the agent.
    pub found_again: u32,
    /// Attempts whose message the second owner sent, because the first had not.
    pub sent_late: u32,
}

/// Lets the owner of a run die before and after every write of it, each time on a new run, and compares how the run ends
/// with how it ends undisturbed. The ids of the runs follow from `first`.
///
/// # Panics
/// If a run ends otherwise, a promise does not hold, or a point was not reached.
pub async fn sweep<O: AsyncFnMut() -> Stores>(script: &Script, executor: Executor, first: u64, open: &mut O) -> Swept {
    let about = |point| format!("{} under {executor:?}, owner dies {point:?}", script.name);
    let mut number = first;
    let mut next = || {
        number += 1;
        crate::given::run_id(number)
    };
    let undisturbed = play(script, executor, next(), None, &mut Order::random(first), open).await;
    if !script.case.recovers {
        let reference = script.case.reference();
        let statuses: Vec<StepStatus> = undisturbed.end.steps.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, reference.steps, "{}", about(None));
        assert_eq!(undisturbed.end.data, reference.data, "{}", about(None));
    }

    let mut swept = Swept::default();
    for write in 1..=undisturbed.writes {
        for point in [Point::Before(write), Point::After(write)] {
            let played = play(script, executor, next(), Some(point), &mut Order::random(first), open).await;
            assert!(played.died, "{} was not reached", about(Some(point)));
            assert_eq!(played.end, undisturbed.end, "{}", about(Some(point)));
            swept.points += 1;
            swept.found_again += played.found_again;
            swept.sent_late += played.sent_late;
        }
    }
    swept
}

#[cfg(test)]
mod drills;
#[cfg(test)]
mod tests;
