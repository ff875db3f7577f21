//! Agents that do what no agent should: each fails its own attempt, in time and with a reason, and harms nobody else.

mod engine;
mod raw;
mod vices;

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use serde_json::json;
use tutti_adapters_grpc::{GrpcConfig, GrpcTransport};
use tutti_core::ports::agent::{AgentCall, AgentErrorKind, AgentTransport as _, Retry};

use self::raw::{Raw, Seen, Vice};
use crate::support::{News, call, completed, until};

/// Time that an attempt has.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Agents that are met at once.
const AT_ONCE: usize = 6;

/// How much later it may end: the time to stop its task, and what a busy machine takes.
const LATE: Duration = Duration::from_secs(10);

/// Most bytes that the caller may have let an agent send beyond what it keeps: windows of the connection, and sockets.
const WINDOWS: usize = 32 << 20;

/// Bytes of a page of memory.
const PAGE: usize = 4096;

/// A transport that is quick to lose patience.
fn hasty() -> GrpcTransport {
    GrpcTransport::new(GrpcConfig {
        idle_timeout: Duration::from_millis(200),
        request_timeout: Duration::from_millis(300),
        reconnect_window: Duration::from_millis(200),
        ..GrpcConfig::default()
    })
}

fn attempt(agent: &Raw) -> AgentCall {
    AgentCall { timeout: TIMEOUT, ..call(&agent.url, &json!({"n": 1})) }
}

/// Lets an agent answer one attempt: how it ended, and what the agent saw once it is alone again.
async fn meet(transport: &GrpcTransport, vice: Vice) -> (Result<String, String>, Arc<Seen>) {
    let agent = Raw::start(vice).await;
    let begun = Instant::now();
    let answer = transport.call(&attempt(&agent), &News::default()).await;
    assert!(begun.elapsed() < TIMEOUT + LATE, "it took {:?}", begun.elapsed());
    until(|| async { agent.seen.busy.load(Ordering::SeqCst) == 0 }).await;
    let told = answer.map(|answer| completed(Ok(answer)).0.to_string()).map_err(|error| error.to_string());
    (told, agent.seen)
}

/// Watches the highest resident size of this process.
struct Peak {
    stop: mpsc::Sender<()>,
    watching: JoinHandle<usize>,
    begun: usize,
}

impl Peak {
    fn watch() -> Self {
        let (stop, stopped) = mpsc::channel();
        let watching = std::thread::spawn(move || {
            let mut highest = 0;
            while stopped.recv_timeout(Duration::from_millis(5)) == Err(mpsc::RecvTimeoutError::Timeout) {
                highest = highest.max(resident());
            }
            highest
        });
        Self { stop, watching, begun: resident() }
    }

    /// By how many bytes it grew.
    fn growth(self) -> usize {
        self.stop.send(()).unwrap();
        self.watching.join().unwrap().saturating_sub(self.begun)
    }
}

fn resident() -> usize {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap();
    told.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}

#[tokio::test(flavor = "multi_thread")]
async fn every_vice_fails_its_attempt_in_time_with_a_reason_and_no_other() {
    let transport = hasty();
    let peak = Peak::watch();
    let good = Raw::start(vices::stutters).await;
    let meetings = stream::iter(vices::ALL).map(|(name, vice, kind, words)| {
        let transport = &transport;
        async move { (name, kind, words, meet(transport, vice).await) }
    });
    let meetings = meetings.buffered(AT_ONCE).collect::<Vec<_>>();
    // Meanwhile another agent is called over the same transport, again and again.
    let neighbour = async {
        for _ in 0..20 {
            let call = AgentCall { timeout: LATE, ..attempt(&good) };
            assert_eq!(completed(transport.call(&call, &News::default()).await).0, "whole");
        }
    };
    let (meetings, ()) = tokio::join!(meetings, neighbour);
    for (name, kind, words, (told, seen)) in meetings {
        let sent = seen.sent.load(Ordering::SeqCst);
        let error = told.expect_err(name);
        assert!(error.starts_with(kind) && error.contains(words), "{name}: {error}");
        assert_eq!(seen.count("SendStreamingMessage"), 1, "{name}: the message is sent once");
        let kept = if name == "huge-artifact" { 16 << 20 } else { 0 };
        assert!(name == "never-ends" || sent < kept + WINDOWS, "{name}: {sent} bytes were taken");
        if kind != "UNAVAILABLE" {
            until(|| async { seen.open.load(Ordering::SeqCst) == 0 }).await;
        }
        let works = ["hangs-at-work", "never-ends", "garbage-at-work", "huge-artifact", "other-task"];
        assert!(!works.contains(&name) || seen.count("CancelTask") > 0, "{name}: its task is stopped");
        assert!(name != "other-run" || seen.count("CancelTask") == 0, "the task of the other run is left alone");
    }
    let grown = peak.growth();
    assert!(grown < vices::GIB / 2, "grown by {} MiB", grown >> 20);
}

#[tokio::test]
async fn what_comes_after_the_end_changes_nothing() {
    let (told, seen) = meet(&hasty(), vices::talks_on).await;
    assert_eq!(told, Ok("\"right\"".to_owned()));
    assert_eq!(seen.asked.lock().unwrap().as_slice(), ["SendStreamingMessage"], "nothing more is asked");
}

#[tokio::test]
async fn what_comes_twice_or_too_early_does_not_spoil_the_answer() {
    assert_eq!(meet(&hasty(), vices::stutters).await.0, Ok("\"whole\"".to_owned()));
}

#[tokio::test]
async fn an_agent_that_dies_before_or_after_its_effect_does_it_once() {
    for vice in [vices::dies_before as Vice, vices::dies_after] {
        let (agent, transport) = (Raw::start(vice).await, hasty());
        let first = attempt(&agent);
        let lost = transport.call(&first, &News::default()).await.unwrap_err();
        assert_eq!((lost.kind, lost.kind.retry()), (AgentErrorKind::Unavailable, Retry::Again), "{lost}");
        // Nothing is known of the message, so that there is nothing to wait for.
        assert_eq!(transport.reattach(&first, &News::default()).await, Ok(None));
        let mut second = first.clone();
        second.key.attempt = 2;
        assert_eq!(completed(transport.call(&second, &News::default()).await).0, "done");
        assert_eq!(*agent.seen.effects.lock().unwrap(), [first.key.operation_id()]);
    }
}
