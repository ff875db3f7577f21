//! One owner at a time, and what is under way around it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tutti_core::ids::{RunId, StepPath};
use tutti_core::invariants::{check_history, epochs_never_fall};
use tutti_core::plan::{StepIndex, input_of, run_data};
use tutti_core::ports::agent::{AgentError, AgentErrorKind, Need};
use tutti_core::run::{Event, Input, Order, Recorded, RunState, decode, fold};
use tutti_core::time::Timestamp;
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::StepKind;
use tutti_engine::driver::{
    AdoptRun, Asker, AttemptEnd, AttemptSpec, CreateRun, Decided, DecidedRun, Driver, Effect, Message,
};
use tutti_engine::{CallMode, EngineError, Plans, TakeOver, load};

use super::{End, Order as Turn, Played, Point, Script};
use crate::sim::agents::{Agents, Outcome, Task};
use crate::sim::own::{attempts, is_own};
use crate::sim::{Case, Rng, driver};
use crate::stores::Stores;

/// How long the run of a dead owner waits for another one.
const LEASE: Duration = Duration::from_secs(4);

/// Turns after which a run is taken to go in circles.
const MAX_TURNS: usize = 10_000;

/// Something that is under way.
enum Pending {
    Deliver(Message),
    Create(Box<DecidedRun>),
    Commit(Box<Decided>),
    End(Box<AttemptSpec>, Outcome),
}

pub(super) struct World<'a> {
    script: &'a Script,
    order: &'a mut Turn,
    death: Option<Point>,
    stores: Option<Stores>,
    driver: Driver,
    now: Timestamp,
    /// For ids and waits; not for the order.
    rng: Rng,
    agents: Agents,
    pending: Vec<Pending>,
    run: Option<RunId>,
    /// The last event that a person has seen.
    looked_at: u64,
    /// Messages that were answered once.
    answered: BTreeSet<String>,
    writes: u32,
    died: bool,
    found_again: u32,
    sent_late: u32,
}

impl<'a> World<'a> {
    pub(super) fn new(script: &'a Script, order: &'a mut Turn, death: Option<Point>, stores: Stores) -> Self {
        Self {
            script,
            order,
            death,
            stores: Some(stores),
            driver: driver(),
            now: Timestamp::from_micros(1_000_000_000_000),
            rng: Rng::new(1),
            agents: Agents::default(),
            pending: Vec::new(),
            run: None,
            looked_at: 0,
            answered: BTreeSet::new(),
            writes: 0,
            died: false,
            found_again: 0,
            sent_late: 0,
        }
    }

    pub(super) const fn writes(&self) -> u32 {
        self.writes
    }

    pub(super) const fn has_died(&self) -> bool {
        self.died
    }

    pub(super) async fn start(&mut self, create: CreateRun) {
        self.run = Some(create.run);
        self.deliver(Message::Create(Box::new(create), Box::new(|_| {}))).await;
    }

    /// Goes on until nothing is under way or the owner has died.
    pub(super) async fn go_on(&mut self) {
        for _ in 0..MAX_TURNS {
            if self.stores.is_none() || !self.turn().await {
                return;
            }
        }
        panic!("{}: {MAX_TURNS} turns", self.script.name);
    }

    /// A new owner, who knows nothing yet.
    pub(super) fn revive(&mut self, stores: Stores) {
        self.stores = Some(stores);
        self.now = self.now.plus(LEASE);
    }

    /// The owner goes on with a run; `false` if the store does not have it.
    pub(super) async fn take_over(&mut self, run: RunId) -> bool {
        let id = self.rng.bits();
        let stores = self.stores();
        let reading = (&*stores.query, &Plans::default());
        match load(&*stores.runs, reading, run, TakeOver::Automatic, false, self.now, id).await {
            Ok(loaded) if loaded.state.status().is_open() => {
                let adopt = AdoptRun { state: loaded.state, epoch: loaded.epoch, command: None };
                self.deliver(Message::Adopt(Box::new(adopt), Asker::Nobody)).await;
                true
            }
            Ok(_) => true,
            Err(EngineError::NotFound(_)) => false,
            Err(error) => panic!("{}: the run cannot be loaded: {error}", self.script.name),
        }
    }

    async fn turn(&mut self) -> bool {
        self.now = self.now.plus(Duration::from_millis(1 + self.rng.below(20)));
        if (self.pending.is_empty() || self.script.is_eager) && self.person().await {
            return true;
        }
        if self.pending.is_empty() {
            let Some(at) = self.driver.next_tick() else { return false };
            self.now = self.now.max(at);
            self.pending.push(Pending::Deliver(Message::Tick));
        }
        let next = self.next();
        match self.pending.remove(next) {
            Pending::Deliver(message) => self.deliver(message).await,
            Pending::Create(decided) => self.create(decided).await,
            Pending::Commit(decided) => self.commit(decided).await,
            Pending::End(spec, outcome) => self.end(*spec, outcome).await,
        }
        true
    }

    /// A person looks at the run, and perhaps wants something of it.
    async fn person(&mut self) -> bool {
        let Some(run) = self.run else { return false };
        let live = self.driver.state(run).cloned();
        let state = match &live {
            Some(state) => Some(state.clone()),
            None => fold(&self.script.case.plan, &self.history(run).await),
        };
        let Some(state) = state.filter(|state| !self.script.is_eager || self.looked_at != state.seq()) else {
            return false;
        };
        self.looked_at = state.seq();
        let Some(command) = (self.script.person)(&state, self.script.about) else { return false };
        let order = Order::new("ana", "as the script says");
        if live.is_some() {
            self.deliver(Message::Input(run, Input::Command { command, order }, Asker::Nobody)).await;
            return true;
        }
        let id = self.rng.bits();
        let stores = self.stores();
        let loaded =
            load(&*stores.runs, (&*stores.query, &Plans::default()), run, TakeOver::ByOperator, false, self.now, id)
                .await;
        let loaded = loaded.expect("a run that a person looked at can be loaded");
        let adopt = AdoptRun { state: loaded.state, epoch: loaded.epoch, command: Some((command, order)) };
        self.deliver(Message::Adopt(Box::new(adopt), Asker::Nobody)).await;
        true
    }

    async fn history(&self, run: RunId) -> Vec<Recorded> {
        let stored = self.stores().query.events(run, 1, usize::MAX).await.expect("the store reads events");
        stored.iter().map(|s| decode(&s.event).expect("written by this build")).collect()
    }

    fn next(&mut self) -> usize {
        match &mut *self.order {
            Turn::Random(rng) => rng.below(self.pending.len() as u64) as usize,
            Turn::Turns(turns) => {
                let other = self.pending.iter().position(|pending| !matches!(pending, Pending::End(..)));
                other.unwrap_or_else(|| turns.choose(self.pending.len()))
            }
        }
    }

    async fn deliver(&mut self, message: Message) {
        let now = self.now;
        let mut random = || self.rng.bits();
        self.driver.handle(message, now, &mut random);
        self.driver.handle(Message::Tick, now, &mut random);
        self.driver.pump(now, &mut random);
        for effect in self.driver.effects() {
            match effect {
                Effect::Create(decided) => self.pending.push(Pending::Create(decided)),
                Effect::Commit(decided) => self.pending.push(Pending::Commit(decided)),
                Effect::Call(spec) => self.call(spec).await,
                Effect::Quarantine(run, reason) => panic!("{run}: {reason}"),
                Effect::SaveSnapshot(run, snapshot) => {
                    self.stores().runs.save_snapshot(run, snapshot).await.expect("the store keeps snapshots");
                }
                Effect::Reply(reply, answer) => reply(answer),
                Effect::ReplyCreated(reply, answer) => reply(answer),
                Effect::LetGo(done) | Effect::Drained(done) => done(),
                Effect::Abort { .. } | Effect::Publish(..) | Effect::Close { .. } => {}
            }
        }
    }

    async fn create(&mut self, decided: Box<DecidedRun>) {
        self.writes += 1;
        if self.dies(Point::Before(self.writes)) {
            return;
        }
        let created = self.stores().runs.create(decided.new.clone()).await;
        if self.dies(Point::After(self.writes)) {
            return;
        }
        self.pending.push(Pending::Deliver(Message::Created(decided, created)));
    }

    async fn commit(&mut self, decided: Box<Decided>) {
        self.writes += 1;
        if self.dies(Point::Before(self.writes)) {
            return;
        }
        let answer = self.stores().runs.commit(vec![decided.commit.clone()]).await;
        if self.dies(Point::After(self.writes)) {
            return;
        }
        let settled = decided.settle(answer.map(|outcomes| outcomes[0]));
        self.pending.push(Pending::Deliver(Message::Settled(vec![settled])));
    }

    /// The owner dies if this is the point: what it held, and what was on its way to it, is gone.
    fn dies(&mut self, point: Point) -> bool {
        if self.death != Some(point) {
            return false;
        }
        self.death = None;
        self.died = true;
        self.driver = driver();
        self.pending.clear();
        self.stores = None;
        true
    }

    async fn call(&mut self, spec: Box<AttemptSpec>) {
        if is_own(&spec) {
            let end = attempts(self.stores().payloads.clone()).carry_out(&spec).await;
            let ended = Message::AttemptEnded { key: spec.key, step: spec.step, end };
            self.pending.push(Pending::Deliver(ended));
            return;
        }
        let until = self.now.plus(Duration::from_secs(2));
        let need = match spec.plan.step(spec.step).kind() {
            StepKind::Call(_) | StepKind::Holds => None,
            StepKind::Approval(_) => Some((Need::Approval, None)),
            StepKind::Signal(_) => Some((Need::Signal, None)),
            StepKind::Sleep(_) => Some((Need::Time, None)),
            StepKind::WaitUntil(_) => Some((Need::Time, Some(until))),
        };
        if let Some((need, until)) = need {
            let end = AttemptEnd::Suspended { need, message: "?".into(), until, shown: None };
            let ended = Message::AttemptEnded { key: spec.key, step: spec.step, end };
            self.pending.push(Pending::Deliver(ended));
            return;
        }
        let message = spec.key.message_id();
        let outcome = match self.agents.find(&message) {
            Some(task) => {
                assert_eq!(spec.mode, CallMode::Reattach, "{message} is sent twice");
                self.found_again += 1;
                task.outcome.clone()
            }
            None => {
                self.sent_late += u32::from(spec.mode == CallMode::Reattach);
                let outcome = self.outcome(&spec).await;
                self.agents.take(message.clone(), Task { ends_at: self.now, outcome: outcome.clone() });
                outcome
            }
        };
        let note = Input::NoteTask { key: spec.key.clone(), task: format!("task of {message}") };
        self.pending.push(Pending::Deliver(Message::Input(spec.key.run, note, Asker::Nobody)));
        self.pending.push(Pending::End(spec, outcome));
    }

    async fn outcome(&self, spec: &AttemptSpec) -> Outcome {
        let known = self.script.case.plan.indexes().position(|step| step == spec.step).unwrap_or(usize::MAX);
        // Whoever tries again a run that recovers has mended what was wrong.
        let is_mended = self.script.case.recovers && spec.key.generation > 0;
        let is_impossible = self.script.case.impossible.get(known).is_some_and(|is| *is);
        if !is_mended && (is_impossible || is_told_to_fail(&spec.plan.step(spec.step).action, &spec.key.path)) {
            return Outcome::Failed(AgentError::new(Case::impossible_kind(), "nobody can"));
        }
        if self.script.fails.get(known).is_some_and(|fails| spec.key.attempt <= *fails) {
            return Outcome::Failed(AgentError::new(AgentErrorKind::Failed, "as the script says"));
        }
        let data = self.value(spec.key.run, &spec.data).await;
        let mut outputs = BTreeMap::new();
        for (step, payload) in &spec.outputs {
            outputs.insert(*step, self.value(spec.key.run, payload).await);
        }
        if self.script.case.recovers {
            return Outcome::Completed(Case::answer(&spec.plan, spec.step, &data, &outputs));
        }
        let input = input_of(&spec.plan, spec.step, &data, |step| outputs.get(&step).cloned());
        Outcome::Completed(Case::output(&spec.key.path, &input.expect("every field has a value").value))
    }

    async fn end(&mut self, spec: AttemptSpec, outcome: Outcome) {
        let again = self.script.answers_twice && self.answered.insert(spec.key.message_id());
        if again {
            self.pending.push(Pending::End(Box::new(spec.clone()), outcome.clone()));
        }
        let end = match outcome {
            Outcome::Completed(output) => {
                let payload = Payload::of(&output);
                if let Payload::Stored(_) = payload {
                    let kept = self.stores().payloads.put(spec.key.run, output.bytes().clone()).await;
                    kept.expect("the store keeps payloads");
                }
                AttemptEnd::Completed {
                    output: payload,
                    artifacts: vec![],
                    missing_inputs: vec![],
                    report: None,
                    grows: None,
                    findings: None,
                }
            }
            Outcome::Failed(error) => AttemptEnd::Failed(error),
            Outcome::Asks => unreachable!("agents in scripts do not ask"),
        };
        self.deliver(Message::AttemptEnded { key: spec.key, step: spec.step, end }).await;
    }

    /// Checks the history of the run and gives how it ended.
    pub(super) async fn finish(self, run: RunId, writes: u32) -> Played {
        let stored = self.stores().query.events(run, 1, usize::MAX).await.expect("the store reads events");
        let history = self.history(run).await;
        epochs_never_fall(&stored).unwrap_or_else(|violation| panic!("{violation}"));
        let state = check_history(&self.script.case.plan, &history).unwrap_or_else(|violation| panic!("{violation}"));
        assert!(state.status().is_ended(), "{}: the run is {}", self.script.name, state.status());
        let mut events = BTreeMap::new();
        for recorded in history.iter().filter(|recorded| !matches!(recorded.event, Event::TaskAssigned(_))) {
            *events.entry(recorded.event.name()).or_default() += 1;
        }
        let steps = state.steps().iter().map(|step| (step.status(), step.attempts)).collect();
        let end = End { steps, data: self.data(&state).await, events, messages: self.agents.len() };
        Played { end, writes, died: self.died, found_again: self.found_again, sent_late: self.sent_late }
    }

    async fn data(&self, state: &RunState) -> Json {
        let plan = state.plan();
        let mut outputs = HashMap::new();
        for step in 0..plan.len() as StepIndex {
            if let Some(payload) = state.output(step) {
                outputs.insert(step, self.value(state.run(), payload).await);
            }
        }
        run_data(plan, &plan.workflow().data, |step| outputs.get(&step).cloned())
    }

    async fn value(&self, run: RunId, payload: &Payload) -> Json {
        match payload {
            Payload::Inline(value) => value.clone(),
            Payload::Stored(at) => {
                let bytes = self.stores().payloads.get(run, *at).await.expect("the store reads payloads");
                Json::parse(bytes.expect("stored before it was named")).expect("valid JSON")
            }
        }
    }

    fn stores(&self) -> &Stores {
        self.stores.as_ref().expect("an owner that lives has a store")
    }
}

/// True for a step whose action is `fail`, or `fail` and what its path ends with: so is one of those that a step holds.
fn is_told_to_fail(action: &Option<String>, path: &StepPath) -> bool {
    let ending = action.as_deref().and_then(|action| action.strip_prefix("fail"));
    ending.is_some_and(|ending| path.as_str().ends_with(ending.trim()))
}
