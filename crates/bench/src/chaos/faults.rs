//! What goes wrong, and when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tutti_testkit::proxy::Mode;
use tutti_testkit::sim::Rng;

use super::SERVERS;
use super::line::Line;
use super::world::{LEASE, World};

/// What a statement has in its text that writes histories.
const WRITES: &str = "INSERT INTO event";

/// So soon a server must have a part of the store again whose way to the database is good again.
const RETURN: Duration = Duration::from_secs(20);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A server is killed, and started again.
    Kill,
    /// A server is stopped, and goes on.
    Freeze,
    /// A server and the database do not hear each other.
    Cut,
    /// The database is away.
    Away,
}

/// Something that went wrong and was made good again.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// When it began, in microseconds since 1970, as the histories have them.
    pub at: i64,
    /// When it was made good.
    pub until: i64,
    /// The runs that it met in flight; `None` if the database could not tell.
    pub runs: Option<Vec<Guard>>,
    /// The same runs just before the server could write again.
    pub left: Vec<Guard>,
}

/// How far a run was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Its id.
    pub run: String,
    /// Its last event.
    pub seq: u64,
    /// The claim that held it.
    pub epoch: u64,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Log {
    /// In the order in which they began.
    pub faults: Vec<Fault>,
    /// See [`Options::patience`](super::Options::patience).
    pub patience: u32,
    /// Answers to commits that were swallowed.
    swallowed: usize,
    /// Servers that had no part of the store long after they could.
    missing: Vec<String>,
}

/// Faults under way.
pub struct Faults {
    tasks: JoinSet<Result<(), String>>,
    hand: Hand,
}

/// What every kind of fault needs.
#[derive(Clone)]
struct Hand {
    world: Arc<World>,
    log: Arc<Mutex<Log>>,
    stopped: watch::Receiver<bool>,
    /// Servers that nothing is done to, and places for those that something is done to: one is always left in peace.
    free: Arc<Mutex<Vec<usize>>>,
    places: Arc<Semaphore>,
}

/// A server to do something to.
struct Held {
    n: usize,
    free: Arc<Mutex<Vec<usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Faults {
    /// Lets them begin.
    pub fn start(world: &Arc<World>, seed: u64, stopped: &watch::Receiver<bool>) -> Self {
        let hand = Hand {
            world: world.clone(),
            log: Arc::default(),
            stopped: stopped.clone(),
            free: Arc::new(Mutex::new((0..SERVERS).collect())),
            places: Arc::new(Semaphore::new(SERVERS - 1)),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(kills(hand.clone(), Rng::new(seed ^ 0x11)));
        tasks.spawn(restarts(hand.clone(), Rng::new(seed ^ 0x22)));
        tasks.spawn(freezes(hand.clone(), Rng::new(seed ^ 0x33)));
        tasks.spawn(cuts(hand.clone(), Rng::new(seed ^ 0x44)));
        tasks.spawn(swallows(hand.clone(), Rng::new(seed ^ 0x55)));
        Self { tasks, hand }
    }

    /// Waits for the last ones.
    pub async fn end(mut self, patience: u32) -> Result<Log, String> {
        while let Some(done) = self.tasks.join_next().await {
            done.map_err(|e| e.to_string())??;
        }
        let mut log = std::mem::take(&mut *self.hand.log.lock().map_err(|e| e.to_string())?);
        log.faults.sort_by_key(|fault| fault.at);
        log.patience = patience;
        log.swallowed = self.hand.world.resets();
        Ok(log)
    }
}

impl Log {
    /// How often each fault came, and met runs in flight.
    pub fn lines(&self) -> Vec<Line> {
        let of = |what: &str, kind| {
            let runs =
                self.faults.iter().filter(|fault| fault.kind == kind).map(|fault| fault.runs.iter().flatten().count());
            let (count, met) = (runs.clone().count(), runs.filter(|runs| *runs > 0).count());
            // The few restarts of a minute may all come while every run waits for a caller.
            let enough = if kind == Kind::Away { count > 0 } else { met > 0 };
            Line::some(what, &format!("{count} / {met}"), enough)
        };
        vec![
            of("servers killed (SIGKILL) / with runs in flight", Kind::Kill),
            of("servers stopped for 3 leases (SIGSTOP) / with runs", Kind::Freeze),
            of("servers cut off from the database / with runs", Kind::Cut),
            of("database restarts (immediate) / with runs", Kind::Away),
            Line::some("answers to commits swallowed", &self.swallowed, self.swallowed > 0),
            Line::none("servers that did not come back to the others", &self.missing),
        ]
    }
}

impl Hand {
    /// Waits so long; false if it is over.
    async fn wait(&mut self, millis: u64) -> bool {
        timeout(Duration::from_millis(millis), self.stopped.wait_for(|over| *over)).await.is_err()
    }

    /// Some server, once something may be done to one.
    async fn take(&self, chance: &mut Rng) -> Result<Held, String> {
        let place = self.places.clone().acquire_owned().await.map_err(|e| e.to_string())?;
        let mut free = self.free.lock().map_err(|e| e.to_string())?;
        let at = chance.below(free.len() as u64) as usize;
        Ok(Held { n: free.swap_remove(at), free: self.free.clone(), _place: place })
    }

    fn note(&self, fault: Fault) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).faults.push(fault);
    }

    /// Waits until a server has its part of the store again: only then may the next one be lost.
    async fn back(&self, held: &Held) {
        let deadline = Instant::now() + RETURN;
        let has = format!("SELECT count(*) > 0 FROM slot WHERE server = '{}'", self.world.id(held.n));
        while self.world.sql(has.clone()).await.as_deref() != Ok("t") {
            if Instant::now() > deadline {
                let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                return log.missing.push(format!("{} at {}", self.world.id(held.n), now()));
            }
            sleep(Duration::from_millis(100)).await;
        }
        // One that kept its part all the time must see that first.
        sleep(LEASE / 2).await;
    }

    /// The runs in flight, of one server or of all: those that can move by themselves.
    async fn in_flight(&self, server: Option<usize>) -> Option<Vec<Guard>> {
        let of = server.map_or_else(String::new, |n| format!("AND s.server = '{}'", self.world.id(n)));
        let statement = format!(
            "SELECT r.run_id, r.last_seq, r.epoch FROM run r JOIN slot s USING (slot) JOIN run_view v USING (run_id)
             WHERE r.wake_at = 0 AND v.status IN ('pending', 'running') {of}"
        );
        self.guards(statement).await
    }

    /// How far runs are.
    async fn now(&self, runs: &[Guard]) -> Vec<Guard> {
        let ids: Vec<String> = runs.iter().map(|guard| format!("'{}'", guard.run)).collect();
        if ids.is_empty() {
            return Vec::new();
        }
        let statement = format!("SELECT run_id, last_seq, epoch FROM run WHERE run_id IN ({})", ids.join(", "));
        self.guards(statement).await.unwrap_or_default()
    }

    async fn guards(&self, statement: String) -> Option<Vec<Guard>> {
        let rows = self.world.sql(statement).await.ok()?;
        let guard = |row: &str| {
            let mut columns = row.split('|');
            let (run, seq, epoch) =
                (columns.next()?.to_owned(), columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
            Some(Guard { run, seq, epoch })
        };
        rows.lines().map(guard).collect()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.n);
    }
}

async fn kills(mut hand: Hand, mut chance: Rng) -> Result<(), String> {
    let mut starts = JoinSet::new();
    while hand.wait(1_000 + chance.below(4_000)).await {
        let held = hand.take(&mut chance).await?;
        let dead = if chance.percent(50) { chance.below(300) } else { 1_500 + chance.below(2_000) };
        // Started again by a task of its own, so that two can be dead at once.
        starts.spawn(kill(hand.clone(), held, dead));
    }
    while let Some(done) = starts.join_next().await {
        done.map_err(|e| e.to_string())??;
    }
    Ok(())
}

/// Kills a server and starts it again after so many milliseconds.
async fn kill(mut hand: Hand, held: Held, dead: u64) -> Result<(), String> {
    if hand.world.kill(held.n).await? {
        let at = now();
        let runs = hand.in_flight(Some(held.n)).await;
        hand.wait(dead).await;
        hand.note(Fault { kind: Kind::Kill, at, until: now(), runs, left: Vec::new() });
    }
    hand.world.start_server(held.n).await
}

async fn restarts(mut hand: Hand, mut chance: Rng) -> Result<(), String> {
    // The first one soon, so that a short look has one, too.
    let mut longest = 8_000;
    while hand.wait(5_000 + chance.below(longest)).await {
        longest = 35_000;
        let away = if chance.percent(50) { 0 } else { chance.below(2_000) };
        let runs = hand.in_flight(None).await;
        let at = now();
        hand.world.restart_database(Duration::from_millis(away)).await?;
        hand.note(Fault { kind: Kind::Away, at, until: now(), runs, left: Vec::new() });
    }
    Ok(())
}

async fn freezes(mut hand: Hand, mut chance: Rng) -> Result<(), String> {
    while hand.wait(chance.below(800)).await {
        let held = hand.take(&mut chance).await?;
        if hand.world.signal(held.n, Signal::STOP).await? {
            let at = now();
            let runs = hand.in_flight(Some(held.n)).await;
            // To its end in any case: nobody is left standing.
            sleep(LEASE * 3).await;
            let left = hand.now(runs.as_deref().unwrap_or_default()).await;
            hand.world.signal(held.n, Signal::CONT).await?;
            hand.note(Fault { kind: Kind::Freeze, at, until: now(), runs, left });
            hand.back(&held).await;
        }
    }
    Ok(())
}

async fn cuts(mut hand: Hand, mut chance: Rng) -> Result<(), String> {
    while hand.wait(6_000 + chance.below(6_000)).await {
        let held = hand.take(&mut chance).await?;
        // What was on its way arrives late, or never.
        let mode = if chance.percent(50) { Mode::Hold } else { Mode::Lose };
        hand.world.set_way(held.n, mode);
        let at = now();
        let runs = hand.in_flight(Some(held.n)).await;
        sleep(LEASE * 2 + Duration::from_millis(chance.below(3_000))).await;
        let left = hand.now(runs.as_deref().unwrap_or_default()).await;
        hand.world.set_way(held.n, Mode::Open);
        hand.note(Fault { kind: Kind::Cut, at, until: now(), runs, left });
        hand.back(&held).await;
    }
    Ok(())
}

/// Each swallows the answer to the next commit of some server.
async fn swallows(mut hand: Hand, mut chance: Rng) -> Result<(), String> {
    while hand.wait(500 + chance.below(2_500)).await {
        let n = chance.below(SERVERS as u64) as usize;
        let free = hand.free.lock().map_err(|e| e.to_string())?;
        // The way of one that is not free may be cut.
        if free.contains(&n) {
            hand.world.set_way(n, Mode::CutAnswer(WRITES));
        }
    }
    Ok(())
}

/// What time it is, as the histories have it.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
