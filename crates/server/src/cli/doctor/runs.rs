//! The runs of a store: all of them at a glance, some of them closely.
//!
//! Servers go on writing meanwhile. What is kept of a run is read at one moment, and its events up to that moment never change;
//! so a run can be checked in pages without holding anybody up. What seems wrong is looked at twice before it is told.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::invariants::{Violation, check_glance};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inspect::{Glance, Inspect, Survey};
use tutti_core::ports::store::{StoreError, Wake};
use tutti_core::report::rfc3339;
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;

use super::closely::{Checker, corrupt_is_none, unreadable};
use super::{About, Findings};
use crate::clock::SystemClock;
use crate::store::Reader;

/// Runs looked at in one statement.
const PAGE: usize = 500;

/// Most runs named in one finding.
pub(super) const NAMED: usize = 5;

/// Most runs told of one by one.
const MOST: usize = 100;

/// How long after its moment a run is late.
pub(super) const LATE: Duration = Duration::from_secs(60);

/// What to do about what was changed behind the product's back.
const DAMAGED: &str = "restore the store from a copy; keep this one to find out why";

/// Which runs are looked at, and how many of them closely.
pub(super) struct Scope {
    /// Whose; `None` stands for everybody's.
    pub namespace: Option<Namespace>,
    /// Only runs that were created since.
    pub since: Option<Timestamp>,
    /// How many of the newest are looked at closely.
    pub closely: usize,
}

/// What was seen of the runs.
#[derive(Default)]
pub(super) struct Seen {
    /// Runs by state, and some of each.
    pub states: BTreeMap<RunStatus, Group>,
    /// Runs that are to move, by slot.
    pub moving: BTreeMap<i64, Group>,
    /// Runs whose moment has come long ago, and when.
    late: Vec<(RunId, Timestamp)>,
    closely: usize,
    payloads: usize,
    wrong: usize,
}

/// A number of runs, and some of them.
#[derive(Default)]
pub(super) struct Group {
    pub count: usize,
    pub named: Vec<RunId>,
}

impl Group {
    fn add(&mut self, run: RunId) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(run);
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.named.iter().map(ToString::to_string).collect();
        write!(f, "{}{}", names.join(", "), if self.count > self.named.len() { ", …" } else { "" })
    }
}

/// Looks at runs, with what they need.
pub(super) struct Look<'l> {
    store: &'l dyn Inspect,
    checker: Checker<'l>,
    /// How to name the store in a command.
    flag: String,
}

impl<'l> Look<'l> {
    pub(super) fn new(reader: &'l Reader, store: &'l dyn Inspect, flag: String) -> Self {
        Self { store, checker: Checker::new(reader, store), flag }
    }

    /// Looks at all runs of a scope, newest first.
    ///
    /// # Errors
    /// A store that cannot be read any more.
    pub(super) async fn survey(&mut self, scope: &Scope, findings: &mut Findings) -> Result<Seen, StoreError> {
        let mut seen = Seen::default();
        let mut query = Survey { namespace: scope.namespace.clone(), before: None, limit: PAGE };
        // An id begins with the moment of its creation.
        let oldest =
            scope.since.map(|since| RunId::new(u64::try_from(since.as_micros() / 1_000).unwrap_or(0), [0; 10]));
        loop {
            let page = self.store.survey(query.clone()).await?;
            for glance in &page {
                if oldest.is_some_and(|oldest| glance.run < oldest) {
                    return Ok(seen);
                }
                self.glance(glance, &mut seen);
                if seen.closely < scope.closely {
                    seen.closely += 1;
                    self.closely(glance.run, &mut seen, findings).await?;
                } else if !check_glance(glance).is_empty() {
                    self.again(glance.run, &mut seen, findings).await?;
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => query.before = Some(last.run),
                _ => return Ok(seen),
            }
        }
    }

    /// Counts a run.
    fn glance(&self, glance: &Glance, seen: &mut Seen) {
        let status = glance.line.as_ref().and_then(|(_, status)| status.parse::<RunStatus>().ok());
        if let Some(status) = status {
            seen.states.entry(status).or_default().add(glance.run);
        }
        let Some(guard) = &glance.guard else { return };
        if matches!(guard.wake, Wake::Active | Wake::At(_)) {
            seen.moving.entry(guard.slot).or_default().add(glance.run);
        }
        // One in the queue waits for room, and its moment is its place.
        if let Wake::At(at) = guard.wake
            && status != Some(RunStatus::Pending)
            && SystemClock.now().since(at) > LATE
            && seen.late.len() < MOST
        {
            seen.late.push((glance.run, at));
        }
    }

    /// Looks at a run that seems wrong at a glance once more, and tells of it if it still does.
    async fn again(&self, run: RunId, seen: &mut Seen, findings: &mut Findings) -> Result<(), StoreError> {
        match self.store.kept(run).await {
            Ok(Some(kept)) => self.tell(run, &check_glance(&kept.glance), seen, findings),
            Ok(None) => {}
            Err(StoreError::Corrupt(why)) => self.tell(run, &[unreadable(why)], seen, findings),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Looks closely at a run: its history, what is kept beside it, its payloads.
    ///
    /// # Errors
    /// A store that cannot be read any more.
    pub(super) async fn closely(
        &mut self,
        run: RunId,
        seen: &mut Seen,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let mut verdict = self.checker.check(run).await?;
        if !verdict.violations.is_empty() || verdict.late.is_some() {
            verdict = self.checker.check(run).await?;
        }
        seen.payloads += verdict.payloads;
        if verdict.too_new {
            let next = "look with the newest version of tutti that writes to this store";
            findings.note("runs", format!("run {run} was written by a newer version"), next);
            findings.about(About::run(run));
        }
        if let Some(late) = verdict.late {
            let next = format!("look whether its server works; tutti resume {run}{}", self.flag);
            findings.note("late", format!("run {run}: {late}"), next);
            findings.about(About::run(run));
        }
        self.tell(run, &verdict.violations, seen, findings);
        Ok(())
    }

    /// Tells what is wrong with a run.
    fn tell(&self, run: RunId, violations: &[Violation], seen: &mut Seen, findings: &mut Findings) {
        if violations.is_empty() {
            return;
        }
        seen.wrong += 1;
        if seen.wrong > MOST {
            return;
        }
        // Of a sort the first says enough.
        let mut told = HashSet::new();
        for violation in violations.iter().filter(|violation| told.insert(violation.invariant)) {
            let next = match violation.invariant {
                "open_runs_are_woken" => format!("tutti resume {run}{} makes its server look at it", self.flag),
                "clocks_agree" => "set the clock of this machine by a time server".to_owned(),
                _ => DAMAGED.to_owned(),
            };
            findings.wrong("runs", format!("run {run}: {violation}"), next);
            findings.about(About::run(run));
        }
    }

    /// Tells how the runs are, all in all.
    ///
    /// # Errors
    /// A store that cannot be read any more.
    pub(super) async fn sum_up(&self, seen: &Seen, attended: bool, findings: &mut Findings) -> Result<(), StoreError> {
        let all: usize = seen.states.values().map(|group| group.count).sum();
        if seen.wrong > MOST {
            let told = format!("{} more runs are not as they should be", seen.wrong - MOST);
            findings.wrong("runs", told, DAMAGED);
        } else if seen.wrong == 0 {
            let (closely, payloads) = (seen.closely, seen.payloads);
            let rest = if all > closely { format!("; {all} are sound at a glance") } else { String::new() };
            let told =
                format!("the {closely} newest keep what runs promise; their {payloads} payloads are there{rest}");
            findings.ok("runs", told);
        }
        self.overdue(seen, attended, findings).await
    }

    /// Runs whose moment has come long ago, and that nobody has moved. Without a server that is as it should be.
    async fn overdue(&self, seen: &Seen, attended: bool, findings: &mut Findings) -> Result<(), StoreError> {
        let next = "tutti serve drives them; if there is a server, look into its log";
        if !attended && !seen.late.is_empty() {
            let mut group = Group::default();
            seen.late.iter().for_each(|(run, _)| group.add(*run));
            findings.note("late", format!("{} runs are to go on since more than a minute: {group}", group.count), next);
            return Ok(());
        }
        for (run, at) in &seen.late {
            let kept = self.store.kept(*run).await.or_else(corrupt_is_none)?;
            let still = kept.and_then(|kept| kept.glance.guard).is_some_and(|guard| guard.wake == Wake::At(*at));
            if still {
                let told = format!("run {run} in slot {} was to go on at {}", run.slot(), rfc3339(*at));
                findings.wrong("late", told, next);
                findings.about(About::run(*run));
            }
        }
        Ok(())
    }
}
