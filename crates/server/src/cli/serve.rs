//! `tutti serve`: an engine as a service.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;
use tutti_adapters_grpc::api;
use tutti_adapters_grpc::serve::ServeOptions;
use tutti_adapters_grpc::{GrpcConfig, GrpcTransport};
use tutti_engine::{Engine, EngineOptions, Ports, Registry, RunService, Strategist};
use tutti_planner::strategy::{SystemLoad, choose};

use super::{Global, ServeArgs};
use crate::agents::{AgentsFile, Fleet};
use crate::clock::SystemClock;
use crate::config::Environment;
use crate::exit::{Exit, Failure, Result};
use crate::interrupts::Interrupts;
use crate::output::{answer, say};
use crate::store::Store;

/// How long the engine may take to let go of its runs.
const DRAIN: Duration = Duration::from_secs(3);

/// # Errors
/// An address, a store or agents that cannot be used.
pub async fn execute(args: ServeArgs, global: Global) -> Result<Exit> {
    let environment = Environment::of_process()?;
    check_address(&args)?;
    // The agents of a folder stand in agents.yaml, beside its workflows.
    let agents = AgentsFile::find(args.agents.as_deref(), "workflow.yaml".as_ref())?.ok_or_else(|| {
        Failure::usage("there is no agents.yaml in this folder").next("name the agents file by --agents FILE")
    })?;
    let interrupts = Interrupts::listen()?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::unavailable(format!("{} cannot be listened on: {error}", args.listen))
            .next("name another address by --listen, port 0 for a free one")
    })?;
    let store = global.store.open().await?;
    let default = GrpcConfig::default();
    let pool_size = environment.connection_pool_size.unwrap_or(default.pool_size);
    let transport = Arc::new(GrpcTransport::new(GrpcConfig { pool_size, ..default }));
    let place = global.store.place();
    let mut fleet = Fleet::new(&place, &agents)?;
    let outcome = Box::pin(host(&mut fleet, &store, &transport, listener, &interrupts)).await;
    fleet.stop().await;
    outcome
}

/// Starts the agents, takes over the store's runs, and serves until a signal comes.
async fn host(
    fleet: &mut Fleet<'_>,
    store: &Store,
    transport: &Arc<GrpcTransport>,
    listener: TcpListener,
    interrupts: &Interrupts,
) -> Result<Exit> {
    tokio::select! {
        launched = fleet.launch(&**transport) => launched?,
        signal = interrupts.first() => return Err(Failure::quiet(Exit::Signal(signal))),
    }
    let registry = Registry::default();
    fleet.members().iter().for_each(|member| registry.register(member.record()));
    let ports = Ports {
        store: store.runs.clone(),
        payloads: store.payloads.clone(),
        query: store.query.clone(),
        agents: transport.clone(),
        clock: Arc::new(SystemClock),
    };
    let engine = Engine::start(ports, registry, EngineOptions::default());
    let (tell, mut news) = unbounded_channel();
    let serving = async {
        let served = serve(&engine, listener, interrupts).await;
        if timeout(DRAIN, engine.shutdown()).await.is_err() {
            tracing::warn!("the engine did not let go of its runs in time");
        }
        served
    };
    let telling = async {
        while let Some(text) = news.recv().await {
            say(text);
        }
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        served = serving => served,
        never = fleet.watch(&**transport, engine.registry(), tell) => match never {},
        never = telling => match never {},
    }
}

async fn serve(engine: &Engine, listener: TcpListener, interrupts: &Interrupts) -> Result<Exit> {
    let taken = engine.take_over_all().await.map_err(|error| Failure::unavailable(error.to_string()))?;
    if taken > 0 {
        say(format!("runs that go on: {taken}"));
    }
    let strategist: Strategist = Arc::new(|plan, executor| {
        let available_workers = Some(plan.workflow().max_concurrent_tasks);
        choose(plan, executor, SystemLoad { cpu: None, available_workers })
    });
    let runs = Arc::new(RunService::new(engine.clone(), strategist));
    let address = listener.local_addr().map_err(|error| Failure::unavailable(error.to_string()))?;
    answer(&format!("listening on http://{address}\n"))?;
    let stop = async {
        interrupts.first().await;
        say("stopping: runs under way go on when a server has this store again");
    };
    api::serve(listener, runs, Arc::new(SystemClock), ServeOptions::default(), stop)
        .await
        .map_err(|error| Failure::unavailable(error.to_string()))?;
    Ok(Exit::Done)
}

/// Nobody is asked who he is: only this machine may call, unless the operator wants it otherwise.
fn check_address(args: &ServeArgs) -> Result<()> {
    if args.listen.ip().is_loopback() {
        return Ok(());
    }
    if !args.insecure_public {
        return Err(Failure::usage(format!(
            "{} can be reached from other machines, and a server does not know its callers yet: whoever reaches it may \
             start and cancel runs",
            args.listen
        ))
        .next("listen on 127.0.0.1 behind a proxy that checks callers, or accept it by --insecure-public"));
    }
    say(format!("warning: whoever reaches {} may start and cancel runs: callers are not checked", args.listen));
    Ok(())
}
