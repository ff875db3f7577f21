//! How long runs stood still, and who wrote to them afterwards.

use std::time::Duration;

use tutti_core::limits::MAX_CLAIMS;

use super::check::{Event, Histories};
use super::faults::{Fault, Guard, Kind, Log};
use super::line::Line;
use super::world::LEASE;

/// A run moves again so long after its server's death, and after the database's return.
const RECOVERY: Duration = LEASE.saturating_add(Duration::from_secs(2));
const RETURN: Duration = Duration::from_secs(10);

/// How long runs that a fault met stood still, and whether a server wrote to runs that had been handed over.
pub fn lines(log: &Log, histories: &Histories) -> Vec<Line> {
    let (mut servers, mut database, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for fault in &log.faults {
        for guard in fault.runs.iter().flatten() {
            let events = histories.get(&guard.run).map(Vec::as_slice).unwrap_or_default();
            match moved(fault, &guard.run, events, &log.faults, log.patience) {
                Some(Moved::After(still)) if fault.kind == Kind::Away => database.push(still),
                Some(Moved::After(still)) => servers.push(still),
                Some(Moved::Late(still)) => late.push(format!(
                    "{} after {:?} at {}: {:.2} s",
                    guard.run,
                    fault.kind,
                    fault.at,
                    still.as_secs_f64()
                )),
                Some(Moved::Again) | None => {}
            }
        }
    }
    let (handed, written) = handed_over(&log.faults, histories);
    let is_tried = !servers.is_empty();
    let (aside, wrongly) = set_aside(&log.faults, histories);
    vec![
        Line::some("runs of stopped and cut-off servers handed over", &handed, handed > 0),
        Line::none("  events that such a server wrote afterwards", &written),
        Line::some("runs move after their server is lost, p50 / max", &shown(servers), is_tried),
        Line::any("runs move after the database is back, p50 / max", &shown(database)),
        Line::none("  later than lease + 2 s, or 10 s after the database", &late),
        Line::none("runs that stood still for 10 s for no reason", &idle(&log.faults, histories, log.patience)),
        Line::any("runs set aside, and resumed by an operator", &aside),
        Line::none("  though fewer than three owners had been lost", &wrongly),
    ]
}

/// What became of a run that a fault met.
#[derive(Debug, PartialEq, Eq)]
enum Moved {
    /// It moved after so long, and nothing else happened to it before.
    After(Duration),
    /// Something else happened to it soon, from which the time counts anew.
    Again,
    /// It stood still for so long.
    Late(Duration),
}

/// When a run moved after a fault; nothing if there was nothing more to do.
fn moved(fault: &Fault, run: &str, events: &[Event], faults: &[Fault], patience: u32) -> Option<Moved> {
    let (from, mut deadline) = match fault.kind {
        Kind::Away => (fault.until, later(fault.until, RETURN * patience)),
        _ => (fault.at, later(fault.at, RECOVERY * patience)),
    };
    // Whatever else fails while the database is away, or just after it is back.
    for away in faults.iter().filter(|other| other.kind == Kind::Away && other.at <= from) {
        deadline = deadline.max(later(away.until, RETURN * patience));
    }
    let next = events.iter().find(|event| event.at >= from)?.at;
    let again =
        faults.iter().filter(|other| other.at > from && other.at < next && concerns(other, run)).map(|other| other.at);
    let again = again.min();
    let until = again.unwrap_or(next);
    let still = Duration::from_micros((until - from).unsigned_abs());
    Some(match again {
        _ if until > deadline => Moved::Late(still),
        Some(_) => Moved::Again,
        None => Moved::After(still),
    })
}

/// Runs that nothing happened to and that did not move for longer than anything may take.
fn idle(faults: &[Fault], histories: &Histories, patience: u32) -> Vec<String> {
    let mut found = Vec::new();
    for (run, events) in histories {
        let mut is_paused = false;
        for pair in events.windows(2) {
            match pair[0].name.as_str() {
                "RunPaused" | "RunQuarantined" => is_paused = true,
                "RunResumed" => is_paused = false,
                _ => {}
            }
            let (begun, next) = (pair[0].at, pair[1].at);
            let (mut from, mut longest) = (begun, 0);
            for fault in faults.iter().filter(|fault| fault.at < next && concerns(fault, run)) {
                let again = if fault.kind == Kind::Away { fault.until } else { fault.at };
                if again > from {
                    longest = longest.max(fault.at - from);
                    from = again;
                }
            }
            longest = longest.max(next - from);
            if !is_paused && longest > later(0, RETURN * patience) {
                found.push(format!("{run}: {:.2} s after event {}", longest as f64 / 1e6, pair[0].seq));
            }
        }
    }
    found
}

/// How many runs were set aside, and those of them that had not lost one owner after the other.
fn set_aside(faults: &[Fault], histories: &Histories) -> (usize, Vec<String>) {
    let (mut aside, mut wrongly) = (0, Vec::new());
    for (run, events) in histories {
        for pair in events.windows(2).filter(|pair| pair[1].name == "RunQuarantined") {
            aside += 1;
            let meets = |fault: &&Fault| fault.at > pair[0].at && fault.at < pair[1].at && concerns(fault, run);
            // While the database is away every owner fences itself.
            let lost = faults.iter().filter(meets).count();
            if lost < MAX_CLAIMS as usize {
                let claims = pair[1].epoch - pair[0].epoch;
                wrongly.push(format!("{run} after event {}: {claims} claims, {lost} owners lost", pair[0].seq));
            }
        }
    }
    (aside, wrongly)
}

/// Whether a fault may have met a run.
fn concerns(fault: &Fault, run: &str) -> bool {
    let meets = |runs: &Vec<Guard>| runs.iter().any(|guard| guard.run == run);
    fault.kind == Kind::Away || fault.runs.as_ref().is_none_or(meets)
}

/// How many runs others had when a server could write again that had been stopped or cut off, and what it wrote to them all
/// the same.
fn handed_over(faults: &[Fault], histories: &Histories) -> (usize, Vec<String>) {
    let (mut handed, mut written) = (0, Vec::new());
    for fault in faults.iter().filter(|fault| matches!(fault.kind, Kind::Freeze | Kind::Cut)) {
        for left in &fault.left {
            let had = fault.runs.iter().flatten().find(|guard| guard.run == left.run);
            if had.is_none_or(|had| had.epoch == left.epoch) {
                continue;
            }
            handed += 1;
            let events = histories.get(&left.run).map(Vec::as_slice).unwrap_or_default();
            let late = events.iter().filter(|event| event.seq > left.seq && event.epoch < left.epoch);
            written.extend(late.map(|event| format!("{} at {}: {:?}", left.run, event.seq, fault.kind)));
        }
    }
    (handed, written)
}

fn later(at: i64, span: Duration) -> i64 {
    at.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
}

/// The median and the longest.
fn shown(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |at: usize| times.get(at).map_or(0.0, Duration::as_secs_f64);
    format!("{:.2} / {:.2} s ({} runs)", at(times.len() / 2), at(times.len().saturating_sub(1)), times.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "r";

    fn guard(seq: u64, epoch: u64) -> Guard {
        Guard { run: RUN.into(), seq, epoch }
    }

    /// From one second to another.
    fn fault(kind: Kind, at: i64, until: i64) -> Fault {
        let runs = Some(vec![guard(1, 1)]);
        Fault { kind, at: at * 1_000_000, until: until * 1_000_000, runs, left: vec![guard(1, 2)] }
    }

    fn event(seq: u64, at: i64, epoch: u64) -> Event {
        Event { seq, at: at * 1_000_000, epoch, name: "StepCompleted".into(), body: serde_json::Value::Null }
    }

    fn after(first: &Fault, next: i64, others: &[Fault]) -> Option<Moved> {
        moved(first, RUN, &[event(1, -1, 1), event(2, next, 2)], others, 1)
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_run_has_its_time_after_whatever_happened_to_it_last() {
        let kill = fault(Kind::Kill, 0, 2);
        assert_eq!(after(&kill, 3, &[]), Some(Moved::After(seconds(3))));
        assert_eq!(after(&kill, 4, &[]), Some(Moved::Late(seconds(4))));
        assert_eq!(after(&kill, -1, &[]), None);
        assert_eq!(after(&kill, 5, &[fault(Kind::Freeze, 2, 5)]), Some(Moved::Again));
        assert_eq!(after(&kill, 6, &[fault(Kind::Freeze, 5, 8)]), Some(Moved::Late(seconds(5))));
        let mut elsewhere = fault(Kind::Freeze, 2, 5);
        elsewhere.runs = Some(Vec::new());
        assert_eq!(after(&kill, 5, &[elsewhere]), Some(Moved::Late(seconds(5))));
    }

    #[test]
    fn the_time_without_a_database_does_not_count() {
        let away = fault(Kind::Away, 0, 30);
        assert_eq!(after(&away, 40, &[]), Some(Moved::After(seconds(10))));
        assert_eq!(after(&away, 41, &[]), Some(Moved::Late(seconds(11))));
        assert_eq!(after(&fault(Kind::Kill, 31, 32), 40, std::slice::from_ref(&away)), Some(Moved::After(seconds(9))));
        assert_eq!(after(&fault(Kind::Kill, 29, 30), 40, &[away]), Some(Moved::After(seconds(11))));
    }

    #[test]
    fn a_server_that_writes_what_it_has_no_more_is_found() {
        let stopped = [fault(Kind::Freeze, 0, 3)];
        let history = |epoch| Histories::from([(RUN.to_owned(), vec![event(1, -1, 1), event(2, 3, epoch)])]);
        assert_eq!(handed_over(&stopped, &history(2)), (1, Vec::new()));
        assert_eq!(handed_over(&stopped, &history(1)).1.len(), 1);
    }

    #[test]
    fn a_run_that_nobody_has_is_found() {
        let history = Histories::from([(RUN.to_owned(), vec![event(1, 0, 1), event(2, 19, 1)])]);
        assert_eq!(idle(&[], &history, 1).len(), 1);
        assert_eq!(idle(&[fault(Kind::Kill, 3, 4)], &history, 1).len(), 1);
        assert_eq!(idle(&[fault(Kind::Kill, 9, 10)], &history, 1).len(), 0);
        assert_eq!(idle(&[fault(Kind::Away, -1, 9)], &history, 1).len(), 0);
    }
}
