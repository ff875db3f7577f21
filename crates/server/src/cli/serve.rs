//! `tutti serve`: an engine as a service.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;
use tutti_adapters_grpc::GrpcTransport;
use tutti_adapters_grpc::api::{Api, Inbound};
use tutti_adapters_grpc::orchestrator::{AgentOptions, OrchestratorAgent};
use tutti_adapters_grpc::serve::ServeOptions;
use tutti_core::limits::STORE_PATIENCE;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::store::StoreError;
use tutti_engine::{
    AccessService, AgentService, Asker, Ended, EndedRuns, Engine, FleetMembership, FleetOptions, Registry,
    RetentionService, RunService, Strategist, WorkflowService,
};
use tutti_planner::strategy::{SystemLoad, choose};

use super::Global;
use super::agent::check_url;
use crate::agents::{AgentsFile, Fleet};
use crate::clock::SystemClock;
use crate::config::{Config, server_executor};
use crate::exit::{Exit, Failure, Result};
use crate::guard;
use crate::interrupts::Interrupts;
use crate::output::{answer, say};
use crate::patience::patiently;
use crate::planning::{QueryPlanner, describe};
use crate::report::with_store;
use crate::store::Store;
use crate::telemetry::{Page, Telemetry};

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The address to listen on; port 0 takes a free one. The address is printed on stdout. Default: what the configuration
    /// says, then 127.0.0.1:7780.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The agents. Default: what the configuration says, then agents.yaml in this folder.
    #[arg(long, value_name = "FILE")]
    agents: Option<PathBuf>,
    /// Listen on an address that other machines reach, though callers are not checked.
    #[arg(long)]
    insecure_public: bool,
}

/// # Errors
/// An address, a store or agents that cannot be used.
pub async fn execute(args: ServeArgs, global: Global) -> Result<Exit> {
    let mut config = global.config;
    config.store.url = global.store.clone();
    config.server.listen = args.listen.unwrap_or(config.server.listen);
    config.server.insecure_public |= args.insecure_public;
    guard::check_address(&config)?;
    guard::settle_policy(&mut config);
    if let Some(tls) = config.server.options(&config.tls).tls {
        tls.check().map_err(|error| Failure::usage(error.to_string()).next("tutti doctor tells what it is about"))?;
    }
    // The agents of a folder stand in agents.yaml, beside its workflows.
    let agents = AgentsFile::find(args.agents.as_deref().or(config.agents.file.as_deref()), "workflow.yaml".as_ref())?
        .unwrap_or_else(|| {
            say("no agents.yaml in this folder: agents are those that are registered, by `tutti agent add`");
            AgentsFile::none()
        });
    let interrupts = Interrupts::listen()?;
    let listen = config.server.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Failure::unavailable(format!("{listen} cannot be listened on: {error}"))
            .next("name another address by --listen, port 0 for a free one")
    })?;
    let store = unless_stopped(&interrupts, global.store.open_to_serve()).await?;
    let transport = Arc::new(GrpcTransport::new(config.agents.transport()));
    let telemetry = Telemetry::start(&config.telemetry, Page::Shown).map_err(Failure::usage)?;
    telemetry.observe_agents(transport.clone());
    let place = global.store.place();
    let mut fleet = Fleet::new(&place, &agents)?;
    let outcome = Box::pin(host(&mut fleet, &store, &transport, listener, (&interrupts, &config, &telemetry))).await;
    fleet.stop().await;
    telemetry.stop().await;
    outcome
}

/// Starts the agents, takes over the store's runs, and serves until a signal comes.
async fn host(
    fleet: &mut Fleet<'_>,
    store: &Store,
    transport: &Arc<GrpcTransport>,
    listener: TcpListener,
    (interrupts, config, telemetry): (&Interrupts, &Config, &Telemetry),
) -> Result<Exit> {
    unless_stopped(interrupts, fleet.launch(&**transport)).await?;
    let registry = Registry::new(config.agents.dispatch());
    telemetry.observe_dispatch(&registry);
    fleet.members().iter().for_each(|member| registry.register(member.record()));
    // Before runs are taken over: they may be with agents that were registered.
    let part = config.fleet.options(address(&listener)?);
    let agents = Arc::new(unless_stopped(interrupts, load(&registry, store, transport, (config, &part))).await?);
    let access = Arc::new(AccessService::new(store.records.clone(), Arc::new(SystemClock)));
    let mut ports = store.ports(transport.clone(), telemetry);
    let (observer, ended) = Ended::before(ports.observer);
    ports.observer = observer;
    let engine = Engine::start(ports, registry, config.execution.serving(&config.quality));
    telemetry.observe_stalled(&engine);
    let house = house(store, config, telemetry);
    let mut membership = unless_stopped(interrupts, join(&engine, store, part.clone())).await?;
    let (tell, mut news) = unbounded_channel();
    let serving = async {
        tokio::select! {
            // Who came in before the others gave up a part of the store would be sent away.
            () = engine.admitted() => {}
            signal = interrupts.first() => return Ok(Exit::Signal(signal)),
        }
        let inbound = (agents.clone(), access, house.clone());
        let served =
            Box::pin(serve(&engine, inbound, (listener, telemetry.routes()), ended, (interrupts, config))).await;
        if timeout(Duration::from_secs(config.server.drain_seconds), engine.shutdown()).await.is_err() {
            tracing::warn!("the engine did not let go of its runs in time");
        }
        served
    };
    let telling = async {
        while let Some(text) = news.recv().await {
            say(text);
        }
        pending::<Infallible>().await
    };
    let answering = async {
        engine.answer_inbox().await;
        pending::<Infallible>().await
    };
    let sharing = async {
        match &mut membership {
            Some(membership) => membership.run().await,
            None => pending().await,
        }
    };
    let served = tokio::select! {
        served = serving => served,
        () = sharing => Err(replaced(&part)),
        never = wake(&engine, store) => match never {},
        never = answering => match never {},
        never = house.keep_house(&engine, config.retention.interval()) => match never {},
        never = fleet.watch(&**transport, engine.registry(), tell) => match never {},
        never = agents.follow() => match never {},
        never = telling => match never {},
    };
    if let Some(membership) = membership
        && let Err(error) = membership.leave().await
    {
        tracing::warn!(%error, "the other servers take the runs over when the lease is over");
    }
    served
}

/// Does something unless a signal comes before its end.
async fn unless_stopped<T>(interrupts: &Interrupts, doing: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = doing => done,
        signal = interrupts.first() => Err(Failure::quiet(Exit::Signal(signal))),
    }
}

/// The agents that are registered in the store, whichever of its servers registers them.
async fn load(
    registry: &Registry,
    store: &Store,
    transport: &Arc<GrpcTransport>,
    (config, part): (&Config, &FleetOptions),
) -> Result<AgentService> {
    let check = check_url(config.agents.policy.policy());
    let clock = Arc::new(SystemClock);
    let load = async || {
        let (records, transport) = (store.records.clone(), transport.clone());
        AgentService::load(registry.clone(), records, transport, clock.clone(), check.clone()).await
    };
    let agents = patiently(STORE_PATIENCE, |error| matches!(error, RequestError::Unavailable(_)), load).await?;
    Ok(if store.fleet.is_some() { agents.shared(&part.server) } else { agents })
}

/// What removes runs that have ended.
fn house(store: &Store, config: &Config, telemetry: &Telemetry) -> RetentionService {
    let reading = (store.query.clone(), store.records.clone());
    let keep = config.retention.keep();
    RetentionService::new(store.retention.clone(), reading, Arc::new(SystemClock), keep, telemetry.removals())
}

/// Takes part in the fleet of a store that several servers may have.
async fn join(engine: &Engine, store: &Store, options: FleetOptions) -> Result<Option<FleetMembership>> {
    let Some(fleet) = &store.fleet else { return Ok(None) };
    let join = async || engine.join(fleet.clone(), options.clone()).await;
    Ok(Some(patiently(STORE_PATIENCE, StoreError::is_retryable, join).await?))
}

/// Brings in the runs that wait in the store; first those that were under way, unless their servers are others'.
async fn wake(engine: &Engine, store: &Store) -> Infallible {
    if store.fleet.is_none() {
        match engine.take_over_all().await {
            Ok(0) => {}
            Ok(taken) => say(format!("runs that go on: {taken}")),
            Err(error) => tracing::error!(%error, "runs that were under way do not go on"),
        }
    }
    engine.wake_runs().await;
    pending().await
}

fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|error| Failure::unavailable(error.to_string()))
}

fn replaced(options: &FleetOptions) -> Failure {
    Failure::unavailable(format!("another server was started under the id {}", options.server))
        .next("give each server an id of its own: fleet.server_id")
}

async fn serve(
    engine: &Engine,
    (agents, access, house): (Arc<AgentService>, Arc<AccessService>, RetentionService),
    (listener, http): (TcpListener, Router),
    ended: EndedRuns,
    (interrupts, config): (&Interrupts, &Config),
) -> Result<Exit> {
    let execution = config.execution.clone();
    let strategist: Strategist = Arc::new(move |plan, executor| {
        let available_workers = Some(plan.workflow().max_concurrent_tasks);
        choose(plan, server_executor(executor, &execution), SystemLoad { cpu: None, available_workers })
    });
    let planner = Arc::new(QueryPlanner::new(config, engine.registry().clone(), Some(Asker::of(engine)))?);
    let runs = RunService::new(engine.clone(), strategist, config.execution.service());
    let runs =
        runs.with_tombstones(&house).with_planner(planner.clone()).with_orchestration(config.orchestration.rules());
    let runs = Arc::new(runs);
    let described = config.clone();
    let workflows = WorkflowService::new(engine, Arc::new(move |subject| describe(subject, &described)))
        .with_planner(planner)
        .with_parallel_threshold(config.execution.service().parallel_threshold);
    let auth = guard::auth(config, access.clone(), &with_store(&config.store.url)).await?;
    let (watchdog, pupil) = (runs.clone(), runs.clone());
    let inbound = Inbound {
        runs: runs.clone(),
        views: runs.clone(),
        values: runs.clone(),
        workflows: Arc::new(workflows),
        agents,
        access,
        health: runs,
        clock: Arc::new(SystemClock),
    };
    let address = address(&listener)?;
    let options = config.server.options(&config.tls);
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    answer(&format!("listening on {scheme}://{address}\n"))?;
    let stop = async {
        interrupts.first().await;
        say("stopping: runs under way go on as soon as a server has this store");
    };
    let agent = agent(&inbound, config, &options);
    let server = &config.server;
    let api = Api::new(inbound).await.agent(&agent).auth(auth).reflection(server.reflection);
    let api = api.execute_stream(server.execute_stream).retention(Arc::new(house), Arc::new(SystemClock));
    let served = tokio::select! {
        served = api.serve(listener, http, options, stop) => served,
        never = watchdog.watch_progress(config.execution.watchdog()) => match never {},
        never = pupil.follow_ended(ended) => match never {},
    };
    served.map_err(|error| Failure::unavailable(error.to_string()))?;
    Ok(Exit::Done)
}

/// The server as an agent. A message is answered before the server gives up on the call.
fn agent(inbound: &Inbound, config: &Config, options: &ServeOptions) -> OrchestratorAgent {
    let agent = AgentOptions {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bearer: config.auth.enabled,
        longest_wait: options.limits.request_timeout.mul_f64(0.95),
        ..AgentOptions::default()
    };
    let Inbound { runs, views, values, workflows, .. } = inbound.clone();
    OrchestratorAgent::new(runs, views, values, workflows, agent)
}
