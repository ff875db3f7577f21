//! `tutti agent`: the agents that are registered at a server or in its store, and whether agents are as they should be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use tutti_adapters_grpc::{EndpointPolicy, GrpcTransport};
use tutti_core::ids::{AgentId, Capability, Namespace, RequestId};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, AgentTransport as _, Credentials, SecretRef};
use tutti_core::ports::inbound::agents::{AgentStatus, Agents as _, RegisterAgent};
use tutti_core::ports::records::RecordStore;
use tutti_core::report::rfc3339;
use tutti_core::time::Span;
use tutti_engine::{AgentService, CheckUrl, Registry};

use super::operate::confirm;
use super::stub::{self, StubArgs};
use super::table::table;
use super::{Global, Source, TextOrJson, by};
use crate::agents::file::{AgentEntry, Origin};
use crate::agents::{AgentsFile, Fleet, Place};
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
    Check(CheckArgs),
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
struct CheckArgs {
    /// The base URL of an agent's card.
    #[arg(conflicts_with = "agents")]
    url: Option<String>,
    /// The agents file. Default, if neither a URL nor a server is named: what the configuration says, then agents.yaml in
    /// this folder.
    #[arg(long, value_name = "FILE")]
    agents: Option<PathBuf>,
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
    last_seen_at: Option<String>,
    from_file: bool,
}

#[derive(Serialize)]
struct Page<T> {
    agents: Vec<T>,
}

/// What a look at an agent came to.
#[derive(Serialize)]
struct Checked {
    id: String,
    url: String,
    ok: bool,
    /// Those of its card; of a server: what it is asked for.
    capabilities: Vec<Capability>,
    /// What is named in the agents file and not on the card.
    not_on_card: Vec<Capability>,
    error: Option<String>,
}

/// # Errors
/// What the server or the store refuses, an agents file that cannot be used.
pub async fn execute(args: AgentArgs, global: &Global) -> Result<Exit> {
    match args.verb {
        Verb::Add(args) => add(args, global).await,
        Verb::List(args) => list(args, global).await,
        Verb::Check(args) => check(args, global).await,
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
        let state = match (live, agent.healthy) {
            (false, _) => "registered",
            (true, true) => "healthy",
            (true, false) => "silent",
        };
        let rate = agent.success_rate.map_or("-".to_owned(), |rate| format!("{:.0}%", rate * 100.0));
        let from = if agent.of_file { "agents file" } else { "registered" };
        vec![
            agent.id.to_string(),
            state.to_owned(),
            agent.in_flight.to_string(),
            rate,
            from.to_owned(),
            agent.url.clone(),
            names(&agent.capabilities),
        ]
    };
    let rows: Vec<_> = agents.iter().map(row).collect();
    answer(&table(&["ID", "STATE", "BUSY", "GOOD", "FROM", "URL", "CAPABILITIES"], &rows))?;
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

async fn check(args: CheckArgs, global: &Global) -> Result<Exit> {
    let checked = match (&args.url, &args.source.server) {
        (Some(url), _) => {
            let endpoint = AgentEndpoint {
                id: "agent".parse().expect("a name"),
                url: url.clone(),
                access: AgentAccess::trusted(),
            };
            vec![look(&GrpcTransport::new(global.config.agents.transport()), endpoint, None).await]
        }
        (None, Some(url)) if args.agents.is_none() => {
            of_server(url, &args.source.namespace).await?.into_iter().map(Checked::of_server).collect()
        }
        _ => of_file(args.agents.as_deref(), global).await?,
    };
    let all_ok = checked.iter().all(|agent| agent.ok);
    match args.output {
        TextOrJson::Json => answer_json(&Page { agents: checked })?,
        TextOrJson::Text => {
            let rows: Vec<_> = checked.into_iter().map(Checked::row).collect();
            answer(&table(&["ID", "STATE", "URL", "CAPABILITIES"], &rows))?;
        }
    }
    Ok(if all_ok { Exit::Done } else { Exit::Unsound })
}

/// Looks at every agent of a file; those with a command are started for it, one after the other.
async fn of_file(given: Option<&Path>, global: &Global) -> Result<Vec<Checked>> {
    let given = given.or(global.config.agents.file.as_deref());
    let file = AgentsFile::find(given, "workflow.yaml".as_ref())?.ok_or_else(|| {
        Failure::usage("there is no agents.yaml in this folder").next("name the agents file by --agents FILE")
    })?;
    let transport = GrpcTransport::new(global.config.agents.transport());
    let mut checked = Vec::new();
    for entry in &file.agents {
        let AgentEntry { name, origin, capabilities, access } = entry;
        let endpoint = |url: &str| AgentEndpoint { id: name.clone(), url: url.to_owned(), access: access.clone() };
        if let Origin::Url(url) = origin {
            checked.push(look(&transport, endpoint(url), capabilities.as_deref()).await);
            continue;
        }
        // A place of its own: agents that run already are left alone.
        let place = Place::temporary(SystemClock.request_id());
        let alone = AgentsFile { path: file.path.clone(), agents: vec![entry.clone()] };
        let mut fleet = Fleet::new(&place, &alone)?;
        checked.push(match fleet.launch(&transport).await {
            Ok(()) => {
                let url = fleet.members().first().map(|member| member.url.clone()).unwrap_or_default();
                look(&transport, endpoint(&url), capabilities.as_deref()).await
            }
            Err(failure) => Checked::failed(name.to_string(), origin.to_string(), failure.message().to_owned()),
        });
        fleet.stop().await;
    }
    Ok(checked)
}

async fn look(transport: &GrpcTransport, endpoint: AgentEndpoint, named: Option<&[Capability]>) -> Checked {
    let AgentEndpoint { id, url, .. } = &endpoint;
    match transport.describe(&endpoint).await {
        Err(error) => Checked::failed(id.to_string(), url.clone(), error.to_string()),
        Ok(card) => {
            let absent =
                named.into_iter().flatten().filter(|name| !card.capabilities.contains(name)).cloned().collect();
            Checked {
                id: id.to_string(),
                url: url.clone(),
                ok: true,
                capabilities: card.capabilities,
                not_on_card: absent,
                error: None,
            }
        }
    }
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

fn shown(agent: &AgentStatus, live: bool) -> Shown<'_> {
    Shown {
        id: &agent.id,
        url: &agent.url,
        capabilities: &agent.capabilities,
        healthy: live.then_some(agent.healthy),
        in_flight: agent.in_flight,
        load: agent.load,
        success_rate: agent.success_rate,
        last_seen_at: agent.last_seen.map(rfc3339),
        from_file: agent.of_file,
    }
}

impl Checked {
    fn failed(id: String, url: String, error: String) -> Self {
        Self { id, url, ok: false, capabilities: Vec::new(), not_on_card: Vec::new(), error: Some(error) }
    }

    fn of_server(agent: AgentStatus) -> Self {
        let error = (!agent.healthy).then(|| "it gives no sign of life".to_owned());
        let AgentStatus { id, url, capabilities, healthy, .. } = agent;
        Self { id: id.to_string(), url, ok: healthy, capabilities, not_on_card: Vec::new(), error }
    }

    fn row(self) -> Vec<String> {
        let state = match (&self.error, self.not_on_card.is_empty()) {
            (Some(_), _) => "failed".to_owned(),
            (None, true) => "ok".to_owned(),
            (None, false) => format!("ok, but not on its card: {}", names(&self.not_on_card)),
        };
        vec![self.id, state, self.url, self.error.unwrap_or_else(|| names(&self.capabilities))]
    }
}
