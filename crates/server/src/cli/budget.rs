//! `tutti budget`: what a run has spent of its budget, and more of it.

use clap::Args;
use serde::Serialize;
use tutti_core::budget::{Amounts, Money};
use tutti_core::ids::RunId;
use tutti_core::ports::agent::Usage;
use tutti_core::report::{BudgetReport, RunView, told_usage};
use tutti_core::run::{Command, RunStatus};
use tutti_core::time::Span;

use super::recover::{About, apply};
use super::{Global, RunSelector, TextOrJson};
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, answer_json};

#[derive(Debug, Args)]
pub struct BudgetArgs {
    #[command(flatten)]
    run: RunSelector,
    /// Money that the run may spend more, such as 2.50.
    #[arg(long, value_name = "AMOUNT", value_parser = Money::parse)]
    add_money: Option<Money>,
    /// Tokens that it may use more.
    #[arg(long, value_name = "TOKENS")]
    add_tokens: Option<u64>,
    /// Calls that it may make more.
    #[arg(long, value_name = "CALLS")]
    add_calls: Option<u64>,
    /// Time that its calls may take more, together.
    #[arg(long, value_name = "SPAN", value_parser = Span::parse)]
    add_time: Option<Span>,
    /// How to answer where nothing is added.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    about: About,
}

/// The answer as JSON.
#[derive(Serialize)]
struct Shown {
    run_id: RunId,
    state: RunStatus,
    /// What agents reported.
    usage: Option<Usage>,
    budget: Vec<BudgetReport>,
}

/// Shows a run's budget, or raises it.
///
/// # Errors
/// A run that is not there or has no budget; a server or a store that cannot be used.
pub async fn execute(args: BudgetArgs, global: &Global) -> Result<Exit> {
    let add = Amounts {
        money: args.add_money.map_or(0, |money| money.0),
        tokens: args.add_tokens.unwrap_or(0),
        calls: args.add_calls.unwrap_or(0),
        time: args.add_time.map_or(0, |time| u64::try_from(time.0.as_micros()).unwrap_or(u64::MAX)),
    };
    if !add.is_zero() {
        return apply(Command::RaiseBudget { add }, args.run, args.about, ("raised by hand", true), global).await;
    }
    if args.add_money.is_some() || args.add_tokens.is_some() || args.add_calls.is_some() || args.add_time.is_some() {
        return Err(Failure::usage("nothing is added").next("name an amount above 0"));
    }
    let reader = args.about.source.open(global).await?;
    let run = reader.find(&args.run.run).await?;
    let view = reader.view(&run).await?;
    match args.output {
        TextOrJson::Json => {
            let (usage, budget) = (view.usage(), view.budget());
            answer_json(&Shown { run_id: run.run, state: view.status(), usage, budget })?;
        }
        TextOrJson::Text => answer(&text(&view))?,
    }
    Ok(Exit::Done)
}

/// What a run has spent, in lines; empty for one that has no budget and whose agents told nothing.
pub fn spent(view: &RunView) -> String {
    let usage = view.usage().map(|usage| format!("{:<8}{}\n", "cost", told_usage(&usage)));
    let budget = view.budget().into_iter().map(|budget| format!("{:<8}{}\n", budget.kind, budget.told()));
    usage.into_iter().chain(budget).collect()
}

fn text(view: &RunView) -> String {
    let spent = spent(view);
    let none = if view.budget().is_empty() { "the run has no budget\n" } else { "" };
    format!("{spent}{none}")
}
