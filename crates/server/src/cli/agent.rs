//! `tutti agent`: the agents that are registered at a server or in its store, and whether agents are as they should be.

mod check;

use std::num::NonZeroU32;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use tutti_adapters_grpc::{EndpointPolicy, GrpcTransport};
use tutti_core::ids::{AgentId, Capability, Namespace, RequestId};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, CallLimits, Credentials, Rate, SecretRef};
use tutti_core::ports::inbound::agents::{AgentStatus, Agents as _, BreakerState, RegisterAgent};
use tutti_core::ports::records::RecordStore;
use tutti_core::report::{human_seconds, rfc3339};
use tutti_core::time::Span;
use tutti_engine::{AgentService, CheckUrl, Registry};

use super::operate::confirm;
use super::stub::{self, StubArgs};
use super::table::table;
use super::{Global, Source, TextOrJson, by};
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, answer_json, say};
use crate::remote;

#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Register an agent that runs already. Its card is read.
    Add(AddArgs),
    /// List agents: those of a server, or those that are registered in a local store.
    List(ListArgs),
    /// Look whether agents are there: that of a URL, those of a server, or those of an agents file, which are started for it.
    Check(check::CheckArgs),
    /// Take a registered agent out.
    Remove(RemoveArgs),
    /// Be agents that do what a file says: for trying workflows out.
    Stub(StubArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Its id.
    id: AgentId,
    /// Base URL of its agent card.
    url: String,
    /// What it is asked for; may be repeated. Default: every skill of its card.
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<Capability>,
    /// It gives a sign of life at least so often, such as 30s, and is not asked when it does not.
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    heartbeat: Option<Span>,
    /// The token that it wants to see, by reference: env:NAME or file:PATH, as seen by the server.
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    bearer: Option<SecretRef>,
    /// The key that it wants to see, by reference.
    #[arg(long, value_name = "SECRET", value_parser = secret, conflicts_with = "bearer")]
    api_key: Option<SecretRef>,
    /// The header that it wants the key in. Default: what its card says.
    #[arg(long, value_name = "NAME", requires = "api_key")]
    header: Option<String>,
    /// Most attempts that each server has in flight at it. Default: no bound.
    #[arg(long, value_name = "NUMBER")]
    max_in_flight: Option<NonZeroU32>,
    /// Most attempts that each server begins at it in a span, such as 10/s or 100/5m. Default: no bound.
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// A UUID of the caller's for this request.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// Its id.
    id: AgentId,
    /// Why; recorded in the server's log.
    #[arg(long, default_value = "removed")]
    reason: String,
    /// A UUID of the caller's for this request.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
    /// Do not ask before.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    source: Source,
}

/// An agent as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a AgentId,
    url: &'a str,
    capabilities: &'a [Capability],
    /// Null: only a server knows.
    healthy: Option<bool>,
    in_flight: u32,
    load: Option<f64>,
    success_rate: Option<f64>,
    latency_seconds: Option<f64>,
    /// Null: only a server knows.
    breaker: Option<&'static str>,
    breaker_until: Option<String>,
    resting_until: Option<String>,
    max_in_flight: Option<NonZeroU32>,
    rate: Option<Rate>,
    last_seen_at: Option<String>,
    from_file: bool,
}

#[derive(Serialize)]
struct Page<T> {
    agents: Vec<T>,
}

/// # Errors
/// What the server or the store refuses, an agents file that cannot be used.
pub async fn execute(args: AgentArgs, global: &Global) -> Result<Exit> {
    match args.verb {
        Verb::Add(args) => add(args, global).await,
        Verb::List(args) => list(args, global).await,
        Verb::Check(args) => check::execute(args, global).await,
        Verb::Remove(args) => remove(args, global).await,
        Verb::Stub(args) => stub::execute(args).await,
    }
}

async fn add(args: AddArgs, global: &Global) -> Result<Exit> {
    let credentials = match (args.bearer, args.api_key) {
        (Some(token), _) => Some(Credentials::Bearer(token)),
        (None, Some(key)) => Some(Credentials::ApiKey { key, header: args.header }),
        (None, None) => None,
    };
    let access = AgentAccess { credentials, ..AgentAccess::default() };
    let request = RegisterAgent {
        namespace: args.source.namespace.clone(),
        request: args.request_id.unwrap_or_else(|| SystemClock.request_id()),
        endpoint: AgentEndpoint { id: args.id, url: args.url, access },
        capabilities: args.capabilities,
        heartbeat: args.heartbeat.map(|span| span.0),
        limits: CallLimits { max_in_flight: args.max_in_flight, rate: args.rate },
        by: by(),
    };
    let agent = match &args.source.server {
        Some(url) => {
            let client = remote::client(url)?;
            client.register_agent(request).await.map_err(|error| not_added(remote::failure(url, error)))?
        }
        None => {
            let service = service(global, global.store.open_for_keeping().await?.records).await?;
            service.register(request).await.map_err(|error| not_added(error.into()))?
        }
    };
    if args.output == TextOrJson::Json {
        answer_json(&shown(&agent, args.source.server.is_some()))?;
    } else {
        say(format!("agent {} is registered for {}", agent.id, names(&agent.capabilities)));
    }
    Ok(Exit::Done)
}

async fn list(args: ListArgs, global: &Global) -> Result<Exit> {
    let agents = match &args.source.server {
        Some(url) => of_server(url, &args.source.namespace).await?,
        None => service(global, global.store.open_documents().await?).await?.list(&args.source.namespace).await?,
    };
    let live = args.source.server.is_some();
    if args.output == TextOrJson::Json {
        answer_json(&Page { agents: agents.iter().map(|agent| shown(agent, live)).collect() })?;
        return Ok(Exit::Done);
    }
    if agents.is_empty() {
        say("no agents");
        return Ok(Exit::Done);
    }
    let row = |agent: &AgentStatus| {
        let state = if live { state(agent) } else { "registered".to_owned() };
        let busy = agent.in_flight.to_string();
        let rate = agent.success_rate.map_or("-".to_owned(), |rate| format!("{:.0}%", rate * 100.0));
        let from = if agent.of_file { "agents file" } else { "registered" };
        vec![
            agent.id.to_string(),
            state,
            agent.limits.max_in_flight.map_or_else(|| busy.clone(), |most| format!("{busy}/{most}")),
            rate,
            agent.latency.map_or("-".to_owned(), |latency| human_seconds(latency.as_secs_f64())),
            from.to_owned(),
            agent.url.clone(),
            names(&agent.capabilities),
        ]
    };
    let rows: Vec<_> = agents.iter().map(row).collect();
    answer(&table(&["ID", "STATE", "BUSY", "GOOD", "TAKES", "FROM", "URL", "CAPABILITIES"], &rows))?;
    Ok(Exit::Done)
}

async fn remove(args: RemoveArgs, global: &Global) -> Result<Exit> {
    if !args.yes {
        confirm(&format!("remove agent {}?", args.id))?;
    }
    let removed = match &args.source.server {
        Some(url) => {
            let client = remote::client(url)?;
            let request = args.request_id.unwrap_or_else(|| SystemClock.request_id());
            let removed = client.deregister_agent(&args.source.namespace, &args.id, request, &args.reason).await;
            removed.map_err(|error| remote::failure(url, error))?
        }
        None => {
            let service = service(global, global.store.open_for_keeping().await?.records).await?;
            service.deregister(&args.source.namespace, &args.id).await?
        }
    };
    if !removed {
        return Err(Failure::usage(format!("there is no agent {}", args.id)).next("tutti agent list"));
    }
    say(format!("agent {} is out; what it works on goes on", args.id));
    Ok(Exit::Done)
}

async fn of_server(url: &str, namespace: &Namespace) -> Result<Vec<AgentStatus>> {
    let client = remote::client(url)?;
    client.list_agents(namespace).await.map_err(|error| remote::failure(url, error))
}

/// The agents that are registered in a store.
async fn service(global: &Global, records: Arc<dyn RecordStore>) -> Result<AgentService> {
    let transport = Arc::new(GrpcTransport::new(global.config.agents.transport()));
    let check = check_url(global.config.agents.policy.policy());
    Ok(AgentService::load(Registry::default(), records, transport, Arc::new(SystemClock), check).await?)
}

/// What to do about an agent that may not be where it is.
fn not_added(failure: Failure) -> Failure {
    if failure.message().contains("not allowed to be") {
        return failure.next("allow it by [agents.policy], or name the agent in the agents file");
    }
    failure
}

/// Which URLs may be registered.
pub fn check_url(policy: EndpointPolicy) -> CheckUrl {
    Arc::new(move |url| policy.check_url(url))
}

fn secret(text: &str) -> std::result::Result<SecretRef, String> {
    text.parse().map_err(|error: tutti_core::ports::agent::AccessError| error.to_string())
}

fn names(capabilities: &[Capability]) -> String {
    let names: Vec<&str> = capabilities.iter().map(Capability::as_str).collect();
    names.join(", ")
}

/// How an agent stands, in a word or two.
fn state(agent: &AgentStatus) -> String {
    let time = |at| rfc3339(at).get(11..19).unwrap_or_default().to_owned();
    match (agent.healthy, agent.breaker, agent.resting_until) {
        (false, ..) => "silent".to_owned(),
        (_, BreakerState::Open { until }, _) => format!("breaker open until {}Z", time(until)),
        (_, BreakerState::HalfOpen, _) => "breaker half-open".to_owned(),
        (_, BreakerState::Closed, Some(until)) => format!("left alone until {}Z", time(until)),
        (_, BreakerState::Closed, None) => "healthy".to_owned(),
    }
}

fn shown(agent: &AgentStatus, live: bool) -> Shown<'_> {
    Shown {
        id: &agent.id,
        url: &agent.url,
        capabilities: &agent.capabilities,
        healthy: live.then_some(agent.healthy),
        in_flight: agent.in_flight,
        load: agent.load,
        success_rate: agent.success_rate,
        latency_seconds: agent.latency.map(|latency| latency.as_secs_f64()),
        breaker: live.then_some(agent.breaker.as_str()),
        breaker_until: match agent.breaker {
            BreakerState::Open { until } => Some(rfc3339(until)),
            _ => None,
        },
        resting_until: agent.resting_until.map(rfc3339),
        max_in_flight: agent.limits.max_in_flight,
        rate: agent.limits.rate,
        last_seen_at: agent.last_seen.map(rfc3339),
        from_file: agent.of_file,
    }
}
