//! What goes wrong, and when.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tutti_testkit::sim::Rng;

use super::Line;
use super::world::{LEASE, SERVERS, World};

/// Something that happened to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A server was killed.
    Kill,
    /// One was started where it was.
    Start,
    /// The database went away.
    Away,
    /// It came back.
    Back,
    /// A server was stopped.
    Freeze,
    /// It went on.
    Thaw,
}

/// When.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Microseconds since 1970, as the histories have them.
    pub at: i64,
    /// What.
    pub kind: Kind,
}

/// Runs that a killed server had: their ids with their last event.
#[derive(Debug, Clone)]
pub struct Orphans {
    /// The server's death.
    pub at: i64,
    /// The runs.
    pub runs: Vec<(String, u64)>,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Log {
    /// In the order of time.
    pub moments: Vec<Moment>,
    /// For each kill at which the database told.
    pub orphans: Vec<Orphans>,
}

/// Faults under way.
pub struct Faults {
    tasks: JoinSet<Result<(), String>>,
    log: Arc<Mutex<Log>>,
}

/// What every kind of fault needs.
#[derive(Clone)]
struct Hand {
    world: Arc<World>,
    log: Arc<Mutex<Log>>,
    stopped: watch::Receiver<bool>,
    /// Each server is held by whoever does something to it.
    held: Arc<Vec<AsyncMutex<()>>>,
}

impl Faults {
    /// Lets them begin.
    pub fn start(world: &Arc<World>, seed: u64, stopped: &watch::Receiver<bool>) -> Self {
        let log = Arc::<Mutex<Log>>::default();
        let held = Arc::new((0..SERVERS).map(|_| AsyncMutex::new(())).collect());
        let hand = Hand { world: world.clone(), log: log.clone(), stopped: stopped.clone(), held };
        let mut tasks = JoinSet::new();
        tasks.spawn(kills(hand.clone(), Rng::new(seed ^ 0x11)));
        tasks.spawn(restarts(hand.clone(), Rng::new(seed ^ 0x22)));
        tasks.spawn(freezes(hand, Rng::new(seed ^ 0x33)));
        Self { tasks, log }
    }

    /// Waits for the last ones.
    pub async fn end(mut self) -> Result<Log, String> {
        while let Some(done) = self.tasks.join_next().await {
            done.map_err(|e| e.to_string())??;
        }
        let mut log = std::mem::take(&mut *self.log.lock().map_err(|e| e.to_string())?);
        log.moments.sort_by_key(|moment| moment.at);
        Ok(log)
    }
}

impl Log {
    /// How often each fault came.
    pub fn lines(&self) -> Vec<Line> {
        let of = |kind| self.moments.iter().filter(|moment| moment.kind == kind).count();
        [
            ("servers killed (SIGKILL)", Kind::Kill),
            ("database restarts (immediate)", Kind::Away),
            ("servers stopped for 3 leases (SIGSTOP, SIGCONT)", Kind::Thaw),
        ]
        .map(|(what, kind)| Line::check(what, of(kind).to_string(), of(kind) > 0))
        .into()
    }
}

impl Hand {
    /// Waits so long; false if it is over.
    async fn wait(&mut self, millis: u64) -> bool {
        timeout(Duration::from_millis(millis), self.stopped.wait_for(|over| *over)).await.is_err()
    }

    fn note(&self, kind: Kind) -> i64 {
        let at = now();
        if let Ok(mut log) = self.log.lock() {
            log.moments.push(Moment { at, kind });
        }
        at
    }
}

async fn kills(mut hand: Hand, mut chance: Rng) -> Result<(), String> {
    let mut starts = JoinSet::new();
    while hand.wait(1_000 + chance.below(4_000)).await {
        let n = chance.below(SERVERS as u64) as usize;
        let dead = if chance.percent(50) { chance.below(300) } else { 1_500 + chance.below(2_000) };
        let mut hand = hand.clone();
        // Started again by a task of its own, so that two can be dead at once.
        starts.spawn(async move {
            let held = hand.held.clone();
            let Ok(_held) = held[n].try_lock() else { return Ok(()) };
            if hand.world.kill(n).await? {
                let at = hand.note(Kind::Kill);
                if let Ok(runs) = orphans(&hand.world, n).await
                    && let Ok(mut log) = hand.log.lock()
                {
                    log.orphans.push(Orphans { at, runs });
                }
            }
            hand.wait(dead).await;
            hand.world.start_server(n).await?;
            hand.note(Kind::Start);
            Ok::<_, String>(())
        });
    }
    while let Some(done) = starts.join_next().await {
        done.map_err(|e| e.to_string())??;
    }
    Ok(())
}

async fn restarts(mut hand: Hand, mut chance: Rng) -> Result<(), String> {
    // The first one soon, so that a short look has one, too.
    let mut longest = 8_000;
    while hand.wait(5_000 + chance.below(longest)).await {
        longest = 35_000;
        let away = if chance.percent(50) { 0 } else { chance.below(2_000) };
        hand.note(Kind::Away);
        hand.world.restart_database(Duration::from_millis(away)).await?;
        hand.note(Kind::Back);
    }
    Ok(())
}

async fn freezes(mut hand: Hand, mut chance: Rng) -> Result<(), String> {
    while hand.wait(1_000 + chance.below(5_000)).await {
        let n = chance.below(SERVERS as u64) as usize;
        let held = hand.held.clone();
        let Ok(_held) = held[n].try_lock() else { continue };
        if hand.world.signal(n, Signal::STOP).await? {
            hand.note(Kind::Freeze);
            // To its end in any case: nobody is left standing.
            tokio::time::sleep(LEASE * 3).await;
            hand.world.signal(n, Signal::CONT).await?;
            hand.note(Kind::Thaw);
        }
    }
    Ok(())
}

/// The open runs of a server that is dead: those that could move by themselves.
async fn orphans(world: &World, n: usize) -> Result<Vec<(String, u64)>, String> {
    let statement = format!(
        "SELECT r.run_id, r.last_seq FROM run r JOIN slot s ON s.slot = r.slot JOIN run_view v ON v.run_id = r.run_id
         WHERE s.server = '{}' AND r.wake_at = 0 AND v.status IN ('pending', 'running')",
        world.id(n)
    );
    let rows = world.sql(statement).await?;
    let row = |row: &str| {
        let (run, seq) = row.split_once('|')?;
        Some((run.to_owned(), seq.parse().ok()?))
    };
    Ok(rows.lines().filter_map(row).collect())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
