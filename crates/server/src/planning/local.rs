//! Requests in plain words that a command plans with the agents of an agents file.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use tutti_adapters_grpc::GrpcTransport;
use tutti_core::ids::Namespace;
use tutti_core::report::printable;
use tutti_engine::{Asker, Planner as _, Proposed, Registry, Wanted};
use tutti_planner::PlanOrigin;

use super::{Draft, Offers, QueryPlanner};
use crate::agents::{AgentsFile, Fleet};
use crate::cli::Global;
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure, Result};
use crate::interrupts::Interrupts;
use crate::output::say;

/// How a request in plain words is planned.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// What is wanted, in plain words, in place of a file. A planner agent is asked (`planner.capability`); without one, and
    /// if its answer cannot be used, the plan is made of templates and keyword rules.
    #[arg(short, long, value_name = "TEXT")]
    pub query: Option<String>,
    /// Ask no agent for the plan.
    #[arg(long, requires = "query")]
    pub offline: bool,
    /// No planner agent is asked, but what agents offer counts.
    #[arg(skip)]
    pub alone: bool,
    /// Make the plan of this template: travel, data-pipeline, order-processing, research, or one of `planner.templates`.
    #[arg(long, value_name = "NAME", requires = "query")]
    pub template: Option<String>,
    /// If no agent makes a plan that can be used, refuse with the reasons.
    #[arg(long, requires = "query")]
    pub no_fallback: bool,
}

/// Plans a request; tells how many agents offer each capability, if any were asked who they are.
///
/// # Errors
/// Agents that cannot be started, or the reasons why there is no plan.
pub async fn plan_query(
    query: &str,
    args: &QueryArgs,
    global: &Global,
    (agents, namespace): (Option<&AgentsFile>, &Namespace),
) -> Result<(Draft, Option<Offers>)> {
    let interrupts = Interrupts::listen()?;
    let place = global.store.place();
    let none = AgentsFile::none();
    let agents = agents.filter(|_| !args.offline).unwrap_or(&none);
    let mut fleet = Fleet::new(&place, agents)?;
    let outcome = tokio::select! {
        outcome = asked(query, args, global, (&mut fleet, namespace)) => outcome,
        signal = interrupts.first() => Err(Failure::quiet(Exit::Signal(signal))),
    };
    fleet.stop().await;
    let (proposed, offers) = outcome?;
    for note in &proposed.notes {
        say(printable(note));
    }
    let origin = PlanOrigin { planned_by: proposed.by, notes: proposed.notes, grouping: None };
    let draft = Draft::written(Path::new("plan.yaml"), proposed.text, origin)?;
    Ok((draft, Some(offers).filter(|offers| !offers.is_empty())))
}

async fn asked(
    query: &str,
    args: &QueryArgs,
    global: &Global,
    (fleet, namespace): (&mut Fleet<'_>, &Namespace),
) -> Result<(Proposed, Offers)> {
    let transport = Arc::new(GrpcTransport::new(global.config.agents.transport()));
    fleet.launch(&*transport).await?;
    let registry = Registry::new(global.config.agents.dispatch());
    fleet.members().iter().for_each(|member| registry.register(member.record()));
    let mut offers = registry.offers(namespace);
    offers.remove(&global.config.planner.capability);
    let asker = Asker::new(registry.clone(), transport, Arc::new(SystemClock));
    let planner = planner(args, global, registry, Some(asker).filter(|_| !args.offline))?;
    let wanted = Wanted {
        namespace: namespace.clone(),
        query: query.to_owned(),
        alone: args.offline || args.alone,
        failed: None,
    };
    Ok((planner.propose(wanted).await?, offers))
}

fn planner(args: &QueryArgs, global: &Global, registry: Registry, asker: Option<Asker>) -> Result<QueryPlanner> {
    let mut planner = QueryPlanner::new(&global.config, registry, asker)?;
    if let Some(name) = &args.template {
        planner = planner.with_template(name)?;
    }
    Ok(if args.no_fallback { planner.without_fallback() } else { planner })
}
