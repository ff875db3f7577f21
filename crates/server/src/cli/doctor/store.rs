//! A store: whether it opens, what stands around its runs, and the runs.

use std::time::Duration;

use tutti_core::ports::clock::Clock;
use tutti_core::ports::inspect::{Inspect, Trouble};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;

use super::fleet::First;
use super::runs::{Look, Scope, Seen};
use super::{About, DoctorArgs, Findings};
use crate::cli::Global;
use crate::clock::SystemClock;
use crate::exit::Failure;
use crate::report::with_store;
use crate::store::{Reader, StoreSpec};

/// How far the clocks of store and machine may be apart: worth knowing, and wrong.
const APART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Looks into the store, and at its runs.
pub(super) async fn look(args: &DoctorArgs, global: &Global, findings: &mut Findings) {
    let spec = &global.store;
    match spec {
        StoreSpec::Sqlite(path) if !path.exists() => {
            let made = format!("there is no store at {} yet", path.display());
            findings.note("store", made, "tutti run WORKFLOW.yaml makes it");
            return;
        }
        StoreSpec::Memory => return findings.ok("store", "in memory: nothing is kept"),
        StoreSpec::Sqlite(_) | StoreSpec::Postgres(_) => {}
    }
    let (reader, store) = match spec.open_to_inspect().await {
        Ok(opened) => opened,
        Err(failure) => return findings.failed("store", &failure),
    };
    let looked = match &args.run {
        Some(run) => one(&reader, &*store, run, args, global, findings).await,
        None => all(&reader, &*store, args, global, findings).await,
    };
    if let Err(failure) = looked {
        findings.failed("store", &failure);
    }
}

/// Looks closely at one run.
async fn one(
    reader: &Reader,
    store: &dyn Inspect,
    run: &str,
    args: &DoctorArgs,
    global: &Global,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let reader = reader.clone().within(&args.namespace.clone().unwrap_or_default());
    // One that lists do not show any more can be named by its whole id.
    let run = match run.parse() {
        Ok(run) => run,
        Err(_) => reader.find(run).await?.run,
    };
    if store.kept(run).await.is_ok_and(|kept| kept.is_none()) {
        return Err(Failure::usage(format!("there is no run {run} in this store")).next("tutti list"));
    }
    let (mut look, mut seen) = (Look::new(&reader, store, with_store(&global.store)), Seen::default());
    let before = findings.findings.len();
    look.closely(run, &mut seen, findings).await?;
    if findings.findings.len() == before {
        findings.ok("runs", format!("run {run} keeps what runs promise; its payloads are there"));
        findings.about(About::run(run));
    }
    Ok(())
}

/// Looks at the store and its runs.
async fn all(
    reader: &Reader,
    store: &dyn Inspect,
    args: &DoctorArgs,
    global: &Global,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let asked = SystemClock.now();
    let around = store.surroundings(false).await?;
    clocks(asked, SystemClock.now(), around.now, findings);
    let mut troubles = around.troubles;
    if !args.quick {
        troubles.extend(store.surroundings(true).await?.troubles);
        troubles.dedup();
    }
    let sound = troubles.is_empty();
    for Trouble { check, wrong, detail, next } in troubles {
        if wrong {
            findings.wrong(check, detail, next);
        } else {
            findings.note(check, detail, next);
        }
    }
    if sound {
        findings.ok("tables", "the tables and settings are as they should be");
    }
    let first = First::look(store, findings).await?;
    if args.quick {
        findings.ok("store", format!("{} opens", global.store));
        first.slots(store, &Seen::default(), findings).await?;
        first.inbox(store, around.now, findings).await?;
        return Ok(());
    }
    let since = args.since.map(|since| {
        let micros = i64::try_from(since.0.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(asked.as_micros().saturating_sub(micros))
    });
    let closely = if args.all { usize::MAX } else { usize::try_from(args.runs).unwrap_or(usize::MAX) };
    let scope = Scope { namespace: args.namespace.clone(), since, closely };
    let mut look = Look::new(reader, store, with_store(&global.store));
    let seen = look.survey(&scope, findings).await?;
    states(&seen, first.is_attended(), global, findings);
    look.sum_up(&seen, first.is_attended(), findings).await?;
    first.slots(store, &seen, findings).await?;
    first.inbox(store, around.now, findings).await?;
    Ok(())
}

/// Whether the clocks of the store and of this machine agree, within the time that the question took.
fn clocks(asked: Timestamp, answered: Timestamp, store: Timestamp, findings: &mut Findings) {
    let (ahead, behind) = (store.since(answered), asked.since(store));
    let apart = ahead.max(behind);
    if apart < APART.0 {
        return;
    }
    let which = if ahead > behind { "ahead of" } else { "behind" };
    let told = format!("the clock of the database is {:.1} s {which} that of this machine", apart.as_secs_f64());
    let next = "set both clocks by a time server";
    if apart < APART.1 {
        findings.note("clock", told, next);
    } else {
        findings.wrong("clock", told, next);
    }
}

/// How many runs there are in which state, and which need somebody.
fn states(seen: &Seen, attended: bool, global: &Global, findings: &mut Findings) {
    let told: Vec<String> = seen.states.iter().map(|(state, group)| format!("{} {state}", group.count)).collect();
    let told = if told.is_empty() { "no runs".to_owned() } else { told.join(", ") };
    findings.ok("store", format!("{} opens: {told}", global.store));
    let flag = with_store(&global.store);
    if let Some(runs) = seen.states.get(&RunStatus::Quarantined) {
        let next = format!("tutti events RUN{flag} tells why; tutti resume RUN{flag} lets it go on");
        findings.wrong("quarantined", format!("set aside because they take their server down: {runs}"), next);
    }
    if let Some(runs) = seen.states.get(&RunStatus::Stuck) {
        findings.wrong("stuck", format!("somebody must decide: {runs}"), format!("tutti get RUN{flag}"));
    }
    if let Some(runs) = seen.states.get(&RunStatus::Waiting) {
        findings.note("waiting", format!("wait for an answer: {runs}"), format!("tutti signal RUN ANSWER{flag}"));
    }
    let count = |state| seen.states.get(&state).map_or(0, |group| group.count);
    let (queued, running) = (count(RunStatus::Pending), count(RunStatus::Running));
    if queued + running > 0 {
        let told = match queued {
            0 => format!("{running} under way"),
            _ => format!("{running} under way, {queued} in the queue"),
        };
        if attended {
            findings.ok("open", told);
        } else {
            let next = format!("if no engine has the store: tutti serve{flag}, or tutti resume RUN{flag}");
            findings.note("open", told, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_told_of() {
        let told = |store: i64| {
            let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
            let mut findings = Findings::default();
            // The question took two seconds: somewhere in between, the store looked at its clock.
            clocks(at(100), at(102), at(store), &mut findings);
            findings.findings.first().map(|finding| (finding.state, finding.detail.contains("ahead")))
        };
        assert_eq!([told(100), told(101), told(102)], [None; 3]);
        assert_eq!([told(104), told(98)], [Some((State::Note, true)), Some((State::Note, false))]);
        assert_eq!([told(110), told(90)], [Some((State::Wrong, true)), Some((State::Wrong, false))]);
    }
}
