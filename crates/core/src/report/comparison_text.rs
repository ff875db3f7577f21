//! A comparison of both ways to run a workflow, as text for a terminal.

use super::comparison::{Averages, Comparison, CostBasis, Timing};
use super::moment::human_seconds;
use super::page::Page;
use super::printable::{fit, pad};

/// Most agents that have a column of their own.
const AGENTS: usize = 8;

/// Columns of a time.
const CELL: usize = 10;

/// The comparison in lines of at most `width` columns (at least 60).
#[must_use]
pub fn render_comparison(of: &Comparison, width: usize) -> String {
    let mut page = Page::new(width.max(60));
    page.line("Parallel vs Sequential Performance Analysis");
    page.section("Test Conditions");
    page.line(&format!("  Task:                       {}", of.task));
    page.line(&format!("  Number of agents:           {}", of.agents.len()));
    page.line(&format!("  Steps side by side:         {}", of.parallel_steps));
    page.line(&format!("  Test executions:            {} in each way", of.executions));
    sequential(of, &mut page);
    parallel(of, &mut page);
    let percent = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    page.section("Improvement");
    page.line(&format!("  Sequential average:         {}", seconds(of.improvement.sequential_average)));
    page.line(&format!("  Parallel average:           {}", seconds(of.improvement.parallel_average)));
    page.line(&format!("  Time reduction:             {}", percent(of.improvement.time_reduction)));
    let factor = of.improvement.speed_up.map_or_else(|| "-".to_owned(), |factor| format!("{factor:.2}x"));
    page.line(&format!("  Speedup factor:             {factor}"));
    page.section("Cost Comparison");
    let amount = |amount: Option<f64>| match (amount, of.cost.basis) {
        (None, _) => "-".to_owned(),
        (Some(amount), CostBasis::Money) => format!("{amount:.4}"),
        (Some(amount), CostBasis::Tokens) => format!("{amount:.0} tokens"),
        (Some(amount), CostBasis::Calls) => format!("{amount:.1} calls"),
    };
    page.line(&format!("  Sequential cost/execution:  {}", amount(of.cost.sequential)));
    page.line(&format!("  Parallel cost/execution:    {}", amount(of.cost.parallel)));
    let word = |word: Option<String>| word.unwrap_or_else(|| "not known".to_owned());
    page.line(&format!("  Cost difference:            {}", word(of.cost.difference.map(|it| format!("{it:?}")))));
    page.line(&format!("  Rationale:                  {}", of.cost.rationale));
    page.section("Quality Comparison");
    let score = |score: Option<f64>| score.map_or_else(|| "not told".to_owned(), |score| format!("{score:.3}"));
    page.line(&format!("  Sequential quality score:   {}", score(of.quality.sequential)));
    page.line(&format!("  Parallel quality score:     {}", score(of.quality.parallel)));
    page.line(&format!("  Difference:                 {}", word(of.quality.difference.map(|it| format!("{it:?}")))));
    let outputs = if of.quality.same_outputs { "the same in every run" } else { "not the same in every run" };
    page.line(&format!("  Outputs:                    {outputs}"));
    page.section("Conclusion");
    page.paragraph(&of.conclusion);
    page.into_text()
}

fn sequential(of: &Comparison, page: &mut Page) {
    page.section("Sequential Execution");
    let named: Vec<String> = of.agents.iter().take(AGENTS).map(ToString::to_string).collect();
    let more = of.agents.len() > AGENTS;
    let mut head: Vec<&str> = named.iter().map(String::as_str).collect();
    head.extend(more.then_some("others"));
    head.push("Total");
    page.line(&row("Run", head.into_iter().map(str::to_owned)));
    let cells = |agents: &[Option<f64>], total: Option<f64>| {
        let rest = agents.iter().skip(AGENTS).flatten().copied().reduce(|a, b| a + b);
        let mut cells: Vec<String> = agents.iter().take(AGENTS).map(|time| seconds(*time)).collect();
        cells.extend(more.then(|| seconds(rest)));
        cells.push(seconds(total));
        cells
    };
    for (i, Timing { agents, total, .. }) in of.sequential.runs.iter().enumerate() {
        page.line(&row(&(i + 1).to_string(), cells(agents, *total).into_iter()));
    }
    let Averages { agents, total, .. } = &of.sequential.average;
    page.line(&row("Avg", cells(agents, *total).into_iter()));
}

fn parallel(of: &Comparison, page: &mut Page) {
    page.section("Parallel Execution");
    page.line(&row("Run", ["Slowest Agent", "Aggregation", "Total"].into_iter().map(str::to_owned)));
    let cells = |slowest, aggregation, total| [seconds(slowest), seconds(aggregation), seconds(total)].into_iter();
    for (i, run) in of.parallel.runs.iter().enumerate() {
        page.line(&row(&(i + 1).to_string(), cells(run.slowest_agent, run.aggregation, run.total)));
    }
    let average = &of.parallel.average;
    page.line(&row("Avg", cells(average.slowest_agent, average.aggregation, average.total)));
}

fn row(first: &str, cells: impl Iterator<Item = String>) -> String {
    const WIDE: usize = 13;
    let cells = cells.map(|cell| pad(&fit(&cell, WIDE), WIDE.max(CELL))).collect::<Vec<_>>().join("  ");
    format!("  {first:<4}  {cells}")
}

fn seconds(time: Option<f64>) -> String {
    time.map_or_else(|| "-".to_owned(), human_seconds)
}
