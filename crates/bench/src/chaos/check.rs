//! What must hold when everything has ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::faults::Log;
use super::line::Line;
use super::load::Seen;
use super::recovery;
use super::world::{World, told};

/// An event as the documented view shows it.
pub struct Event {
    /// Its number in the run.
    pub seq: u64,
    /// When it became durable, in microseconds since 1970.
    pub at: i64,
    /// The claim that wrote it.
    pub epoch: u64,
    /// Its kind.
    pub name: String,
    /// What it says.
    pub body: Value,
}

/// Runs with their events.
pub type Histories = BTreeMap<String, Vec<Event>>;

/// Waits until every run has ended: those that have not when the time is over.
pub async fn wait_for_ends(world: &World, longest: Duration) -> Result<Vec<String>, String> {
    let deadline = Instant::now() + longest;
    loop {
        let open = "SELECT v.run_id, v.status, r.slot, s.server, r.last_seq, r.wake_at, r.epoch, r.claims FROM run r
            JOIN run_view v USING (run_id) JOIN slot s USING (slot) WHERE r.wake_at IS DISTINCT FROM -1";
        let open: Vec<String> = world.sql(open.into()).await?.lines().map(str::to_owned).collect();
        if open.is_empty() || Instant::now() > deadline {
            return Ok(open);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Everything that is promised; what holds under faults, if there were any.
pub async fn lines(world: &World, seen: &Seen, faults: Option<&Log>, left: &[String]) -> Result<Vec<Line>, String> {
    let histories = histories(world).await?;
    write(world, seen, faults, &histories)?;
    let events: usize = histories.values().map(Vec::len).sum();
    let mut lines = vec![
        Line::any("runs / events in the database", &format!("{} / {events}", histories.len())),
        Line::none("runs that did not end", left),
        Line::none("acknowledged starts that are not there", &lost(seen, &histories)),
        Line::none(
            "histories with a gap, or an epoch that falls",
            &histories.iter().filter_map(gap).collect::<Vec<_>>(),
        ),
        Line::none("step results recorded twice", &twice(&histories)),
        Line::none("acknowledged commands that are not there", &commands(seen, &histories)),
        Line::none("runs that failed", &ended(&histories, "RunFailed")),
    ];
    lines.extend(calls(world, &histories)?);
    lines.push(doctor(world, histories.len()).await?);
    if let Some(faults) = faults {
        lines.extend(recovery::lines(faults, &histories));
        lines.extend(fences(world));
    }
    Ok(lines)
}

async fn histories(world: &World) -> Result<Histories, String> {
    let statement = "SELECT json_build_array(run_id, h.seq,
            (extract(epoch FROM pg_xact_commit_timestamp(e.xmin)) * 1000000)::int8, h.epoch, h.kind, body)
        FROM history h JOIN event e USING (run_id, seq) ORDER BY run_id, h.seq";
    let mut histories = Histories::new();
    for line in world.sql(statement.into()).await?.lines() {
        type Row = (String, u64, i64, u64, String, Value);
        let (run, seq, at, epoch, name, body): Row = serde_json::from_str(line).map_err(told)?;
        histories.entry(run).or_default().push(Event { seq, at, epoch, name, body });
    }
    Ok(histories)
}

/// Keeps what was seen beside the logs, for who looks for the reason.
fn write(world: &World, seen: &Seen, faults: Option<&Log>, histories: &Histories) -> Result<(), String> {
    let tell = |event: &Event| format!("{} {} {} {} {}", event.seq, event.at, event.epoch, event.name, event.body);
    let of =
        |run: &String, events: &Vec<Event>| events.iter().map(|event| format!("{run} {}\n", tell(event))).collect();
    let events: Vec<String> = histories.iter().map(|(run, events)| of(run, events)).collect();
    std::fs::write(world.folder().join("retries.txt"), seen.retries()).map_err(told)?;
    std::fs::write(world.folder().join("histories.txt"), events.concat()).map_err(told)?;
    let faults = faults.iter().flat_map(|log| &log.faults);
    let faults: String = faults.map(|fault| format!("{fault:?}\n")).collect();
    std::fs::write(world.folder().join("faults.txt"), faults).map_err(told)
}

fn lost(seen: &Seen, histories: &Histories) -> Vec<String> {
    seen.started.values().filter(|run| !histories.contains_key(*run)).cloned().collect()
}

fn gap((run, events): (&String, &Vec<Event>)) -> Option<String> {
    let gap = events.iter().zip(1..).find(|(event, seq)| event.seq != *seq).map(|(event, _)| event.seq);
    let fall = events.windows(2).find(|pair| pair[1].epoch < pair[0].epoch).map(|pair| pair[1].seq);
    let at = gap.or(fall)?;
    Some(format!("{run} at {at}"))
}

fn twice(histories: &Histories) -> Vec<String> {
    let mut found = Vec::new();
    for (run, events) in histories {
        let mut ended = BTreeSet::new();
        for event in events.iter().filter(|event| matches!(event.name.as_str(), "StepCompleted" | "StepFailed")) {
            if !ended.insert(event.body["step"].to_string()) {
                found.push(format!("{run}: {} at {}", event.body["step"], event.seq));
            }
        }
    }
    found
}

fn commands(seen: &Seen, histories: &Histories) -> Vec<String> {
    let has = |run: &String, name: &str, id: &str| {
        histories.get(run).is_some_and(|events| {
            events.iter().any(|event| event.name == name && (id.is_empty() || event.body.to_string().contains(id)))
        })
    };
    let cancelled =
        seen.cancelled.iter().filter(|run| !has(run, "RunCancelled", "")).map(|run| format!("cancel {run}"));
    let others = seen.commanded.iter().filter(|(run, id, name)| !has(run, name, &id.to_string()));
    let told = |run: &String| {
        let events = histories.get(run).into_iter().flatten();
        events.map(|event| format!("\n  {} {} {} {}", event.seq, event.at, event.name, event.body)).collect::<String>()
    };
    cancelled.chain(others.map(|(run, id, name)| format!("{name} {run} {id}{}", told(run)))).collect()
}

fn ended(histories: &Histories, name: &str) -> Vec<String> {
    let of = |events: &Vec<Event>| events.iter().find(|event| event.name == name).map(|event| event.body.to_string());
    histories.iter().filter_map(|(run, events)| Some(format!("{run}: {}", of(events)?))).collect()
}

/// What agents were asked: nothing that was not recorded before, each message once, and every result by a call.
fn calls(world: &World, histories: &Histories) -> Result<Vec<Line>, String> {
    let text = std::fs::read_to_string(world.folder().join("calls.jsonl")).map_err(told)?;
    let mut counts: HashMap<String, usize> = HashMap::new();
    for line in text.lines() {
        let call: Value = serde_json::from_str(line).map_err(told)?;
        *counts.entry(call["message_id"].as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
    }
    let message = |run: &str, event: &Event| {
        let (step, attempt) = (event.body["step"].as_str()?, event.body["attempt"].as_u64()?);
        Some(format!("{run}/0/{step}/{attempt}"))
    };
    let of = |name: &str| {
        let events = histories.iter().flat_map(|(run, events)| events.iter().map(move |event| (run, event)));
        events.filter(|(_, event)| event.name == name).filter_map(|(run, event)| message(run, event)).collect()
    };
    let (begun, done): (BTreeSet<String>, BTreeSet<String>) = (of("AttemptStarted"), of("StepCompleted"));
    let more: Vec<_> =
        counts.iter().filter(|(_, count)| **count > 1).map(|(id, count)| format!("{id}: {count} times")).collect();
    let unknown: Vec<_> = counts.keys().filter(|id| !begun.contains(*id)).cloned().collect();
    let without: Vec<_> = done.iter().filter(|id| !counts.contains_key(*id)).cloned().collect();
    let again = begun.iter().filter(|id| !id.ends_with("/1")).count();
    Ok(vec![
        Line::any("calls that agents worked on", &counts.values().sum::<usize>()),
        Line::none("  a message worked on twice", &more),
        Line::none("  calls that no history knows", &unknown),
        Line::none("  results without a call", &without),
        Line::any("  attempts beyond the first of a step", &again),
    ])
}

/// The invariants of the heart over every history, as `tutti doctor` checks them.
async fn doctor(world: &World, runs: usize) -> Result<Line, String> {
    let done = world.tutti(&["doctor", "--runs", &runs.to_string(), "-o", "json"]).await?;
    let told: Value = serde_json::from_slice(&done.stdout).map_err(told)?;
    let findings = told["findings"].as_array().cloned().unwrap_or_default();
    let mut wrong: Vec<String> =
        findings.iter().filter(|finding| finding["state"] == "wrong").map(ToString::to_string).collect();
    if !findings.iter().any(|finding| finding["check"] == "runs") {
        wrong.push(format!("it looked at no run: {told}"));
    }
    Ok(Line::none("findings of tutti doctor (every invariant)", &wrong))
}

/// What servers say of how they were kept from doing harm: not vacuous unless each was.
fn fences(world: &World) -> Vec<Line> {
    [
        ("commits in doubt that were repeated", "a commit in doubt is repeated"),
        ("late commits that were refused", "another owner has the run"),
        ("servers that fenced themselves", "nothing is started any more"),
    ]
    .map(|(what, words)| (what, world.logged(words)))
    .map(|(what, count)| Line::some(what, &count, count > 0))
    .into()
}
