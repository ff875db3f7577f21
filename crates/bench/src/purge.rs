//! How runs that have ended are removed from a large store, and what commits of live runs beside it notice.
//!
//! A store is filled with runs that ended long ago. Then a few live runs commit as fast as answers come: for a while alone,
//! beside a purge that somebody waits for, and beside one by rule, which rests. The rest goes at full speed. Then some
//! runs are created anew, to see whether the room is used again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tutti_adapters_postgres::{Address, Postgres, migrate};
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ids::Namespace;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::retention::{Housekeeping as _, Keep, PurgeRequest};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::records::RecordStore;
use tutti_core::ports::retention::Retention;
use tutti_core::ports::store::{CommitOutcome, EncodedEvent, NewRun, RunStore, StoreError, Wake};
use tutti_core::run::RunStatus;
use tutti_core::time::{Span, Timestamp};
use tutti_engine::RetentionService;
use tutti_testkit::given::{commit, event, new_run};
use tutti_testkit::postgres::Database;

use crate::world::{self, StoreKind, WallClock};

/// Events of a run, and bytes in the body of each.
const EVENTS: u64 = 20;
const BODY: usize = 200;

/// One run in so many has a payload, of so many bytes.
const PAYLOAD_EVERY: u64 = 50;
const PAYLOAD: usize = 16 * 1024;

/// Runs that commit meanwhile, and events of each commit.
const LIVE: u64 = 8;
const LIVE_EVENTS: u64 = 2;

/// Creations under way at once while a store is filled.
const FILLERS: u64 = 256;

/// A store that was emptied gets so many times fewer runs anew.
const AGAIN: u64 = 5;

/// How long each phase is measured.
const PHASE: Duration = Duration::from_secs(20);

/// What to measure.
pub struct Options {
    events: u64,
    stores: Vec<StoreKind>,
}

/// Reads what was typed.
pub fn options(args: &[&str]) -> Result<Options, String> {
    let mut options = Options { events: 5_000_000, stores: vec![StoreKind::Sqlite, StoreKind::Postgres] };
    for pair in args.chunks(2) {
        match pair {
            ["--events", n] => options.events = n.parse().map_err(|_| format!("{n} is not a whole number"))?,
            ["--store", kinds] => options.stores = kinds.split(',').map(str::parse).collect::<Result<_, _>>()?,
            _ => return Err("purge takes --events N and --store sqlite,postgres".into()),
        }
    }
    Ok(options)
}

/// Measures and prints.
pub async fn measure(options: &Options) -> Result<(), String> {
    for kind in &options.stores {
        let place = Place::open(*kind).await?;
        let runs = (options.events / EVENTS).max(1);
        println!("{}: {} events in {runs} runs", kind.name(), runs * EVENTS);
        Box::pin(measure_one(&place, runs)).await?;
    }
    Ok(())
}

async fn measure_one(place: &Place, runs: u64) -> Result<(), String> {
    let begun = Instant::now();
    place.fill(0, runs).await?;
    let took = begun.elapsed();
    println!("  filled in {:.0} s: {}", took.as_secs_f64(), size(place.bytes()));
    let full = place.bytes();
    let load = Live::begin(place).await?;
    let alone = load.during(tokio::time::sleep(PHASE)).await;
    println!("  live commits alone        {}", alone.told(None));

    let counted = Arc::new(AtomicU64::new(0));
    let house = place.house(counted.clone());
    for (name, by_rule) in [("purge by command", false), ("purge by rule", true)] {
        let (before, begun) = (counted.load(Ordering::Relaxed), Instant::now());
        let purging = async {
            // The phase may end before all is gone, and all may be gone before the phase ends.
            let _ = timeout(PHASE, purge(&house, by_rule)).await;
        };
        let beside = load.during(purging).await;
        let rate = (counted.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
        println!("  {name:<16} {rate:>8.0} events/s; live commits beside it {}", beside.told(Some(&alone)));
    }
    load.stop().await?;
    let (before, begun) = (counted.load(Ordering::Relaxed), Instant::now());
    purge(&house, false).await?;
    let removed = counted.load(Ordering::Relaxed) - before;
    println!("  alone            {:>8.0} events/s, {removed} events", removed as f64 / begun.elapsed().as_secs_f64());
    house.sweep().await.map_err(|e| e.to_string())?;
    place.tidy();
    println!("  after it: {}", size(place.bytes()));
    place.fill(runs, runs / AGAIN).await?;
    let again = place.bytes();
    println!("  filled to 1/{AGAIN} anew: {}, {:.2} of what it was when full", size(again), again as f64 / full as f64);
    Ok(())
}

/// Purges until nothing is left.
async fn purge(house: &RetentionService, by_rule: bool) -> Result<(), String> {
    if by_rule {
        return house.apply_rules().await.map_err(|e| e.to_string());
    }
    let mut before = None;
    loop {
        let request = PurgeRequest {
            namespace: Namespace::default(),
            filter: RunFilter::default(),
            ended_before: Timestamp::from_micros(1_750_000_000_000_000),
            before,
            limit: 0,
            dry_run: false,
        };
        let page = house.purge(request).await.map_err(|e| e.to_string())?;
        before = page.next;
        if before.is_none() {
            return Ok(());
        }
    }
}

/// A store, and where it is.
struct Place {
    runs: Arc<dyn RunStore>,
    query: Arc<dyn RunQuery>,
    payloads: Arc<dyn PayloadStore>,
    records: Arc<dyn RecordStore>,
    retention: Arc<dyn Retention>,
    at: At,
}

enum At {
    File(PathBuf, #[expect(dead_code, reason = "dropped")] tempfile::TempDir),
    Database(Database),
}

impl Place {
    async fn open(kind: StoreKind) -> Result<Self, String> {
        match kind {
            StoreKind::Memory => Err("a store in memory is not measured here".into()),
            StoreKind::Sqlite => {
                let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
                let path = folder.path().join("bench.db");
                let store = Sqlite::open(&path, OpenMode::Engine).map_err(|e| e.to_string())?;
                Ok(Self::of(store, At::File(path, folder)))
            }
            StoreKind::Postgres => {
                let database = Database::fresh_in(&world::server());
                let address: Address = database.url().parse().map_err(|e: StoreError| e.to_string())?;
                migrate(&address).await.map_err(|e| e.to_string())?;
                let mode = tutti_adapters_postgres::OpenMode::Engine;
                let store = Postgres::open(&address, mode).await.map_err(|e| e.to_string())?;
                Ok(Self::of(store, At::Database(database)))
            }
        }
    }

    fn of<S: RunStore + RunQuery + PayloadStore + RecordStore + Retention + 'static>(store: S, at: At) -> Self {
        let store = Arc::new(store);
        Self {
            runs: store.clone(),
            query: store.clone(),
            payloads: store.clone(),
            records: store.clone(),
            retention: store,
            at,
        }
    }

    /// What removes runs that ended a minute ago, and counts their events.
    fn house(&self, counted: Arc<AtomicU64>) -> RetentionService {
        let reading = (self.query.clone(), self.records.clone());
        let keep = Keep::For(Span(Duration::from_secs(60)));
        let clock = Arc::new(WallClock::default());
        RetentionService::new(self.retention.clone(), reading, clock, keep, move |removed| {
            counted.fetch_add(removed.events, Ordering::Relaxed);
        })
    }

    /// Creates so many runs that have ended, from a number on.
    async fn fill(&self, from: u64, count: u64) -> Result<(), String> {
        let mut fillers = JoinSet::new();
        for first in 0..FILLERS {
            let (runs, payloads) = (self.runs.clone(), self.payloads.clone());
            fillers.spawn(async move {
                for n in (from + first..from + count).step_by(FILLERS as usize) {
                    let new = ended(n);
                    if n.is_multiple_of(PAYLOAD_EVERY) {
                        let bytes = Bytes::from(n.to_string().repeat(PAYLOAD).into_bytes()).slice(..PAYLOAD);
                        payloads.put(new.run, bytes).await?;
                    }
                    runs.create(new).await?;
                }
                Ok::<_, StoreError>(())
            });
        }
        while let Some(done) = fillers.join_next().await {
            done.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// What takes place sooner or later by itself.
    fn tidy(&self) {
        if let At::Database(database) = &self.at {
            database.sql("VACUUM");
        }
    }

    /// Bytes on the disk, logs aside.
    fn bytes(&self) -> u64 {
        match &self.at {
            At::File(path, _) => std::fs::metadata(path).map_or(0, |file| file.len()),
            At::Database(database) => {
                database.sql("SELECT pg_database_size(current_database())").trim().parse().unwrap_or(0)
            }
        }
    }
}

/// A run that ended long ago, created with its whole history.
fn ended(n: u64) -> NewRun {
    let mut new = new_run(n);
    let body = format!("\0\0\0{{\"run\":{n},\"text\":\"{}\"}}", "x".repeat(BODY));
    let blob = Bytes::from(body);
    new.events = (1..=EVENTS).map(|seq| EncodedEvent { blob: blob.clone(), ..event(seq) }).collect();
    new.summary.status = RunStatus::Completed;
    new.summary.ended_at = Some(new.summary.updated_at);
    new.wake = Wake::Never;
    new
}

/// Runs that commit as fast as answers come.
struct Live {
    stop: Arc<AtomicBool>,
    times: tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<Duration>>,
    tasks: JoinSet<Result<(), String>>,
}

impl Live {
    async fn begin(place: &Place) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, times) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for n in 0..LIVE {
            let new = new_run(u64::from(u32::MAX) + n);
            let (run, mut last) = (new.run, new.events.len() as u64);
            place.runs.create(new).await.map_err(|e| e.to_string())?;
            let (store, stop, tell) = (place.runs.clone(), stop.clone(), tell.clone());
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let next = commit(run, 1, last, LIVE_EVENTS);
                    let begun = Instant::now();
                    let done = store.commit(vec![next]).await.map_err(|e| e.to_string())?;
                    if done != [CommitOutcome::Committed] {
                        return Err(format!("a commit of live run {run} was refused"));
                    }
                    last += LIVE_EVENTS;
                    let _ = tell.send(begun.elapsed());
                }
                Ok(())
            });
        }
        Ok(Self { stop, times: times.into(), tasks })
    }

    /// How long commits took while something else was done.
    async fn during(&self, other: impl Future<Output = ()>) -> Times {
        let mut times = self.times.lock().await;
        while times.try_recv().is_ok() {}
        let begun = Instant::now();
        other.await;
        let span = begun.elapsed();
        let mut taken = Vec::new();
        while let Ok(time) = times.try_recv() {
            taken.push(time);
        }
        taken.sort_unstable();
        Times { taken, span }
    }

    async fn stop(mut self) -> Result<(), String> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.tasks.join_next().await {
            done.map_err(|e| e.to_string())??;
        }
        Ok(())
    }
}

/// How long commits took, in order.
struct Times {
    taken: Vec<Duration>,
    span: Duration,
}

impl Times {
    fn rate(&self) -> f64 {
        self.taken.len() as f64 / self.span.as_secs_f64()
    }

    fn millis(&self, percent: usize) -> f64 {
        let at = (self.taken.len() * percent / 100).min(self.taken.len().saturating_sub(1));
        self.taken.get(at).map_or(f64::NAN, Duration::as_secs_f64) * 1_000.0
    }

    /// In words, with how many times as long as others.
    fn told(&self, others: Option<&Self>) -> String {
        let (rate, p50, p99) = (self.rate(), self.millis(50), self.millis(99));
        let times = others.map_or_else(String::new, |others| {
            format!(
                ": {:.2} of the rate, p50 x {:.2}, p99 x {:.2}",
                rate / others.rate(),
                p50 / others.millis(50),
                p99 / others.millis(99)
            )
        });
        format!("{rate:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms{times}")
    }
}

fn size(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}
