//! The servers of a store, their slots, and the commands that wait for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tutti_core::ports::inspect::{Crew, Inspect, ServerLine};
use tutti_core::ports::store::StoreError;
use tutti_core::report::rfc3339;
use tutti_core::time::Timestamp;

use super::runs::{LATE, NAMED, Seen};
use super::{About, Findings};

/// How long slots are waited for at most that are between two servers.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long outcomes of commands are kept by servers, and how much longer they may stay until one tidies up.
const OUTCOMES: Duration = Duration::from_secs(26 * 3600);

/// Most slots named in one finding.
const SLOTS_NAMED: usize = 8;

/// The servers as they were at first.
pub(super) struct First {
    crew: Option<Crew>,
    at: Instant,
}

impl First {
    /// Looks at the servers, and tells of those whose lease is over.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub(super) async fn look(store: &dyn Inspect, findings: &mut Findings) -> Result<Self, StoreError> {
        let first = Self { crew: store.crew().await?, at: Instant::now() };
        let Some(crew) = &first.crew else { return Ok(first) };
        if crew.servers.iter().any(is_live) {
            let told: Vec<String> =
                crew.servers.iter().filter(|server| is_live(server)).map(|server| shown(server, "holds")).collect();
            findings.ok("servers", told.join("; "));
        }
        if !crew.missing.is_empty() {
            let told = format!("slots have no row, so that nobody can hold them: {}", named(&crew.missing));
            findings.wrong("slots", told, "INSERT INTO slot (slot) what is missing of 0 to 1023");
            findings.about(About::slots(&crew.missing));
        }
        Ok(first)
    }

    /// True if somebody drives runs, as far as the store knows.
    pub(super) fn is_attended(&self) -> bool {
        self.crew.as_ref().is_some_and(|crew| crew.servers.iter().any(is_live))
    }

    /// Looks for slots that stay without a server while there are servers, and tells which runs wait because of that.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub(super) async fn slots(
        &self,
        store: &dyn Inspect,
        seen: &Seen,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let Some(crew) = &self.crew else { return Ok(()) };
        let before = unattended(crew);
        if before.is_empty() {
            return Ok(());
        }
        if !self.is_attended() {
            let runs: usize = seen.moving.values().map(|group| group.count).sum();
            for server in crew.servers.iter().filter(|server| !server.slots.is_empty()) {
                let told = format!("{}: its lease is over", shown(server, "still holds"));
                findings.note("servers", told, "start it again");
                findings.about(About::slots(&server.slots).server(&server.id));
            }
            if runs > 0 {
                let told = format!("there is no server, and {runs} runs are to go on");
                findings.note("servers", told, "tutti serve drives them");
            }
            return Ok(());
        }
        // A slot is between two servers for as long as a lease lasts, and until the next one looks.
        let lease = crew.servers.iter().filter(|server| is_live(server)).map(|server| server.lease).max();
        sleep_until(self.at + (lease.unwrap_or_default() * 2).min(PATIENCE)).await;
        let Some(now) = store.crew().await? else { return Ok(()) };
        let (after, live) = (unattended(&now), now.servers.iter().any(is_live));
        for (holder, slots) in after.into_iter().filter(|_| live) {
            let stuck: BTreeSet<u16> =
                before.get(&holder).into_iter().flatten().filter(|slot| slots.contains(slot)).copied().collect();
            if stuck.is_empty() {
                continue;
            }
            let runs: Vec<String> = stuck
                .iter()
                .filter_map(|slot| seen.moving.get(&i64::from(*slot)))
                .flat_map(|group| group.named.iter().map(ToString::to_string))
                .take(NAMED)
                .collect();
            let waits = if runs.is_empty() { String::new() } else { format!("; runs that wait: {}", runs.join(", ")) };
            let next = "look into the logs of the servers: one of them should have taken these slots";
            let (told, about) = match holder {
                None => (format!("nobody holds {}{waits}", named(&stuck)), About::slots(&stuck)),
                Some(id) => {
                    let told = format!("{id}, whose lease is over, holds {}{waits}", named(&stuck));
                    (told, About::slots(&stuck).server(&id))
                }
            };
            findings.wrong("slots", told, next);
            findings.about(about);
        }
        Ok(())
    }

    /// Commands that nobody took up, and outcomes that nobody removed.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub(super) async fn inbox(
        &self,
        store: &dyn Inspect,
        now: Timestamp,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let ago = |span: Duration| {
            Timestamp::from_micros(now.as_micros().saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
        };
        let waiting = store.waiting(ago(LATE), NAMED + 1).await?;
        for item in waiting.iter().take(NAMED) {
            let mut servers = self.crew.iter().flat_map(|crew| &crew.servers);
            let holder = servers.find(|server| server.slots.iter().any(|slot| i64::from(*slot) == item.slot));
            let of = holder.map(|server| format!(", which {} has", server.id)).unwrap_or_default();
            let told = format!(
                "a command for run {} waits since {} (slot {}{of}; request {})",
                item.run,
                rfc3339(item.at),
                item.slot,
                item.request
            );
            // Without a server it waits for the next one.
            let next = "tutti serve takes it up; if there is a server, look into its log";
            let state = if self.is_attended() { Findings::wrong } else { Findings::note };
            state(findings, "inbox", told, next);
            let about = About::run(item.run);
            findings.about(match holder {
                Some(server) => about.server(&server.id),
                None => about,
            });
        }
        if waiting.len() > NAMED {
            findings.note("inbox", "more commands wait", "as above");
        }
        let oldest = store.oldest_outcome().await?.filter(|oldest| *oldest < ago(OUTCOMES));
        if let Some(oldest) = oldest {
            let told = format!("outcomes of commands are kept since {}", rfc3339(oldest));
            findings.note(
                "inbox",
                told,
                "a server removes those of yesterday every ten minutes: look whether one does",
            );
        }
        Ok(())
    }
}

/// Slots whose runs nobody drives, by who should.
fn unattended(crew: &Crew) -> BTreeMap<Option<String>, BTreeSet<u16>> {
    let over = crew.servers.iter().filter(|server| !is_live(server) && !server.slots.is_empty());
    let mut slots: BTreeMap<_, _> = over.map(|server| (Some(server.id.clone()), server.slots.clone())).collect();
    if !crew.free.is_empty() {
        slots.insert(None, crew.free.clone());
    }
    slots
}

fn is_live(server: &ServerLine) -> bool {
    server.over.is_none()
}

fn shown(server: &ServerLine, holds: &str) -> String {
    let over = server.over.map(|over| format!(" (over for {} s)", over.as_secs())).unwrap_or_default();
    format!("{} {holds} {} slots{over}", server.id, server.slots.len())
}

/// Slots by number, the first of them.
fn named(slots: &BTreeSet<u16>) -> String {
    let names: Vec<String> = slots.iter().take(SLOTS_NAMED).map(ToString::to_string).collect();
    let more =
        if slots.len() > names.len() { format!(" and {} more", slots.len() - names.len()) } else { String::new() };
    format!("slot {}{more}", names.join(", "))
}
