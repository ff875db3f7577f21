//! A rolling upgrade: two servers of one database are replaced one after another by those of a newer version, back by the
//! older one, and forth again, while callers go on. Whatever is promised of one version must hold of two.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tutti_api::v1::StartRunRequest;
use tutti_api::v1::start_run_request::Source;
use tutti_core::limits::SLOTS;
use uuid::Uuid;

use super::faults::now;
use super::line::{Line, print};
use super::load::Load;
use super::world::{World, answer, built, request};
use super::{END, check};

/// The versions, as indexes of the programs.
const OLD: usize = 0;
const NEW: usize = 1;

/// How many callers start runs.
const STARTERS: u64 = 3;

/// How long callers have each arrangement of servers.
const SPAN: Duration = Duration::from_secs(3);

/// Longest that a server may take for its share of the runs, and a run to go on elsewhere.
const SETTLED: Duration = Duration::from_secs(15);

/// A format that no reader has.
const FUTURE: u16 = 30_000;

/// What to compare.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program of the older version.
    pub old: PathBuf,
    /// What chance follows from.
    pub seed: u64,
}

/// How a server ends that is replaced.
#[derive(Debug, Clone, Copy)]
enum End {
    Stopped,
    Killed,
}

/// Runs that went on at a server of another version: how many went from which version to which.
type Moved = Vec<((usize, usize), usize)>;

/// Upgrades, goes back and upgrades again, and tells what was seen.
pub async fn run(options: Options) -> Result<(), String> {
    let world = Arc::new(World::start(&[options.old.clone(), built()?], 2).await?);
    println!("seed {}", options.seed);
    let outcome = upgrade(&world, options.seed).await;
    if outcome.is_err() {
        world.keep_logs();
    }
    outcome
}

async fn upgrade(world: &Arc<World>, seed: u64) -> Result<(), String> {
    for (what, version) in [("old", OLD), ("new", NEW)] {
        println!("{what}: {}", text(&world.tutti_of(version, &["version"]).await?)?);
    }
    let (stop, stopped) = watch::channel(false);
    let load = Load::start(world, STARTERS, seed, &stopped);
    let mut moved = Moved::new();
    let rolled = roll(world, &mut moved).await;
    let _ = stop.send(true);
    let (mut lines, back) = rolled?;
    let seen = load.end().await?;
    let left = check::wait_for_ends(world, END).await?;
    let posted: u64 = number(world, "SELECT count(*) FROM inbox_outcome").await?;
    lines.extend(across(&moved, back));
    let of = |version| seen.answered.get(&version).copied().unwrap_or_default();
    for (what, version) in [("requests that old servers answered", OLD), ("requests that new servers answered", NEW)] {
        lines.push(Line::some(what, &of(version), of(version) > 0));
    }
    lines.push(Line::some("commands that went by the inbox", &posted, posted > 0));
    lines.extend(check::lines(world, &seen, None, &left).await?);
    lines.extend(seen.lines());
    lines.push(newer(world, if back { OLD } else { NEW }).await?);
    lines.extend(world.lines());
    print(&lines);
    match lines.iter().filter(|line| !line.holds()).count() {
        0 => Ok(()),
        wrong => Err(format!("{wrong} promises do not hold; repeat it by --seed {seed}")),
    }
}

/// Old, old; old, new; new, new; and back; and forth again. Gives what was seen, and whether the older version goes on when the
/// tables are the newer one's.
async fn roll(world: &World, moved: &mut Moved) -> Result<(Vec<Line>, bool), String> {
    sleep(SPAN).await;
    let before: usize = number(world, "SELECT count(*) FROM tutti_migration").await?;
    // While servers of the older version have the database.
    text(&world.tutti_of(NEW, &["migrate"]).await?)?;
    let after: usize = number(world, "SELECT count(*) FROM tutti_migration").await?;
    sleep(SPAN).await;
    let (works, line) = back(world, before, after).await?;
    let mut lines = vec![Line::any("tables before / after", &format!("{before} / {after}")), line];
    moved.push(replace(world, 1, NEW, End::Stopped).await?);
    lines.push(commands(world).await?);
    moved.push(replace(world, 0, NEW, End::Stopped).await?);
    if works {
        for (version, end) in [(OLD, End::Killed), (NEW, End::Stopped)] {
            for n in [1, 0] {
                moved.push(replace(world, n, version, end).await?);
            }
        }
    }
    Ok((lines, works))
}

/// Asks each server by commands of each version.
async fn commands(world: &World) -> Result<Line, String> {
    let mut wrong = Vec::new();
    for (server, version) in [(0, OLD), (0, NEW), (1, OLD), (1, NEW)] {
        for command in [&["list"][..], &["get", "latest", "-o", "json"], &["list", "--count"], &["doctor"]] {
            let done = world.tutti_at(version, server, command).await?;
            if let Err(error) = text(&done) {
                wrong.push(format!("{} of version {version} at {}: {error}", command.join(" "), world.id(server)));
            }
        }
    }
    Ok(Line::none("commands of old or new that old or new servers refuse", &wrong))
}

/// Asks the older version to use the newer tables. It must do so if they say that it can, and else say why it does not.
async fn back(world: &World, before: usize, after: usize) -> Result<(bool, Line), String> {
    let asked = world.tutti_of(OLD, &["list"]).await?;
    let works = asked.status.success();
    let told = String::from_utf8_lossy(&asked.stderr).into_owned();
    let compatible = before == after || {
        let states = "SELECT to_regclass('compatibility') IS NOT NULL";
        let oldest = "SELECT oldest FROM compatibility";
        world.sql(states.into()).await? == "t" && number::<usize>(world, oldest).await? <= before
    };
    let what = "the old version on the new tables";
    let line = match (works, compatible) {
        (true, _) => Line::any(what, &"works"),
        (false, false) if told.contains("version") => Line::any(what, &"says that it cannot"),
        (false, _) => Line::none(what, &[told]),
    };
    Ok((works, line))
}

/// Replaces a server by one of a version; when this returns, it has its share. Gives how many of its runs went on at the other
/// server meanwhile.
async fn replace(world: &World, n: usize, version: usize, end: End) -> Result<((usize, usize), usize), String> {
    let (from, other) = (world.version(n), 1 - n);
    let runs = in_flight(world, n).await?;
    match end {
        End::Stopped => world.stop(n).await?,
        End::Killed => drop(world.kill(n).await?),
    }
    let held = |server: usize| format!("SELECT count(*) FROM slot WHERE server = '{}'", world.id(server));
    until(world, "the other server has all runs", &held(other), |slots: u16| slots == SLOTS).await?;
    let list = runs.iter().map(|(run, seq)| format!("('{run}'::uuid, {seq})")).collect::<Vec<_>>().join(", ");
    let mut went = 0;
    if !runs.is_empty() {
        let on = format!(
            "SELECT count(*) FROM (VALUES {list}) AS t (run, seq)
             WHERE EXISTS (SELECT FROM event e WHERE e.run_id = t.run AND e.seq > t.seq)"
        );
        until(world, "a run goes on at the other server", &on, |count: usize| count > 0).await?;
        went = number(world, &on).await?;
    }
    world.set_version(n, version);
    world.start_server(n).await?;
    until(world, "the server has its share", &held(n), |slots: u16| slots == SLOTS / 2).await?;
    sleep(SPAN).await;
    Ok(((from, world.version(other)), went))
}

fn across(moved: &Moved, back: bool) -> Vec<Line> {
    let of = |way| moved.iter().filter(|(went, _)| *went == way).map(|(_, count)| count).sum::<usize>();
    let mut lines = vec![Line::some("runs that went on from old to new", &of((OLD, NEW)), of((OLD, NEW)) > 0)];
    if back {
        lines.push(Line::some("runs that went on from new to old", &of((NEW, OLD)), of((NEW, OLD)) > 0));
    }
    lines
}

/// A run that only a version to come reads is left alone by servers of both versions, and goes on when it can be read.
async fn newer(world: &World, other: usize) -> Result<Line, String> {
    let run = start(world, 60).await?;
    for n in 0..world.servers() {
        world.kill(n).await?;
    }
    let guard = format!("SELECT epoch || '/' || claims || '/' || last_seq FROM run WHERE run_id = '{run}'");
    let needs: u16 = number(world, &format!("SELECT min_reader FROM run WHERE run_id = '{run}'")).await?;
    let set = |needs: u16| format!("UPDATE run SET min_reader = {needs} WHERE run_id = '{run}'");
    world.sql(set(FUTURE)).await?;
    let before = world.sql(guard.clone()).await?;
    world.set_version(0, other);
    for n in 0..world.servers() {
        world.start_server(n).await?;
    }
    // They drive other runs meanwhile, of every part of the database.
    for _ in 0..8 {
        let another = start(world, 1).await?;
        until(world, "another run ends", &ended(&another), |ended: u8| ended == 1).await?;
    }
    sleep(SPAN).await;
    let after = world.sql(guard).await?;
    world.sql(set(needs)).await?;
    let what = "a run that needs a newer reader";
    if before != after {
        let why = format!("it was taken over: epoch/claims/last event were {before} and are {after}");
        return Ok(Line::none(what, &[why]));
    }
    // A server that starts looks for its runs.
    for n in 0..world.servers() {
        world.stop(n).await?;
        world.start_server(n).await?;
    }
    until(world, "the run goes on when it can be read", &ended(&run), |ended: u8| ended == 1).await?;
    Ok(Line::any(what, &"left alone, then done"))
}

/// The open runs of a server, which could move by themselves, with their last events.
async fn in_flight(world: &World, n: usize) -> Result<Vec<(String, u64)>, String> {
    let statement = format!(
        "SELECT r.run_id, r.last_seq FROM run r JOIN slot s USING (slot) JOIN run_view v USING (run_id)
         WHERE r.wake_at = 0 AND v.status IN ('pending', 'running') AND s.server = '{}'",
        world.id(n)
    );
    let rows = world.sql(statement).await?;
    let row = |row: &str| {
        let (run, seq) = row.split_once('|')?;
        Some((run.to_owned(), seq.parse().ok()?))
    };
    Ok(rows.lines().filter_map(row).collect())
}

fn ended(run: &str) -> String {
    format!("SELECT count(*) FROM run_view WHERE run_id = '{run}' AND status = 'completed'")
}

/// Starts a chain of steps at whichever server takes it.
async fn start(world: &World, steps: usize) -> Result<String, String> {
    let chain: String = (0..steps)
        .map(|n| {
            let on = n.checked_sub(1).map_or_else(String::new, |before| format!("s{before}"));
            format!("- {{id: s{n}, capability: log.count, input: {{lines: lines}}, depends_on: [{on}]}}\n")
        })
        .collect();
    let message = StartRunRequest {
        request_id: Uuid::from_u128(now().unsigned_abs().into()).to_string(),
        source: Some(Source::Workflow(format!(
            "id: upgrade\nexecutor: basic\ninputs: {{lines: {{default: [a INFO b]}}}}\nsteps:\n{chain}"
        ))),
        ..StartRunRequest::default()
    };
    let deadline = Instant::now() + SETTLED;
    for n in (0..world.servers()).cycle() {
        match answer(world.client(n).start_run(request(message.clone()))).await {
            Ok(started) => return Ok(started.run_id),
            Err(status) if Instant::now() > deadline => return Err(status.to_string()),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    Err("there is no server".to_owned())
}

async fn until<T: std::str::FromStr>(
    world: &World,
    what: &str,
    statement: &str,
    is_so: impl Fn(T) -> bool,
) -> Result<(), String> {
    let deadline = Instant::now() + SETTLED;
    while !is_so(number(world, statement).await?) {
        if Instant::now() > deadline {
            return Err(format!("not within {} s: {what}", SETTLED.as_secs()));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn number<T: std::str::FromStr>(world: &World, statement: &str) -> Result<T, String> {
    let told = world.sql(statement.to_owned()).await?;
    told.parse().map_err(|_| format!("{statement}: {told}"))
}

fn text(done: &Output) -> Result<String, String> {
    let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() { Ok(of(&done.stdout)) } else { Err(of(&done.stderr)) }
}
