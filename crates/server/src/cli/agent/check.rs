//! `tutti agent check`: whether agents are as they should be.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tutti_adapters_grpc::GrpcTransport;
use tutti_core::ids::Capability;
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, AgentTransport as _};
use tutti_core::ports::inbound::agents::{AgentStatus, BreakerState};

use super::{Page, names, of_server, state};
use crate::agents::file::{AgentEntry, Origin};
use crate::agents::{AgentsFile, Fleet, Place};
use crate::cli::table::table;
use crate::cli::{Global, Source, TextOrJson};
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, answer_json};

#[derive(Debug, Args)]
pub struct CheckArgs {
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
/// An agents file or a server that cannot be used.
pub async fn execute(args: CheckArgs, global: &Global) -> Result<Exit> {
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
        let AgentEntry { name, origin, capabilities, access, .. } = entry;
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

impl Checked {
    fn failed(id: String, url: String, error: String) -> Self {
        Self { id, url, ok: false, capabilities: Vec::new(), not_on_card: Vec::new(), error: Some(error) }
    }

    fn of_server(agent: AgentStatus) -> Self {
        let ok = agent.healthy && agent.breaker == BreakerState::Closed;
        let error = match agent.healthy {
            false => "it gives no sign of life".to_owned(),
            true => format!("it failed again and again: {}", state(&agent)),
        };
        let AgentStatus { id, url, capabilities, .. } = agent;
        let error = (!ok).then_some(error);
        Self { id: id.to_string(), url, ok, capabilities, not_on_card: Vec::new(), error }
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
