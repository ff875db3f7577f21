//! Engines that share one store: who has which run, commands from anywhere, and owners that are gone or cut off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;
use tutti_adapters_memory::{MemoryFleet, MemoryStore};
use tutti_core::ids::{Namespace, RequestId, RunId, ServerId};
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::fleet::{Fleet, Member, Standing};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::runs::{CommandRequest, Runs};
use tutti_core::ports::inbound::views::Views;
use tutti_core::ports::inbox::{Inbox as _, InboxItem, Verdict};
use tutti_core::ports::store::{
    ClaimOutcome, Claimer, Commit, CommitOutcome, Creation, DueRuns, NewRun, RunStore, Snapshot, StoreError,
};
use tutti_core::run::{Command, FORMAT, Order, RunStatus};
use tutti_core::time::Span;
use tutti_core::time::Timestamp;
use tutti_engine::{Engine, EngineOptions, FleetOptions, Ports, RunService};

use crate::service::{followed, request, service};
use crate::support::{Scripted, Step, World};

const LEASE: Duration = Duration::from_secs(1);
const TWO: &str = "id: w\nsteps: [{id: a, capability: c}, {id: b, capability: c, depends_on: [a]}]";

/// A server of the fleet.
struct Server {
    engine: Engine,
    runs: RunService,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    async fn start(world: &World, fleet: Arc<dyn Fleet>, id: &str) -> Self {
        Self::of(world.engine(), fleet, id).await
    }

    async fn of(engine: Engine, fleet: Arc<dyn Fleet>, id: &str) -> Self {
        let options = FleetOptions { server: id.parse().unwrap(), lease: LEASE };
        let mut membership = engine.join(fleet, options).await.unwrap();
        let inbox = engine.clone();
        let tasks = vec![
            tokio::spawn(async move { membership.run().await }),
            tokio::spawn(async move { inbox.answer_inbox().await }),
        ];
        Self { runs: service(engine.clone()), engine, tasks }
    }

    /// It renews no more and hears nothing, but does not know it.
    fn stall(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    async fn status(&self, run: RunId) -> RunStatus {
        self.runs.get(&Namespace::default(), run).await.unwrap().status()
    }

    async fn start_run(&self, number: u128) -> RunId {
        self.runs.start(request(number, TWO, "")).await.unwrap().run
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stall();
    }
}

/// Lets time go on.
async fn pass(span: Duration) {
    assert!(tokio::time::timeout(span, std::future::pending::<()>()).await.is_err());
}

fn order() -> Order {
    Order::new("ana", "enough")
}

#[tokio::test(start_paused = true)]
async fn any_server_answers_for_any_run() {
    let world = World::new(Scripted::new(|_, _| Step::After(Duration::from_secs(30), "1")));
    let fleet: Arc<dyn Fleet> = Arc::new(MemoryFleet::new(world.clock.clone()));
    let (one, two) = (Server::start(&world, fleet.clone(), "one").await, Server::start(&world, fleet, "two").await);
    pass(LEASE * 3).await;
    let here = one.start_run(1).await;
    let there = two.start_run(2).await;
    assert!(one.engine.has(here) && !two.engine.has(here) && two.engine.has(there));
    // A command that the run's state refuses is refused from afar in the same words.
    let command = |run, command| CommandRequest { namespace: Namespace::default(), run, command, order: order() };
    let near = one.runs.command(command(here, Command::Retry)).await.unwrap_err();
    let far = two.runs.command(command(here, Command::Retry)).await.unwrap_err();
    assert_eq!(far, near);
    assert!(matches!(far, RequestError::NotAllowed(_)));
    // Followed from afar to the end.
    let (all, elsewhere) = tokio::join!(followed(&one.runs, there, 1), followed(&two.runs, there, 1));
    assert_eq!(all, elsewhere);
    assert_eq!(one.status(there).await, RunStatus::Completed);
    let filter = RunFilter::default();
    let mut changes = one.runs.changes(&Namespace::default(), &filter).await.unwrap();
    let long = two.start_run(3).await;
    let told = changes.next().await.unwrap().unwrap();
    assert_eq!(
        told.iter().map(|change| change.run.run).collect::<Vec<_>>(),
        [long],
        "and nothing that was there before"
    );
    assert_eq!(one.runs.command(command(long, Command::Cancel)).await, Ok(false));
    assert_eq!(two.status(long).await, RunStatus::Cancelled);
    assert!(one.runs.command(command(long, Command::Resume)).await.is_err(), "one that has ended is asked, too");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_read_is_refused_and_holds_up_no_other() {
    let world = World::new(Scripted::new(|_, _| Step::After(Duration::from_secs(600), "1")));
    let fleet: Arc<dyn Fleet> = Arc::new(MemoryFleet::new(world.clock.clone()));
    let (one, two) = (Server::start(&world, fleet.clone(), "one").await, Server::start(&world, fleet, "two").await);
    pass(LEASE * 3).await;
    let run = one.start_run(1).await;
    let request = RequestId::from_u128(7);
    let unreadable = InboxItem { run, request, at: Timestamp::default(), blob: Bytes::from_static(b"{\"no\": 1}") };
    world.store.post(unreadable).await.unwrap();
    let command = CommandRequest { namespace: Namespace::default(), run, command: Command::Cancel, order: order() };
    assert_eq!(two.runs.command(command).await, Ok(false));
    assert_eq!(two.status(run).await, RunStatus::Cancelled);
    let outcome = world.store.outcome(run, request).await.unwrap().unwrap();
    let Ok(Verdict::Rejected(reason)) = Verdict::decode(&outcome) else { panic!("{outcome:?}") };
    assert!(reason.contains("cannot read"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn the_runs_of_a_server_that_is_gone_go_on_and_it_writes_nothing_more() {
    let world = World::new(Scripted::new(|_, _| Step::After(Duration::from_secs(20), "1")));
    let fleet: Arc<dyn Fleet> = Arc::new(MemoryFleet::new(world.clock.clone()));
    let old = Server::start(&world, fleet.clone(), "old").await;
    pass(LEASE).await;
    let mut runs = Vec::new();
    for number in 0..20 {
        runs.push(old.start_run(number).await);
    }
    pass(LEASE).await;
    old.stall();
    let new = Server::start(&world, fleet, "new").await;
    pass(LEASE * 3).await;
    for run in &runs {
        assert!(new.engine.progress(*run).await.unwrap().is_some(), "taken over within the lease and two more");
    }
    // What the old one gets back from its agents comes too late.
    for run in &runs {
        let seen = followed(&new.runs, *run, 1).await;
        assert!(seen.iter().copied().eq(1..=seen.len() as u64));
        assert_eq!(new.status(*run).await, RunStatus::Completed);
    }
    assert_eq!(world.agents.calls().len(), runs.len() * 2, "what was under way was found again, not sent twice");
}

#[tokio::test(start_paused = true)]
async fn a_restart_under_the_same_id_takes_over_at_once() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let fleet: Arc<dyn Fleet> = Arc::new(MemoryFleet::new(world.clock.clone()));
    let old = Server::start(&world, fleet.clone(), "same").await;
    pass(LEASE).await;
    let run = old.start_run(1).await;
    old.stall();
    let new = Server::start(&world, fleet, "same").await;
    pass(LEASE / 2).await;
    assert!(new.engine.progress(run).await.unwrap().is_some());
}

/// A store that is away for the first times that runs are looked for and claimed.
struct Returning {
    inner: Arc<MemoryStore>,
    away: [AtomicU32; 2],
}

impl Returning {
    fn answer(&self, of: usize) -> Result<(), StoreError> {
        let left = self.away[of].fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() { Err(StoreError::Unavailable("starting up".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl RunStore for Returning {
    async fn create(&self, run: NewRun) -> Result<Creation, StoreError> {
        self.inner.create(run).await
    }
    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.inner.commit(commits).await
    }
    async fn claim(&self, run: RunId, claimer: Claimer) -> Result<ClaimOutcome, StoreError> {
        self.answer(0)?;
        self.inner.claim(run, claimer).await
    }
    async fn due(&self, query: DueRuns) -> Result<Vec<RunId>, StoreError> {
        self.answer(1)?;
        self.inner.due(query).await
    }
    async fn save_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.inner.save_snapshot(run, snapshot).await
    }
    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        self.inner.snapshot(run).await
    }
}

#[tokio::test(start_paused = true)]
async fn runs_that_cannot_be_taken_over_while_the_store_is_away_are_soon_after() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let fleet: Arc<dyn Fleet> = Arc::new(MemoryFleet::new(world.clock.clone()));
    let old = Server::start(&world, fleet.clone(), "same").await;
    pass(LEASE).await;
    let runs = [old.start_run(1).await, old.start_run(2).await, old.start_run(3).await];
    old.stall();
    let store = Arc::new(Returning { inner: world.store.clone(), away: [AtomicU32::new(2), AtomicU32::new(1)] });
    let engine = world.engine_on(Ports { store, ..world.ports() }, EngineOptions::default());
    let new = Server::of(engine, fleet, "same").await;
    pass(LEASE * 2).await;
    for run in runs {
        assert!(new.engine.progress(run).await.unwrap().is_some());
    }
}

/// A fleet whose store can be cut off, and replaced by a copy that may lack who joined.
struct Cut {
    fleet: MemoryFleet,
    cut: AtomicBool,
    timeline: AtomicU64,
    unknown: AtomicBool,
}

impl Cut {
    fn of(world: &World) -> Arc<Self> {
        let fleet = MemoryFleet::new(world.clock.clone());
        Arc::new(Self { fleet, cut: false.into(), timeline: 1.into(), unknown: false.into() })
    }

    fn answer(&self) -> Result<(), StoreError> {
        let cut = self.cut.load(Ordering::SeqCst);
        if cut { Err(StoreError::Unavailable("cut off".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Fleet for Cut {
    async fn join(&self, server: &ServerId, lease: Duration, reads: u16) -> Result<Member, StoreError> {
        self.fleet.join(server, lease, reads).await
    }
    async fn renew(&self, member: &Member) -> Result<Standing, StoreError> {
        self.answer()?;
        if self.unknown.swap(false, Ordering::SeqCst) {
            return Ok(Standing::Unknown);
        }
        Ok(match self.fleet.renew(member).await? {
            Standing::Holds { slots, servers, reads, .. } => {
                Standing::Holds { slots, servers, reads, timeline: self.timeline.load(Ordering::SeqCst) }
            }
            standing => standing,
        })
    }
    async fn take(&self, member: &Member, most: usize) -> Result<BTreeSet<u16>, StoreError> {
        self.answer()?;
        self.fleet.take(member, most).await
    }
    async fn give_up(&self, member: &Member, slots: &BTreeSet<u16>) -> Result<(), StoreError> {
        self.answer()?;
        self.fleet.give_up(member, slots).await
    }
    async fn leave(&self, member: &Member) -> Result<(), StoreError> {
        self.fleet.leave(member).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_renew_starts_nothing_more_until_it_can() {
    let world = World::new(Scripted::new(|_, before| match before {
        1 => Step::After(Duration::from_secs(3), "1"),
        _ => Step::Answer("1"),
    }));
    let fleet = Cut::of(&world);
    let server = Server::start(&world, fleet.clone(), "one").await;
    pass(LEASE).await;
    let run = server.start_run(1).await;
    fleet.cut.store(true, Ordering::SeqCst);
    pass(LEASE * 10).await;
    assert_eq!(world.agents.calls().len(), 1, "the second step is not started, though the first is done");
    let refused = server.runs.start(request(2, TWO, "")).await.unwrap_err();
    assert!(matches!(refused, RequestError::Unavailable(_)), "{refused}");
    fleet.cut.store(false, Ordering::SeqCst);
    let seen = followed(&server.runs, run, 1).await;
    assert!(!seen.is_empty());
    assert_eq!(server.status(run).await, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn runs_are_loaded_anew_when_a_copy_has_taken_the_place_of_the_store() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let fleet = Cut::of(&world);
    let server = Server::start(&world, fleet.clone(), "one").await;
    pass(LEASE).await;
    let run = server.start_run(1).await;
    // By another owner, of whom the server hears nothing.
    let claim = async || world.store.claim(run, Claimer::reading(FORMAT)).await.unwrap().claimed().unwrap().epoch;
    assert_eq!(claim().await, 2);
    pass(LEASE * 5).await;
    assert_eq!(claim().await, 3, "the server has no reason to look");
    fleet.timeline.store(2, Ordering::SeqCst);
    pass(LEASE).await;
    assert_eq!(claim().await, 5, "it has claimed the run");
    assert!(server.engine.has(run) && server.engine.progress(run).await.unwrap().is_some());

    fleet.unknown.store(true, Ordering::SeqCst);
    pass(LEASE).await;
    assert_eq!(claim().await, 7, "it has joined and claimed again");
    let late = server.start_run(2).await;
    assert!(server.engine.has(late), "and takes new runs");
}

#[tokio::test(start_paused = true)]
async fn slots_are_shared_out_when_servers_come_and_go() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let fleet: Arc<dyn Fleet> = Arc::new(MemoryFleet::new(world.clock.clone()));
    let first = Server::start(&world, fleet.clone(), "a").await;
    pass(LEASE).await;
    let mut runs = Vec::new();
    for number in 0..30 {
        runs.push(first.start_run(number).await);
    }
    let others = [Server::start(&world, fleet.clone(), "b").await, Server::start(&world, fleet, "c").await];
    pass(LEASE * 5).await;
    let mut driven = Vec::new();
    for run in &runs {
        let mut by = 0;
        for server in others.iter().chain([&first]) {
            by += usize::from(server.engine.progress(*run).await.unwrap().is_some());
        }
        driven.push(by);
    }
    assert!(driven.iter().all(|by| *by == 1), "each run by one server: {driven:?}");
    let moved = runs.iter().filter(|run| !first.engine.has(**run)).count();
    assert!((10..=28).contains(&moved), "about two thirds moved: {moved}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_that_a_server_cannot_read() {
    let world = World::new(Scripted::new(|_, _| Step::After(Duration::from_secs(60), "1")));
    let fleet: Arc<dyn Fleet> = Arc::new(MemoryFleet::new(world.clock.clone()));
    let (one, two) =
        (Server::start(&world, fleet.clone(), "one").await, Server::start(&world, fleet.clone(), "two").await);
    let old = fleet.join(&"old".parse().unwrap(), LEASE * 60, 1).await.unwrap();
    pass(LEASE * 3).await;
    let run = one.start_run(1).await;
    let within = |number| {
        let mut limited = request(number, TWO, "");
        limited.options.timeout = Some(Span(Duration::from_secs(3_600)));
        limited
    };
    let command = |command| CommandRequest { namespace: Namespace::default(), run, command, order: order() };
    let refused = [
        one.runs.start(within(2)).await.unwrap_err(),
        one.runs.command(command(Command::Pause)).await.unwrap_err(),
        two.runs.command(command(Command::Pause)).await.unwrap_err(),
    ];
    for (refused, format) in refused.iter().zip([3, 2, 2]) {
        let needs = format!("reads format {format}");
        assert!(matches!(refused, RequestError::NotAllowed(why) if why.contains(&needs)), "{refused:?}");
    }
    fleet.leave(&old).await.unwrap();
    pass(LEASE).await;
    one.runs.start(within(2)).await.unwrap();
    assert_eq!(two.runs.command(command(Command::Pause)).await, Ok(false));
    assert_eq!(one.status(run).await, RunStatus::Paused);
}
