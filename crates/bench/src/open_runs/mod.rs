//! How a server comes up over very many open runs that its predecessor left when it was killed: how soon it can be asked,
//! how soon a new run goes past those that wait, what all of it takes of memory, and whether too much is loaded at once.
//!
//! A process of its own starts the runs and is killed: a tenth of them are under way by then, the others wait in the queue.
//! What must hold is checked at any size; so a small one is a test.

mod server;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tutti_adapters_postgres::{Address, migrate};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::{DEFAULT_LIVE_RUNS, LOADS};
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::query::{RunCounts, RunQuery};
use tutti_core::ports::store::StoreError;
use tutti_core::run::RunStatus;
use tutti_core::workflow::Priority;
use tutti_engine::Residency;
use tutti_testkit::postgres::Database;

use crate::workloads;
use crate::world::{self, Kept, StoreKind};

use server::Server;

/// The runs: short ones.
const STEPS: &str = "- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}\n";

/// One run in so many is under way when the server is killed.
const UNDER_WAY: u64 = 10;

/// How long an agent takes; and one that is asked by the server that is to be killed.
const STEP: Duration = Duration::from_millis(10);
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// Callers that start runs while the store is filled.
const STARTERS: u64 = 256;

/// How often is looked how many runs are in memory, whether a new run has ended, and how often one is started.
const LOOK: Duration = Duration::from_millis(2);
const ASK: Duration = Duration::from_millis(10);
const EACH: Duration = Duration::from_secs(1);

/// Longest that a new run may take that goes before all others.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to measure.
pub struct Options {
    /// Open runs.
    runs: u64,
    /// Runs that the server keeps in memory at most.
    live: usize,
    /// Longest that it is watched.
    longest: Duration,
    stores: Vec<StoreKind>,
}

/// Reads what was typed.
pub fn options(args: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        runs: 100_000,
        live: DEFAULT_LIVE_RUNS,
        longest: Duration::from_secs(600),
        stores: vec![StoreKind::Postgres],
    };
    for pair in args.chunks(2) {
        let number = |text: &str| text.parse().map_err(|_| format!("{text} is not a whole number"));
        match pair {
            ["--runs", n] => options.runs = number(n)?,
            ["--live", n] => options.live = usize::try_from(number(n)?).map_err(|e| e.to_string())?,
            ["--seconds", n] => options.longest = Duration::from_secs(number(n)?),
            ["--store", kinds] => options.stores = kinds.split(',').map(str::parse).collect::<Result<_, _>>()?,
            _ => return Err("open-runs takes --runs N, --live N, --seconds N and --store sqlite,postgres".into()),
        }
    }
    Ok(options)
}

/// Measures and prints; an error if something does not hold.
pub async fn measure(options: &Options) -> Result<(), String> {
    for kind in &options.stores {
        let place = Place::new(*kind).await?;
        println!("{}: {} open runs, {} in memory at most", kind.name(), options.runs, options.live);
        let began = Instant::now();
        leave(&place, options.runs).await?;
        println!("  left by a server that was killed after {:.0} s", began.elapsed().as_secs_f64());
        Box::pin(take_up(&place, options)).await?;
    }
    Ok(())
}

/// The process that starts the runs. It says when it has, and goes on until it is killed.
pub async fn fill(store: &str, runs: &str) -> Result<(), String> {
    let runs: u64 = runs.parse().map_err(|_| format!("{runs} is not a whole number"))?;
    let under_way = usize::try_from(runs / UNDER_WAY).unwrap_or(usize::MAX).max(1);
    let residency = Residency { max_live: under_way, max_queued: u64::MAX, rest: FOR_EVER };
    let server = Arc::new(Server::start(store, FOR_EVER, residency).await?);
    let plan = workloads::plan(STEPS)?;
    let mut starters = JoinSet::new();
    for first in 0..STARTERS {
        let (server, plan) = (server.clone(), plan.clone());
        starters.spawn(async move {
            for _ in (first..runs).step_by(STARTERS as usize) {
                server.start_run(&plan, Priority::Normal).await?;
            }
            Ok::<_, String>(())
        });
    }
    while let Some(done) = starters.join_next().await {
        done.map_err(|e| e.to_string())??;
    }
    println!("filled");
    std::future::pending().await
}

/// Has a process fill the store, and kills it.
async fn leave(place: &Place, runs: u64) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(program);
    command.args(["open-runs", "fill", &place.store, &runs.to_string()]).kill_on_drop(true);
    let mut filler = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
    let (out, err) = (filler.stdout.take().ok_or("no output")?, filler.stderr.take().ok_or("no errors")?);
    let line = BufReader::new(out).lines().next_line().await.map_err(|e| e.to_string())?;
    filler.kill().await.map_err(|e| e.to_string())?;
    if line.as_deref() == Some("filled") {
        return Ok(());
    }
    let mut said = String::new();
    let _ = BufReader::new(err).read_to_string(&mut said).await;
    Err(format!("the store was not filled: {said}"))
}

/// Starts a server over what was left, watches it until everything has ended, and tells.
async fn take_up(place: &Place, options: &Options) -> Result<(), String> {
    let (before, began) = (world::most_memory_mb(), Instant::now());
    let residency = Residency { max_live: options.live, ..Residency::default() };
    let server = Arc::new(Server::start(&place.store, STEP, residency).await?);
    println!("  can be asked after       {:.2} s", began.elapsed().as_secs_f64());
    let (stop, stopped) = watch::channel(false);
    let most = tokio::spawn(most_in_memory(server.clone(), stopped.clone()));
    let newcomers = tokio::spawn(newcomers(server.clone(), stopped));
    let left = counted(&*server.query).await?;
    println!("  found                    {}", told(&left));

    let ended = || server.seen.ended.load(Ordering::Relaxed);
    let all = || options.runs + server.seen.new.load(Ordering::Relaxed);
    while ended() < all() && began.elapsed() < options.longest {
        sleep(LOOK).await;
    }
    let (took, done, claims) = (began.elapsed().as_secs_f64(), ended(), server.seen.claims.load(Ordering::Relaxed));
    let _ = stop.send(true);
    let (most, times) = (most.await.map_err(|e| e.to_string())?, newcomers.await.map_err(|e| e.to_string())??);
    let at_once = server.seen.most_claiming.load(Ordering::Relaxed);
    println!("  ended                    {done} after {took:.1} s: {:.0}/s", done as f64 / took);
    println!("  claims                   {:.0}/s, {at_once} at once at most", claims as f64 / took);
    let longest = server.seen.longest_commit.load(Ordering::Relaxed);
    println!(
        "  longest commit           {longest} ms; {} were not answered",
        server.seen.unanswered.load(Ordering::Relaxed)
    );
    println!("  in memory                {most} runs at most");
    println!("  memory of the process    {} at most, {} before", megabytes(world::most_memory_mb()), megabytes(before));
    times.print();
    let new = server.seen.new.load(Ordering::Relaxed);
    if let Some(server) = Arc::into_inner(server) {
        let query = server.query.clone();
        server.stop().await;
        let at_end = counted(&*query).await?;
        println!("  at the end               {}", told(&at_end));
        check(options, done, (&left, &at_end, new), (most, at_once), &times)?;
    }
    Ok(())
}

/// What must hold, whatever the size.
fn check(
    options: &Options,
    done: u64,
    (left, at_end, new): (&RunCounts, &RunCounts, u64),
    (most, at_once): (usize, usize),
    times: &Times,
) -> Result<(), String> {
    let sum = |counts: &RunCounts| counts.values().sum::<u64>();
    let of = |status| at_end.get(&status).copied().unwrap_or_default();
    let under_way = left.get(&RunStatus::Running).copied().unwrap_or_default();
    let bound = options.live + LOADS;
    let wrong = [
        (under_way < options.runs / UNDER_WAY, "fewer runs were under way than should have been"),
        (sum(left) < options.runs, "runs are lost that were acknowledged"),
        (sum(at_end) != options.runs + new, "runs are lost, or there are more than were started"),
        (of(RunStatus::Failed) + of(RunStatus::Quarantined) > 0, "runs failed"),
        (done == options.runs + new && of(RunStatus::Completed) != done, "not all are complete"),
        (most > bound, "more runs were in memory than may be"),
        (at_once > LOADS, "more runs were claimed at once than may be"),
        (times.open_then == 0, "a new run waited for all others"),
    ];
    let wrong: Vec<&str> = wrong.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// The most runs in memory.
async fn most_in_memory(server: Arc<Server>, stopped: watch::Receiver<bool>) -> usize {
    let mut most = 0;
    while !*stopped.borrow() {
        most = most.max(server.engine.live_runs());
        sleep(LOOK).await;
    }
    most
}

/// How long new runs take that go before those that wait.
#[derive(Default)]
struct Times {
    /// Until each was acknowledged, and until it had ended.
    each: Vec<(Duration, Duration)>,
    /// Runs of before that were open when the first of them had ended.
    open_then: u64,
}

impl Times {
    fn print(&self) {
        let millis = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
        let Some((accepted, ended)) = self.each.first().copied() else { return };
        println!("  a new run at once        taken after {}, ended after {}", millis(accepted), millis(ended));
        let mut ends: Vec<Duration> = self.each.iter().map(|(_, ended)| *ended).collect();
        ends.sort_unstable();
        let (median, longest) = (ends[ends.len() / 2], ends[ends.len() - 1]);
        println!("  {:>4} new runs, 1/s        median {}, longest {}", ends.len(), millis(median), millis(longest));
    }
}

/// Starts a new run at once, and then one each second, one after the other.
async fn newcomers(server: Arc<Server>, stopped: watch::Receiver<bool>) -> Result<Times, String> {
    let (plan, mut times) = (workloads::plan(STEPS)?, Times::default());
    while !*stopped.borrow() || times.each.is_empty() {
        let began = Instant::now();
        let run = server.start_run(&plan, Priority::High).await?;
        server.seen.new.fetch_add(1, Ordering::Relaxed);
        let accepted = began.elapsed();
        while !has_ended(&server, run).await? {
            if began.elapsed() > PATIENCE {
                return Err(format!("new run {run} did not end in {} s", PATIENCE.as_secs()));
            }
            sleep(ASK).await;
        }
        times.each.push((accepted, began.elapsed()));
        if times.each.len() == 1 {
            let counts = counted(&*server.query).await?;
            times.open_then = counts.iter().filter(|(status, _)| !status.is_ended()).map(|(_, count)| count).sum();
        }
        while !*stopped.borrow() && began.elapsed() < EACH {
            sleep(ASK).await;
        }
    }
    Ok(times)
}

async fn has_ended(server: &Server, run: RunId) -> Result<bool, String> {
    let found = server.query.find(&Namespace::default(), run).await.map_err(|e| e.to_string())?;
    Ok(found.is_some_and(|summary| summary.status.is_ended()))
}

fn megabytes(memory: Option<f64>) -> String {
    memory.map_or_else(|| "an unknown amount".to_owned(), |mb| format!("{mb:.0} MB"))
}

async fn counted(query: &dyn RunQuery) -> Result<RunCounts, String> {
    query.count(&Namespace::default(), &RunFilter::default()).await.map_err(|e| e.to_string())
}

fn told(counts: &RunCounts) -> String {
    let each = counts.iter().map(|(status, count)| format!("{count} {}", status.as_str()));
    each.collect::<Vec<_>>().join(", ")
}

/// Where a store is that outlives the servers over it.
struct Place {
    store: String,
    _kept: Kept,
}

impl Place {
    async fn new(kind: StoreKind) -> Result<Self, String> {
        match kind {
            StoreKind::Memory => Err("a store in memory is not left by anybody".into()),
            StoreKind::Sqlite => {
                let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
                let store = folder.path().join("bench.db").display().to_string();
                Ok(Self { store, _kept: Kept::Folder(folder) })
            }
            StoreKind::Postgres => {
                let database = Database::fresh_in(&world::server());
                let address: Address = database.url().parse().map_err(|e: StoreError| e.to_string())?;
                migrate(&address).await.map_err(|e| e.to_string())?;
                Ok(Self { store: database.url(), _kept: Kept::Database(database) })
            }
        }
    }
}
