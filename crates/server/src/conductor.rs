//! Drives one run from a command: the store, the agents, the engine and the view of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tutti_adapters_grpc::GrpcTransport;
use tutti_core::ids::{Capability, RunId};
use tutti_core::ports::clock::Clock;
use tutti_core::report::{Lesson, RunView};
use tutti_core::run::{Command, Order, RunStatus};
use tutti_core::workflow::Step;
use tutti_engine::{AgentService, AgentState, Engine, EngineError, Registry, StartRun, Update, Watch, learn};

use crate::agents::{AgentsFile, Fleet, Place};
use crate::cli::{Global, TextOrJson, by};
use crate::clock::SystemClock;
use crate::config::{ExecutionConfig, QualityConfig};
use crate::exit::{Exit, Failure, Result};
use crate::interrupts::Interrupts;
use crate::live::{Live, Progress};
use crate::output::say;
use crate::report::{Ending, Home, Show};
use crate::store::{Reader, Store, StoreSpec};
use crate::telemetry::{Page, Telemetry};

/// How often the view is drawn.
const TICK: Duration = Duration::from_millis(100);

/// How long the engine may take to let go of a run.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a run that waits for a person is watched: its agent may have got the answer already.
const WAIT: Duration = Duration::from_secs(2);

/// How a run comes to be driven.
pub enum Begin {
    /// It is created.
    Start(Box<StartRun>),
    /// It goes on from here.
    Resume(Box<RunView>),
}

/// What is needed to drive a run.
pub struct Conductor {
    spec: StoreSpec,
    store: Store,
    place: Place,
    transport: Arc<GrpcTransport>,
    execution: ExecutionConfig,
    quality: QualityConfig,
    registry: Registry,
    telemetry: Telemetry,
    interrupts: Interrupts,
}

/// How the watching ended.
enum End {
    /// The run has ended, or goes no further by itself.
    Over,
    /// By this signal.
    Interrupted(u8),
}

impl Conductor {
    /// Opens the store for driving its runs.
    ///
    /// # Errors
    /// A store that is in use or cannot be used.
    pub async fn open(global: &Global) -> Result<Self> {
        Self::on(global.store.open().await?, global)
    }

    /// Drives runs of a store that was opened for it.
    ///
    /// # Errors
    /// Telemetry that cannot be started.
    pub fn on(store: Store, global: &Global) -> Result<Self> {
        let interrupts = Interrupts::listen()?;
        let spec = global.store.clone();
        let transport = Arc::new(GrpcTransport::new(global.config.agents.transport()));
        let (execution, quality) = (global.config.execution.clone(), global.config.quality.clone());
        let telemetry = Telemetry::start(&global.config.telemetry, Page::None).map_err(Failure::usage)?;
        telemetry.observe_agents(transport.clone());
        let registry = Registry::new(global.config.agents.dispatch());
        telemetry.observe_dispatch(&registry);
        Ok(Self { place: spec.place(), spec, store, transport, execution, quality, registry, telemetry, interrupts })
    }

    /// Starts the agents, drives the run to its end, reports, and stops the agents.
    ///
    /// # Errors
    /// Agents that cannot be started, a run that cannot be started or goes on elsewhere.
    pub async fn conduct(self, agents: &AgentsFile, begin: Begin, show: &Show) -> Result<Exit> {
        let mut fleet = Fleet::new(&self.place, agents)?;
        let outcome = self.play(&mut fleet, agents, begin, show).await;
        // A question that is open at an agent can be answered there; the agent stops by itself if nobody comes back.
        let leave = matches!(outcome, Ok(Exit::Waiting | Exit::Undecided)) && self.spec != StoreSpec::Memory;
        if !leave {
            fleet.stop().await;
        }
        self.telemetry.stop().await;
        outcome
    }

    /// The store, for those who look on.
    pub fn reader(&self) -> Reader {
        self.store.reader()
    }

    /// Starts the agents, drives runs one after another, each to its end, and stops the agents. `seen` is told of each run when
    /// it has ended, and may end the rehearsal.
    ///
    /// # Errors
    /// As [`conduct`](Self::conduct), and what `seen` says.
    pub async fn rehearse(
        self,
        agents: &AgentsFile,
        starts: Vec<StartRun>,
        mut seen: impl FnMut(&RunView) -> Result<()>,
    ) -> Result<Vec<RunView>> {
        let mut fleet = Fleet::new(&self.place, agents)?;
        let outcome = async {
            let mut views = Vec::with_capacity(starts.len());
            let mut starts = starts.into_iter();
            let Some(first) = starts.next() else { return Ok(views) };
            let begin = Begin::Start(Box::new(first));
            self.launch(&mut fleet, agents, &begin).await?;
            let engine = self.engine();
            let (tell, mut news) = unbounded_channel();
            let show = Show::new(Progress::Quiet, TextOrJson::Json, false);
            let driving = async {
                for begin in std::iter::once(begin).chain(starts.map(|start| Begin::Start(Box::new(start)))) {
                    let ending = self.drive(&engine, agents, begin, &show, &mut news).await?;
                    if let Some(signal) = ending.signal {
                        return Err(Failure::quiet(Exit::Signal(signal)));
                    }
                    if let Some(created) = ending.view.created() {
                        self.place.forget_run(created.request);
                    }
                    self.learn(&ending.view).await;
                    seen(&ending.view)?;
                    views.push(ending.view);
                }
                Ok(views)
            };
            let outcome = tokio::select! {
                outcome = driving => outcome,
                never = fleet.watch(&*self.transport, engine.registry(), tell) => match never {},
            };
            self.let_go(&engine).await;
            outcome
        }
        .await;
        fleet.stop().await;
        self.telemetry.stop().await;
        outcome
    }

    async fn play(&self, fleet: &mut Fleet<'_>, agents: &AgentsFile, begin: Begin, show: &Show) -> Result<Exit> {
        self.launch(fleet, agents, &begin).await?;
        let engine = self.engine();
        let (tell, mut news) = unbounded_channel();
        let answering = async {
            engine.answer_inbox().await;
            std::future::pending::<std::convert::Infallible>().await
        };
        let outcome = tokio::select! {
            outcome = self.drive(&engine, agents, begin, show, &mut news) => outcome,
            never = answering => match never {},
            never = fleet.watch(&*self.transport, engine.registry(), tell) => match never {},
        };
        self.let_go(&engine).await;
        let ending = outcome?;
        if ending.view.status().is_ended()
            && let Some(created) = ending.view.created()
        {
            self.place.forget_run(created.request);
        }
        self.learn(&ending.view).await;
        show.ending(ending, &self.store.reader(), Home::Driven(&self.spec)).await
    }

    /// Starts the agents and makes them known.
    async fn launch(&self, fleet: &mut Fleet<'_>, agents: &AgentsFile, begin: &Begin) -> Result<()> {
        tokio::select! {
            launched = fleet.launch(&*self.transport) => launched?,
            signal = self.interrupts.first() => {
                say("stopped while the agents started");
                return Err(Failure::quiet(Exit::Signal(signal)));
            }
        }
        let registry = &self.registry;
        fleet.members().iter().for_each(|member| registry.register(member.record()));
        AgentService::enlist(registry, &*self.store.records, SystemClock.now()).await?;
        check_offers(begin, registry, agents)
    }

    fn engine(&self) -> Engine {
        let ports = self.store.ports(self.transport.clone(), &self.telemetry);
        Engine::start(ports, self.registry.clone(), self.execution.engine(&self.quality))
    }

    async fn let_go(&self, engine: &Engine) {
        if timeout(DRAIN, engine.shutdown()).await.is_err() {
            tracing::warn!("the engine did not let go of the run in time");
        }
    }

    /// Keeps what the run took, for the plans of the next ones.
    async fn learn(&self, view: &RunView) {
        let (Some(lesson), Some(created)) = (Lesson::of(view), view.created()) else { return };
        let kept = learn(&*self.store.records, &created.namespace, &created.workflow, &[lesson]).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "what the run took was not kept for the plans of the next ones");
        }
    }

    /// Begins the run and follows it, with the news of the agents.
    async fn drive(
        &self,
        engine: &Engine,
        agents: &AgentsFile,
        begin: Begin,
        show: &Show,
        news: &mut UnboundedReceiver<String>,
    ) -> Result<Ending> {
        let (run, watch, view) = match begin {
            Begin::Start(start) => self.start(engine, agents, *start).await?,
            Begin::Resume(view) => {
                let run = view.run().ok_or_else(|| Failure::unavailable("the run has no history"))?;
                (run, None, *view)
            }
        };
        if view.status().is_ended() {
            return Ok(Ending { view, signal: None });
        }
        let mut live = Live::new(show.progress, view);
        let watch = match watch {
            Some(watch) => watch,
            None => {
                let watch = engine.watch(run);
                engine.command(run, Command::Resume, Order::new(by(), "")).await.map_err(failure)?;
                watch
            }
        };
        let end = self.follow(run, watch, news, &mut live).await;
        while let Ok(text) = news.try_recv() {
            live.notice(&text, SystemClock.now());
        }
        let view = live.finish();
        let signal = match end? {
            End::Over => None,
            End::Interrupted(signal) => Some(signal),
        };
        Ok(Ending { view, signal })
    }

    /// Creates the run and watches it from its first event; one that its request created before is only looked up.
    async fn start(
        &self,
        engine: &Engine,
        agents: &AgentsFile,
        start: StartRun,
    ) -> Result<(RunId, Option<Watch>, RunView)> {
        self.place.save_run(start.request, &agents.path).map_err(|error| {
            Failure::unavailable(format!("{} cannot be written: {error}", self.place.folder().display()))
        })?;
        let (run, plan, namespace) = (engine.new_run_id(), start.plan.clone(), start.namespace.clone());
        let watch = engine.watch(run);
        let started = engine.start_run_as(run, start).await.map_err(failure)?;
        if !started.existed {
            return Ok((run, Some(watch), RunView::new(plan)));
        }
        say(format!("run {} was started by this request before", started.run));
        let reader = self.store.reader().within(&namespace);
        let summary = reader.find(&started.run.to_string()).await?;
        Ok((started.run, None, reader.view(&summary).await?))
    }

    /// Watches a run until it ends, waits for a person, or a signal comes.
    async fn follow(
        &self,
        run: RunId,
        mut watch: Watch,
        of_agents: &mut UnboundedReceiver<String>,
        live: &mut Live,
    ) -> Result<End> {
        let mut ticker = interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_news = Instant::now();
        self.catch_up(run, live).await?;
        loop {
            let status = live.view().status();
            let waits = status == RunStatus::Waiting && last_news.elapsed() >= WAIT;
            if waits || !(status.is_open() || status == RunStatus::Paused) {
                live.tick(SystemClock.now());
                return Ok(End::Over);
            }
            tokio::select! {
                biased;
                signal = self.interrupts.first() => return Ok(End::Interrupted(signal)),
                _ = ticker.tick() => live.tick(SystemClock.now()),
                Some(text) = of_agents.recv() => live.notice(&text, SystemClock.now()),
                news = watch.next() => {
                    last_news = Instant::now();
                    match news {
                        Ok(Some(Update::Progress { key, update })) => live.progress(&key, update),
                        Ok(Some(Update::Event(event))) if event.seq == live.view().seq() + 1 => live.apply(&event),
                        Ok(Some(Update::Event(event))) if event.seq <= live.view().seq() => {}
                        Ok(Some(Update::Event(_))) | Err(_) => self.catch_up(run, live).await?,
                        Ok(Some(Update::Released) | None) => {
                            self.catch_up(run, live).await?;
                            if live.view().status().is_open() {
                                return Err(Failure::unavailable(format!("run {run} is not driven here any more"))
                                    .next(format!("tutti events {run} --follow")));
                            }
                        }
                    }
                }
            }
        }
    }

    /// Shows what the store has and was not shown yet.
    async fn catch_up(&self, run: RunId, live: &mut Live) -> Result<()> {
        let reader = self.store.reader();
        loop {
            let page = reader.events(run, live.view().seq() + 1).await?;
            if page.is_empty() {
                return Ok(());
            }
            page.iter().for_each(|event| live.apply(event));
        }
    }
}

/// Refuses a run that no agent can finish: nobody can join while this command runs.
fn check_offers(begin: &Begin, registry: &Registry, agents: &AgentsFile) -> Result<()> {
    let namespace = match begin {
        Begin::Start(start) => start.namespace.clone(),
        Begin::Resume(view) => view.created().map(|created| created.namespace.clone()).unwrap_or_default(),
    };
    let list = registry.list_for(&namespace, SystemClock.now());
    let able = |step: &Step| {
        list.iter().any(|AgentState { record, .. }| {
            step.agent.as_ref().is_none_or(|pinned| *pinned == record.id)
                && step.capability.as_ref().is_none_or(|capability| record.capabilities.contains(capability))
        }) || step.capability.is_none()
    };
    let ahead: Vec<&Step> = match begin {
        Begin::Start(start) => start.plan.workflow().steps.iter().collect(),
        Begin::Resume(view) => view.steps().filter(|step| !step.status.is_ended()).map(|step| step.step).collect(),
    };
    let unable: Vec<String> = ahead
        .into_iter()
        .flat_map(|step| step.within().into_iter().map(|(_, step)| step))
        .filter(|step| !able(step))
        .map(|step| match &step.agent {
            Some(agent) => format!("  step {}: agent \"{agent}\" with \"{}\"", step.id, step.does()),
            None => format!("  step {}: an agent with \"{}\"", step.id, step.does()),
        })
        .collect();
    if unable.is_empty() {
        return Ok(());
    }
    let offered: Vec<String> = list
        .iter()
        .map(|AgentState { record, .. }| {
            let names: Vec<&str> = record.capabilities.iter().map(Capability::as_str).collect();
            format!("  agent {}: {}", record.id, names.join(", "))
        })
        .collect();
    let file = agents.path.display();
    Err(Failure::usage(format!("the workflow needs\n{}\nbut {file} offers\n{}", unable.join("\n"), offered.join("\n")))
        .next("add the agent to the agents file, or name another by --agents FILE"))
}

/// What a refusal of the engine means for a command.
pub fn failure(error: EngineError) -> Failure {
    match error {
        EngineError::Store(error) => error.into(),
        EngineError::Rejected(_) | EngineError::Refused(_) | EngineError::NotFound(_) => {
            Failure::usage(error.to_string())
        }
        EngineError::Quarantined(run) => {
            Failure::undecided(error.to_string()).next(format!("tutti events {run} tells what it did last"))
        }
        _ => Failure::unavailable(error.to_string()),
    }
}
