//! The simulated world: servers, a store, agents and a clock in one thread. What happens next is the earliest action; among
//! equals the one that was planned first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tutti_adapters_memory::MemoryStore;
use tutti_core::ids::{AgentId, AttemptKey, RunId, StepPath};
use tutti_core::invariants::{Violation, check_history, epochs_never_fall};
use tutti_core::ports::agent::CallLimits;
use tutti_core::ports::inbound::agents::BreakerState;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::store::{StoredEvent, Wake};
use tutti_core::run::{Command, Event, Input, Order, Recorded, RunState, RunStatus, decode, fold};
use tutti_core::time::Timestamp;
use tutti_engine::driver::{AdoptRun, Asker, CreateRun, Decided, DecidedRun, Driver, DriverOptions, Message};
use tutti_engine::{AgentRecord, BreakerPolicy, DispatchPolicy, EngineError, Plans, Registry, TakeOver, load};

use super::agents::Agents;
use super::faults::{Fault, Faults};
use super::rng::Rng;
use super::workflow::Case;

/// Servers that share the store.
pub(super) const SERVERS: usize = 2;

/// How long the runs of a dead server wait for another one.
const LEASE: Duration = Duration::from_secs(3);

/// Attempts that a server carries out at once.
const PLACES: usize = 6;

/// How often an operator looks again whether a held run goes on.
const RESUMES: u32 = 20;

/// What happens at a moment.
pub(super) enum Action {
    /// A message reaches a driver, unless its server died since.
    Deliver(ServerId, Message),
    /// A creation reaches the store.
    Create(ServerId, Box<DecidedRun>),
    /// A commit reaches the store.
    Commit(ServerId, Box<Decided>),
    /// A copy of a commit reaches the store; nobody waits for the answer.
    LateCopy(tutti_core::ports::store::Commit),
    /// A server takes a run over.
    TakeOver(usize, RunId),
    /// A server brings a run in whose moment has come, unless some server drives it.
    Wake(usize, RunId),
    /// A server dies and comes back empty.
    Crash(usize),
    /// An operator ends a run.
    Cancel(RunId),
    /// Somebody wants something of a run.
    Whim(RunId),
    /// A command comes to a run.
    Order(RunId, Command, Order),
    /// A person looks whether a run needs somebody, and so many times more.
    Look(RunId, u32),
    /// A run begins where this one stood.
    Fork(RunId),
    /// An operator holds a run.
    Pause(RunId),
    /// An operator lets a held run go on, and looks so many times more.
    Resume(RunId, u32),
    /// A server is shut down in good order.
    Drain(usize),
}

/// How servers are set.
#[derive(Debug, Clone, Copy, Default)]
struct Settings {
    /// When runs leave memory.
    rest: Option<Duration>,
    /// Agents and capabilities have limits, and breakers open soon.
    tight: bool,
}

/// A server in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ServerId {
    pub(super) number: usize,
    life: u32,
}

pub(super) struct Server {
    pub(super) driver: Driver,
    registry: Registry,
    life: u32,
    ticks: BTreeSet<Timestamp>,
    is_draining: bool,
}

impl Server {
    fn new(settings: Settings) -> Self {
        let registry = registry(settings.tight);
        let driver = Driver::new(registry.clone(), DriverOptions { places: PLACES, rest: settings.rest });
        Self { driver, registry, life: 0, ticks: BTreeSet::new(), is_draining: false }
    }

    /// Begins a new life, empty.
    fn restart(&mut self, settings: Settings) {
        *self = Self { life: self.life + 1, ..Self::new(settings) };
    }
}

/// A run of a case and who watches it.
pub(super) struct Run {
    pub(super) case: Case,
    /// Last sequence number that each server published.
    pub(super) published: HashMap<ServerId, u64>,
    /// False once something happened after which it need not end as the reference does.
    pub(super) is_determined: bool,
    /// Takes down every server that takes it over.
    pub(super) is_poison: bool,
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) rng: Rng,
    pub(super) store: Arc<MemoryStore>,
    pub(super) agents: Agents,
    /// Carries out the engine's own attempts.
    pub(super) own: tutti_engine::Attempts,
    pub(super) servers: Vec<Server>,
    pub(super) runs: BTreeMap<RunId, Run>,
    /// Messages of steps that must not be done twice.
    pub(super) sent: BTreeMap<(RunId, StepPath), Vec<AttemptKey>>,
    pub(super) faults: Faults,
    /// One line for everything that happened.
    pub(super) trace: Vec<String>,
    settings: Settings,
    actions: BTreeMap<(Timestamp, u64), Action>,
    planned: u64,
    /// Crashes and take-overs that may still strike.
    pub(super) troubles: u32,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let mut world = Self {
            now: Timestamp::from_micros(1_000_000_000_000),
            rng: Rng::new(seed),
            own: super::own::attempts(store.clone()),
            store,
            agents: Agents::default(),
            servers: Vec::new(),
            runs: BTreeMap::new(),
            sent: BTreeMap::new(),
            faults: Faults::default(),
            trace: Vec::new(),
            settings: Settings::default(),
            actions: BTreeMap::new(),
            planned: 0,
            troubles: 0,
        };
        if world.rng.percent(50) {
            world.settings.rest = Some(Duration::from_millis(world.rng.below(3_000)));
        }
        world.settings.tight = world.rng.percent(50);
        world.servers = (0..SERVERS).map(|_| Server::new(world.settings)).collect();
        world
    }

    pub(super) fn plan(&mut self, after: Duration, action: Action) {
        self.planned += 1;
        self.actions.insert((self.now.plus(after), self.planned), action);
    }

    /// A random span up to a bound.
    pub(super) fn span(&mut self, millis: u64) -> Duration {
        Duration::from_micros(1 + self.rng.below(millis * 1000))
    }

    pub(super) fn server(&self, number: usize) -> ServerId {
        ServerId { number, life: self.servers[number].life }
    }

    pub(super) fn is_alive(&self, id: ServerId) -> bool {
        self.servers[id.number].life == id.life
    }

    /// Does what comes next; `false` when nothing does.
    pub(super) fn step(&mut self) -> Result<bool, Violation> {
        let Some(((at, _), action)) = self.actions.pop_first() else { return Ok(false) };
        self.now = self.now.max(at);
        match action {
            Action::Deliver(id, message) => self.deliver(id, message)?,
            Action::Create(id, decided) => self.create(id, decided)?,
            Action::Commit(id, decided) => self.commit(id, decided)?,
            Action::LateCopy(commit) => self.late_copy(&commit),
            Action::TakeOver(number, run) => self.take_over(number, run, None)?,
            Action::Wake(number, run) => self.wake(number, run)?,
            Action::Crash(number) => self.crash(number, Fault::CrashBetween),
            Action::Cancel(run) => self.cancel(run)?,
            Action::Whim(run) => self.whim(run)?,
            Action::Order(run, command, order) => self.order(run, command, order)?,
            Action::Look(run, again) => self.look(run, again)?,
            Action::Fork(run) => self.fork(run)?,
            Action::Pause(run) => self.pause(run)?,
            Action::Resume(run, again) => self.resume(run, again)?,
            Action::Drain(number) => self.drain(number)?,
        }
        Ok(true)
    }

    pub(super) fn log(&mut self, line: impl FnOnce() -> String) {
        let line = format!("{:>12} {}", self.now.as_micros(), line());
        self.trace.push(line);
    }

    pub(super) fn deliver(&mut self, id: ServerId, message: Message) -> Result<(), Violation> {
        if !self.is_alive(id) {
            return Ok(());
        }
        let (now, mut rng) = (self.now, self.rng.clone());
        let mut random = || rng.bits();
        let server = &mut self.servers[id.number];
        if matches!(message, Message::Tick) {
            server.ticks.retain(|at| *at > now);
        }
        server.driver.handle(message, now, &mut random);
        server.driver.handle(Message::Tick, now, &mut random);
        server.driver.pump(now, &mut random);
        let effects = server.driver.effects();
        if !server.registry.waiting().is_empty() {
            self.faults.strike(Fault::WaitedForAgent);
        }
        if server.registry.states(now).iter().any(|agent| agent.breaker != BreakerState::Closed) {
            self.faults.strike(Fault::BreakerOpened);
        }
        let tick = server.driver.next_tick().filter(|at| server.ticks.insert(*at));
        self.rng = rng;
        if let Some(at) = tick {
            self.plan(at.since(now), Action::Deliver(id, Message::Tick));
        }
        effects.into_iter().try_for_each(|effect| self.carry_out(id, effect))
    }

    /// Starts a run on a server.
    pub(super) fn start(&mut self, number: usize, create: CreateRun, case: Case) -> Result<(), Violation> {
        let run = create.run;
        let is_poison = !case.recovers && self.rng.percent(3);
        if is_poison {
            let after = self.span(3_000);
            self.plan(after, Action::Crash(number));
        }
        let is_determined = case.is_determined();
        self.runs.insert(run, Run { case, published: HashMap::new(), is_determined, is_poison });
        let id = self.server(number);
        self.log(|| format!("start {run} on {number}"));
        self.deliver(id, Message::Create(Box::new(create), Box::new(|_| {})))
    }

    /// A server dies: what it held is gone, and somebody takes its runs over after a while.
    pub(super) fn crash(&mut self, number: usize, fault: Fault) {
        self.faults.strike(fault);
        self.log(|| format!("crash {number} ({fault:?})"));
        let runs: Vec<RunId> =
            self.runs.keys().copied().filter(|run| self.servers[number].driver.state(*run).is_some()).collect();
        self.servers[number].restart(self.settings);
        runs.into_iter().for_each(|run| self.bequeath(run));
    }

    /// Some server takes a run over after a while.
    fn bequeath(&mut self, run: RunId) {
        let heir = self.rng.below(SERVERS as u64) as usize;
        let after = LEASE + self.span(1_000);
        self.plan(after, Action::TakeOver(heir, run));
    }

    fn drain(&mut self, number: usize) -> Result<(), Violation> {
        if self.servers[number].is_draining {
            return Ok(());
        }
        self.log(|| format!("drain {number}"));
        self.servers[number].is_draining = true;
        self.deliver(self.server(number), Message::Drain(Box::new(|| {})))
    }

    /// A server has let go of a run that has not ended.
    pub(super) fn left(&mut self, number: usize, run: RunId) {
        // Otherwise another owner has it.
        if self.servers[number].is_draining {
            self.faults.strike(Fault::Drained);
            self.bequeath(run);
            return;
        }
        // Its creation may not have reached the store.
        let Some(state) = fold(&self.runs[&run].case.plan, &self.history(run)) else { return };
        if let Wake::At(moment) = state.wake() {
            let (heir, late) = (self.rng.below(SERVERS as u64) as usize, self.span(500));
            self.plan(moment.since(self.now) + late, Action::Wake(heir, run));
        }
    }

    /// The moment of a run that left memory has come.
    fn wake(&mut self, number: usize, run: RunId) -> Result<(), Violation> {
        let state = fold(&self.runs[&run].case.plan, &self.history(run));
        let seq = state.as_ref().map(RunState::seq);
        // One that knows less than the store has lost the run, and does not know that either.
        if self.servers.iter().filter_map(|server| server.driver.state(run)).any(|driven| Some(driven.seq()) >= seq) {
            return Ok(());
        }
        match state.map(|state| (state.status(), state.wake())) {
            Some((status, Wake::At(moment))) if moment <= self.now => {
                self.faults.strike(if status == RunStatus::Pending { Fault::Queued } else { Fault::Woken });
                self.take_over(number, run, None)
            }
            _ => Ok(()),
        }
    }

    /// A server that was shut down comes back empty.
    pub(super) fn drained(&mut self, number: usize) {
        self.log(|| format!("drained {number}"));
        self.servers[number].restart(self.settings);
    }

    pub(super) fn take_over(
        &mut self,
        number: usize,
        run: RunId,
        wanted: Option<(Command, Order)>,
    ) -> Result<(), Violation> {
        if self.servers[number].driver.state(run).is_some() {
            return Ok(());
        }
        if self.servers[number].is_draining {
            self.bequeath(run);
            return Ok(());
        }
        if self.servers.iter().any(|server| server.driver.state(run).is_some()) {
            self.faults.strike(Fault::Zombie);
        }
        self.log(|| format!("take over {run} by {number}"));
        let why = if wanted.is_some() { TakeOver::ByOperator } else { TakeOver::Automatic };
        let (plans, id) = (Plans::default(), self.rng.bits());
        let loaded = load(&*self.store, (&*self.store, &plans), run, why, false, self.now, id).now_or_never();
        let loaded = match loaded.expect("a store in memory never waits") {
            Ok(loaded) => loaded,
            // Its creation is still on its way to the store.
            Err(EngineError::NotFound(_)) => {
                if self.servers.iter().all(|server| server.driver.state(run).is_none()) {
                    self.plan(LEASE, Action::TakeOver(number, run));
                }
                return Ok(());
            }
            Err(EngineError::Quarantined(_)) => {
                self.faults.strike(Fault::Quarantined);
                return Ok(());
            }
            Err(error) => return Err(Violation { invariant: "a_run_can_be_loaded", detail: error.to_string() }),
        };
        self.check_fold(&loaded.state, run)?;
        if wanted.is_none() && !loaded.state.status().takes_results() {
            return Ok(());
        }
        if self.runs.get(&run).is_some_and(|run| run.is_poison) {
            self.crash(number, Fault::CrashBetween);
            self.plan(LEASE, Action::TakeOver(number, run));
            return Ok(());
        }
        let id = self.server(number);
        if let Some(run) = self.runs.get_mut(&run) {
            run.published.insert(id, loaded.state.seq());
        }
        let by_chance = wanted.is_none() && self.rng.percent(30);
        let command = wanted.or_else(|| by_chance.then(|| (Command::Resume, Order::new("operator", ""))));
        let adopt = AdoptRun { state: loaded.state, epoch: loaded.epoch, command };
        self.deliver(id, Message::Adopt(Box::new(adopt), Asker::Nobody))
    }

    /// An operator holds a run that is driven, and lets it go later.
    fn pause(&mut self, run: RunId) -> Result<(), Violation> {
        let Some(id) = self.driver_of(run) else { return Ok(()) };
        self.faults.strike(Fault::Paused);
        self.log(|| format!("pause {run}"));
        let after = self.span(10_000);
        self.plan(after, Action::Resume(run, RESUMES));
        let input = Input::Command { command: Command::Pause, order: Order::new("operator", "simulated") };
        self.deliver(id, Message::Input(run, input, Asker::Nobody))
    }

    /// An operator lets a run go on if it is held; looks again, for a commit may come late or the server may have died.
    fn resume(&mut self, run: RunId, again: u32) -> Result<(), Violation> {
        if again > 0 {
            self.plan(LEASE * 3, Action::Resume(run, again - 1));
        }
        let Some(id) = self.driver_of(run) else {
            let plan = self.runs[&run].case.plan.clone();
            if fold(&plan, &self.history(run)).is_some_and(|state| state.status() == RunStatus::Paused) {
                let number = self.rng.below(SERVERS as u64) as usize;
                return self.take_over(number, run, Some((Command::Resume, Order::new("operator", ""))));
            }
            return Ok(());
        };
        let state = self.servers[id.number].driver.state(run);
        if state.is_none_or(|state| state.status() != RunStatus::Paused) {
            return Ok(());
        }
        self.log(|| format!("resume {run}"));
        let input = Input::Command { command: Command::Resume, order: Order::new("operator", "simulated") };
        self.deliver(id, Message::Input(run, input, Asker::Nobody))
    }

    /// The server that drives a run.
    pub(super) fn driver_of(&self, run: RunId) -> Option<ServerId> {
        (0..SERVERS).find(|n| self.servers[*n].driver.state(run).is_some()).map(|number| self.server(number))
    }

    fn cancel(&mut self, run: RunId) -> Result<(), Violation> {
        let driver = self.driver_of(run);
        let state = match driver {
            Some(id) => self.servers[id.number].driver.state(run).cloned(),
            None => fold(&self.runs[&run].case.plan, &self.history(run)),
        };
        self.faults.strike(Fault::Cancelled);
        if state.is_some_and(|state| state.open_attempts().any(|(_, open)| open.suspended.is_some())) {
            self.faults.strike(Fault::CancelledWhileWaiting);
        }
        self.log(|| format!("cancel {run}"));
        if let Some(run) = self.runs.get_mut(&run) {
            run.is_determined = false;
        }
        let Some(id) = driver else {
            let number = self.rng.below(SERVERS as u64) as usize;
            return self.take_over(number, run, Some((Command::Cancel, Order::new("operator", ""))));
        };
        let input = Input::Command { command: Command::Cancel, order: Order::new("operator", "simulated") };
        self.deliver(id, Message::Input(run, input, Asker::Nobody))
    }

    pub(super) fn stored(&self, run: RunId) -> Vec<StoredEvent> {
        let events = self.store.events(run, 1, usize::MAX).now_or_never();
        events.expect("a store in memory never waits").expect("a store in memory never fails")
    }

    pub(super) fn history(&self, run: RunId) -> Vec<Recorded> {
        self.stored(run).iter().map(|stored| decode(&stored.event).expect("written by this build")).collect()
    }

    /// Checks every promise that a history can tell about, after it grew.
    pub(super) fn check(&self, run: RunId) -> Result<RunState, Violation> {
        epochs_never_fall(&self.stored(run))?;
        check_history(&self.runs[&run].case.plan, &self.history(run))
    }

    /// The state of a run that was loaded or is driven is the fold of its history.
    pub(super) fn check_fold(&self, state: &RunState, run: RunId) -> Result<(), Violation> {
        let folded = self.check(run)?;
        let same = folded.seq() != state.seq() || folded == *state;
        if same { Ok(()) } else { Err(Violation { invariant: "fold_is_the_state", detail: format!("run {run}") }) }
    }

    /// Counts what the history tells about how runs ended.
    pub(super) fn count_ends(&mut self, state: &RunState, history: &[Recorded]) {
        if state.status() == RunStatus::Failed
            && matches!(history.last().map(|e| &e.event), Some(Event::RunFailed(failed)) if failed.step.is_none())
        {
            self.faults.strike(Fault::Expired);
        }
    }
}

/// A driver that knows three agents, two of them for each capability.
pub(crate) fn driver() -> Driver {
    Driver::new(registry(false), DriverOptions { places: PLACES, rest: None })
}

/// If it is tight, there is room for few attempts, and two failures in a row open a breaker.
fn registry(tight: bool) -> Registry {
    let limits = |most: u32, rate: &str| match tight {
        true => CallLimits { max_in_flight: NonZeroU32::new(most), rate: rate.parse().ok() },
        false => CallLimits::default(),
    };
    let breaker = BreakerPolicy { failures: if tight { 2 } else { 0 }, rest: Duration::from_secs(2) };
    let capabilities = [("c", limits(2, "")), ("d", limits(9, "2/s"))];
    let capabilities = capabilities.map(|(name, limits)| (name.parse().expect("a valid name"), limits)).into();
    let registry = Registry::new(DispatchPolicy { breaker, capabilities });
    for (id, capabilities) in [("x", ["c", "d"].as_slice()), ("y", &["c", "d"]), ("z", &["c"])] {
        registry.register(AgentRecord {
            id: id.parse::<AgentId>().expect("a valid name"),
            url: format!("http://{id}"),
            access: Default::default(),
            capabilities: capabilities.iter().map(|c| c.parse().expect("a valid name")).collect(),
            limits: limits(1, ""),
        });
    }
    registry
}
