//! The loop around one driver: messages in, effects out.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tutti_core::ids::{AttemptKey, Capability};
use tutti_core::ports::agent::AgentErrorKind::InvalidAnswer;
use tutti_core::ports::agent::{AgentCall, AgentEndpoint, AgentError, AgentUpdate, UpdateSink};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::observer::Observer;
use tutti_core::ports::store::{RunStore, StoreError};
use tutti_core::run::Input;
use tutti_core::time::Timestamp;
use tutti_core::value::Json;
use tutti_core::workflow::Priority;

use crate::dispatcher::{AttemptContext, AttemptSpec, Tally, cancel, run_attempt};
use crate::driver::{Asker, AttemptEnd, Decided, DecidedRun, Driver, Effect, Message};
use crate::hub::{Hub, Update};
use crate::loader::set_aside;
use crate::room::Room;

/// Messages handled before what they lead to is decided: bounds how long a decision waits under load.
const BATCH: usize = 1024;

/// Longest sleep; the wall clock may be set, and a sleep does not notice.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// First and longest wait before a creation in doubt is repeated.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));

/// What a lane needs.
pub(crate) struct Lane {
    /// Which of the engine's.
    pub(crate) number: usize,
    pub(crate) room: Arc<Room>,
    pub(crate) driver: Driver,
    pub(crate) messages: mpsc::UnboundedReceiver<Message>,
    pub(crate) sender: mpsc::UnboundedSender<Message>,
    pub(crate) commits: mpsc::UnboundedSender<Decided>,
    pub(crate) store: Arc<dyn RunStore>,
    pub(crate) attempts: Arc<AttemptContext>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) calls: HashMap<AttemptKey, AbortHandle>,
}

impl Lane {
    /// Runs until drained.
    pub(crate) async fn run(mut self) {
        loop {
            let sleep = self.driver.next_tick().map_or(MAX_SLEEP, |at| at.since(self.clock.now()).min(MAX_SLEEP));
            let first = match tokio::time::timeout(sleep, self.messages.recv()).await {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(_) => Message::Tick,
            };
            let now = self.clock.now();
            let clock = self.clock.clone();
            let mut random = || clock.random();
            self.take(first, now, &mut random);
            for _ in 1..BATCH {
                let Ok(message) = self.messages.try_recv() else { break };
                self.take(message, now, &mut random);
            }
            self.driver.handle(Message::Tick, now, &mut random);
            self.driver.pump(now, &mut random);
            self.room.note(self.number, self.driver.runs());
            for effect in self.driver.effects() {
                if let Effect::Drained(done) = effect {
                    self.calls.values().for_each(AbortHandle::abort);
                    done();
                    return;
                }
                self.carry_out(effect);
            }
        }
    }

    fn take(&mut self, message: Message, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        if let Message::AttemptEnded { key, .. } = &message {
            self.calls.remove(key);
        }
        self.driver.handle(message, now, random);
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Create(decided) => {
                tokio::spawn(create(self.store.clone(), decided, self.sender.clone()));
            }
            Effect::Commit(decided) => {
                // The committer ends only after this lane.
                let _ = self.commits.send(*decided);
            }
            Effect::Call(spec) => self.call(spec),
            Effect::Abort { key, agent, task } => self.abort(key, agent, task),
            Effect::Publish(run, event) => {
                self.observer.recorded(run, &event);
                self.hub.publish(run, Update::Event(event));
            }
            Effect::Close { run, ended } => {
                if !ended {
                    self.hub.publish(run, Update::Released);
                }
                self.hub.close(run);
            }
            Effect::Quarantine(run, reason) => {
                let (store, now, id) = (self.store.clone(), self.clock.now(), self.clock.random());
                tokio::spawn(async move {
                    // Whoever takes it over next meets the same panic, and is asked the same.
                    if let Err(error) = set_aside(&*store, run, reason, now, id).await {
                        tracing::error!(%run, %error, "a run whose handling panicked was not set aside");
                    }
                });
            }
            Effect::SaveSnapshot(run, snapshot) => {
                let store = self.store.clone();
                tokio::spawn(async move {
                    // Only a longer load next time is lost.
                    if let Err(error) = store.save_snapshot(run, snapshot).await {
                        tracing::warn!(%run, %error, "the snapshot was not kept");
                    }
                });
            }
            Effect::Reply(reply, answer) => reply(answer),
            Effect::ReplyCreated(reply, answer) => reply(answer),
            Effect::LetGo(done) | Effect::Drained(done) => done(),
        }
    }

    fn call(&mut self, spec: Box<AttemptSpec>) {
        let (context, sender, hub, tally) =
            (self.attempts.clone(), self.sender.clone(), self.hub.clone(), self.tally.clone());
        let key = spec.key.clone();
        let task = tokio::spawn(async move {
            let (key, step) = (spec.key.clone(), spec.step);
            let timed = tally.begin();
            let updates = Updates { key: key.clone(), sender: sender.clone(), hub };
            // A panic on the way is an answer like any other: the attempt failed.
            let end = AssertUnwindSafe(run_attempt(&context, &spec, &updates)).catch_unwind().await;
            let end = end.unwrap_or_else(|_| AttemptEnd::Failed(AgentError::new(InvalidAnswer, "the call panicked")));
            timed.end(!matches!(end, AttemptEnd::Failed(_) | AttemptEnd::Damaged(_)));
            // Without a lane nobody waits for it.
            let _ = sender.send(Message::AttemptEnded { key, step, end });
        });
        self.calls.insert(key, task.abort_handle());
    }

    fn abort(&mut self, key: AttemptKey, agent: Option<AgentEndpoint>, task: Option<String>) {
        if let Some(handle) = self.calls.remove(&key) {
            handle.abort();
        }
        let Some(agent) = agent else { return };
        let context = self.attempts.clone();
        tokio::spawn(async move { cancel(&context, &cancellation(key, agent, task)).await });
    }
}

/// Creates a run, repeating the request while nothing is known about it: the request id makes that safe.
async fn create(store: Arc<dyn RunStore>, decided: Box<DecidedRun>, lane: mpsc::UnboundedSender<Message>) {
    let (mut wait, longest) = RETRY;
    let outcome = loop {
        match store.create(decided.new.clone()).await {
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::warn!(%error, "a creation in doubt is repeated");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(longest);
            }
            outcome => break outcome,
        }
    };
    let _ = lane.send(Message::Created(decided, outcome));
}

/// A call as far as a cancellation needs it.
fn cancellation(key: AttemptKey, agent: AgentEndpoint, task: Option<String>) -> AgentCall {
    let unnamed: Capability = "unnamed".parse().expect("a valid name");
    AgentCall {
        agent,
        key,
        capability: unnamed,
        action: None,
        priority: Priority::Normal,
        input: Json::empty_object(),
        timeout: Duration::from_secs(5),
        idle_timeout: None,
        task,
        trace_parent: None,
        feedback: None,
    }
}

/// Takes the news of one attempt: a task id is recorded, the rest is only shown.
struct Updates {
    key: AttemptKey,
    sender: mpsc::UnboundedSender<Message>,
    hub: Arc<Hub>,
}

impl UpdateSink for Updates {
    fn update(&self, update: AgentUpdate) {
        if let AgentUpdate::Task(task) = &update {
            let input = Input::NoteTask { key: self.key.clone(), task: task.clone() };
            let _ = self.sender.send(Message::Input(self.key.run, input, Asker::Nobody));
        }
        self.hub.publish(self.key.run, Update::Progress { key: self.key.clone(), update });
    }
}
