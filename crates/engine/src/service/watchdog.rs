//! Tells of runs that make no progress though they should.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;
use tutti_core::ids::RunId;
use tutti_core::limits::{DEFAULT_STALL_GRACE, DEFAULT_WATCHDOG_INTERVAL, MAX_STALLS_TOLD, STALL_TOLD_AGAIN};
use tutti_core::report::{Aspect, Explanation, Reason, printable};
use tutti_core::time::Timestamp;

use super::RunService;
use crate::driver::{Stall, Stalled};

/// How closely a server watches that its runs make progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchdogOptions {
    /// How often it looks. Default: 30 s.
    pub interval: Duration,
    /// How late what should have happened may be. Default: 60 s.
    pub grace: Duration,
}

impl Default for WatchdogOptions {
    fn default() -> Self {
        Self { interval: DEFAULT_WATCHDOG_INTERVAL, grace: DEFAULT_STALL_GRACE }
    }
}

/// What is known of a run that may be stalled.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    seq: u64,
    stall: Stall,
    since: Timestamp,
    told_at: Option<Timestamp>,
}

impl RunService {
    /// Looks at the runs in memory again and again, and tells of those that make no progress though they should: in the log
    /// with the reason, each once in a while; their number is in [`Health`](tutti_core::ports::inbound::health::Health) and in
    /// [`Engine::stalled_runs`](crate::Engine::stalled_runs). Ends with the engine: nothing is told then.
    pub async fn watch_progress(&self, options: WatchdogOptions) -> Infallible {
        let mut suspects = HashMap::new();
        loop {
            sleep(options.interval).await;
            let seen = self.engine.survey(options.grace).await;
            let now = self.ports().clock.now();
            let stalled = sift(&mut suspects, seen, options.grace, now);
            self.engine.note_stalled(stalled.len());
            let mut told = 0;
            for stalled in &stalled {
                let Some(suspect) = suspects.get_mut(&stalled.run) else { continue };
                if suspect.told_at.is_some_and(|at| now.since(at) < STALL_TOLD_AGAIN) || told == MAX_STALLS_TOLD {
                    continue;
                }
                (suspect.told_at, told) = (Some(now), told + 1);
                self.tell(stalled, suspect.since, now).await;
            }
        }
    }

    async fn tell(&self, stalled: &Stalled, since: Timestamp, now: Timestamp) {
        // A store that does not answer is what may be wrong: the line does not wait for it.
        let explained = tokio::time::timeout(TELL, self.explanation(&stalled.namespace, stalled.run, None)).await;
        let why = explained.ok().and_then(Result::ok).map(|explained| in_a_line(&explained)).unwrap_or_default();
        let (run, missing) = (stalled.run, stalled.stall.as_str());
        let seconds = now.since(since).as_secs();
        tracing::warn!(%run, missing, seconds, why, "a run makes no progress though it should");
    }
}

/// How long an explanation may take.
const TELL: Duration = Duration::from_secs(5);

/// The runs that are stalled for the grace: those of which the driver says so, and those that stand as they stood when they
/// were first suspected.
fn sift(suspects: &mut HashMap<RunId, Suspect>, seen: Vec<Stalled>, grace: Duration, now: Timestamp) -> Vec<Stalled> {
    let before = std::mem::take(suspects);
    let mut stalled = Vec::new();
    for one in seen {
        let same = before.get(&one.run).filter(|was| (was.seq, was.stall) == (one.seq, one.stall));
        let since = one.since.or(same.map(|was| was.since)).unwrap_or(now);
        let told_at = same.and_then(|was| was.told_at);
        suspects.insert(one.run, Suspect { seq: one.seq, stall: one.stall, since, told_at });
        if now.since(since) >= grace {
            stalled.push(one);
        }
    }
    stalled
}

/// What an explanation says of what is waited for.
fn in_a_line(explained: &Explanation) -> String {
    let steps = explained.steps.iter().flat_map(|step| {
        let waits = step.findings.iter().filter(|finding| finding.aspect == Aspect::Waits);
        waits.map(move |finding| format!("{}: {}", step.step, finding.text))
    });
    let run = explained
        .findings
        .iter()
        .filter(|finding| finding.aspect == Aspect::Waits && finding.reason != Reason::Progress);
    let told: Vec<String> = run.map(|finding| finding.text.clone()).chain(steps).take(5).collect();
    printable(&told.join(" ")).into_owned()
}

#[cfg(test)]
mod tests {
    use tutti_core::ids::Namespace;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn seen(seq: u64, stall: Stall, since: Option<Timestamp>) -> Vec<Stalled> {
        vec![Stalled { run: RunId::new(1, [1; 10]), namespace: Namespace::default(), seq, stall, since }]
    }

    #[test]
    fn what_the_driver_cannot_date_counts_from_when_it_was_first_seen_so() {
        let (mut suspects, grace) = (HashMap::new(), Duration::from_secs(60));
        let mut look = |seen, now| sift(&mut suspects, seen, grace, at(now)).len();
        assert_eq!(look(seen(7, Stall::Start, None), 0), 0);
        assert_eq!(look(seen(7, Stall::Start, None), 59), 0);
        assert_eq!(look(seen(7, Stall::Start, None), 60), 1);
        assert_eq!(look(seen(8, Stall::Start, None), 90), 0, "something happened meanwhile");
        assert_eq!(look(Vec::new(), 120), 0);
        assert_eq!(look(seen(8, Stall::Start, None), 150), 0, "it was not so in between");
        assert_eq!(look(seen(8, Stall::Commit, Some(at(0))), 151), 1, "the driver knows since when");
    }
}
