//! `tutti serve`: an engine as a service.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;
use tutti_adapters_grpc::GrpcTransport;
use tutti_adapters_grpc::api;
use tutti_core::ports::observer::NoObserver;
use tutti_engine::{Engine, Ports, Registry, RunService, Strategist};
use tutti_planner::strategy::{SystemLoad, choose};

use super::{Global, ServeArgs};
use crate::agents::{AgentsFile, Fleet};
use crate::clock::SystemClock;
use crate::config::{Config, server_executor};
use crate::exit::{Exit, Failure, Result};
use crate::interrupts::Interrupts;
use crate::output::{answer, say};
use crate::store::Store;

/// # Errors
/// An address, a store or agents that cannot be used.
pub async fn execute(args: ServeArgs, global: Global) -> Result<Exit> {
    let mut config = global.config;
    config.server.listen = args.listen.unwrap_or(config.server.listen);
    config.server.insecure_public |= args.insecure_public;
    check_address(&config)?;
    // The agents of a folder stand in agents.yaml, beside its workflows.
    let agents = AgentsFile::find(args.agents.as_deref().or(config.agents.file.as_deref()), "workflow.yaml".as_ref())?
        .ok_or_else(|| {
            Failure::usage("there is no agents.yaml in this folder").next("name the agents file by --agents FILE")
        })?;
    let interrupts = Interrupts::listen()?;
    let listen = config.server.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Failure::unavailable(format!("{listen} cannot be listened on: {error}"))
            .next("name another address by --listen, port 0 for a free one")
    })?;
    let store = global.store.open().await?;
    let transport = Arc::new(GrpcTransport::new(config.agents.transport()));
    let place = global.store.place();
    let mut fleet = Fleet::new(&place, &agents)?;
    let outcome = Box::pin(host(&mut fleet, &store, &transport, listener, (&interrupts, &config))).await;
    fleet.stop().await;
    outcome
}

/// Starts the agents, takes over the store's runs, and serves until a signal comes.
async fn host(
    fleet: &mut Fleet<'_>,
    store: &Store,
    transport: &Arc<GrpcTransport>,
    listener: TcpListener,
    (interrupts, config): (&Interrupts, &Config),
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
        records: store.records.clone(),
        agents: transport.clone(),
        clock: Arc::new(SystemClock),
        observer: Arc::new(NoObserver),
    };
    let engine = Engine::start(ports, registry, config.execution.engine());
    let (tell, mut news) = unbounded_channel();
    let serving = async {
        let served = serve(&engine, listener, interrupts, config).await;
        if timeout(Duration::from_secs(config.server.drain_seconds), engine.shutdown()).await.is_err() {
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

async fn serve(engine: &Engine, listener: TcpListener, interrupts: &Interrupts, config: &Config) -> Result<Exit> {
    let taken = engine.take_over_all().await.map_err(|error| Failure::unavailable(error.to_string()))?;
    if taken > 0 {
        say(format!("runs that go on: {taken}"));
    }
    let execution = config.execution.clone();
    let strategist: Strategist = Arc::new(move |plan, executor| {
        let available_workers = Some(plan.workflow().max_concurrent_tasks);
        choose(plan, server_executor(executor, &execution), SystemLoad { cpu: None, available_workers })
    });
    let runs = Arc::new(RunService::new(engine.clone(), strategist));
    let address = listener.local_addr().map_err(|error| Failure::unavailable(error.to_string()))?;
    let options = config.server.options(&config.tls);
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    answer(&format!("listening on {scheme}://{address}\n"))?;
    let stop = async {
        interrupts.first().await;
        say("stopping: runs under way go on when a server has this store again");
    };
    api::serve(listener, runs, Arc::new(SystemClock), options, stop)
        .await
        .map_err(|error| Failure::unavailable(error.to_string()))?;
    Ok(Exit::Done)
}

/// Nobody is asked who he is: only this machine may call, unless the operator wants it otherwise. TLS hides what is said,
/// and a client certificate lets in whoever has one; neither says what a caller may do.
fn check_address(config: &Config) -> Result<()> {
    let listen = config.server.listen;
    if listen.ip().is_loopback() {
        return Ok(());
    }
    let whoever = if config.tls.requires_certificate() {
        "whoever has a certificate of tls.client_ca"
    } else {
        "whoever reaches it"
    };
    if !config.server.insecure_public {
        return Err(Failure::usage(format!(
            "{listen} can be reached from other machines, and a server does not know its callers yet, with TLS or \
             without: {whoever} may start and cancel runs"
        ))
        .next("listen on 127.0.0.1 behind a proxy that checks callers, or accept it by --insecure-public"));
    }
    say(format!("warning: {listen} can be reached from other machines: {whoever} may start and cancel runs"));
    Ok(())
}
