//! The difference of two runs as text for a terminal.

use super::difference::{Aspect, RunDifference, StepDifference};
use super::figures::{RunFigures, StepFigures};
use super::moment::human_seconds;
use super::page::Page;
use super::printable::{columns, pad};

/// Most steps shown one by one; the others are counted.
const ROWS: usize = 100;

/// The difference in lines of at most `width` columns (at least 40): both runs, the first difference, a row per step with what
/// differs under it.
#[must_use]
pub fn render_difference(difference: &RunDifference, width: usize) -> String {
    let width = width.max(40);
    let mut page = Page::new(width);
    heads(&difference.left, &difference.right, &mut page);
    page.section("First difference");
    match &difference.first_difference {
        None if difference.same => page.paragraph("There is none: the same steps came to the same ends and outputs."),
        None => page.paragraph("The steps do not differ; the states of the runs do."),
        Some(first) => match &first.step {
            Some(step) => page.paragraph(&format!("step {step}: {}", first.what)),
            None => page.paragraph(&format!("the data at the start: {}", first.what)),
        },
    }
    page.section("Steps");
    let names = difference.steps.iter().map(|step| columns(&step.step)).max().unwrap_or(0).clamp(5, width / 3);
    for step in difference.steps.iter().take(ROWS) {
        row(step, names, &mut page);
    }
    page.more(ROWS, difference.steps.len());
    page.into_text()
}

/// One thing that is told of a run.
type Tell<'t> = &'t dyn Fn(&RunFigures) -> String;

fn heads(left: &RunFigures, right: &RunFigures, page: &mut Page) {
    let seconds = |run: &RunFigures| run.duration.map_or_else(|| "-".to_owned(), human_seconds);
    let version = |run: &RunFigures| format!("{} {}", run.workflow, run.version).trim_end().to_owned();
    let number =
        |value: Option<f64>, digits: usize| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"));
    let executor =
        |run: &RunFigures| serde_json::to_value(run.executor).ok().and_then(|word| word.as_str().map(str::to_owned));
    let rows: [(&str, Tell<'_>); 9] = [
        ("run", &|run| run.run_id.to_string()),
        ("workflow", &version),
        ("executor", &|run| executor(run).unwrap_or_default()),
        ("state", &|run| run.state.to_string()),
        ("took", &seconds),
        ("attempts", &|run| run.attempts.to_string()),
        ("cost", &|run| number(run.usage.map(|usage| usage.cost), 4)),
        ("tokens", &|run| run.usage.map_or_else(|| "-".to_owned(), |usage| usage.tokens.to_string())),
        ("quality", &|run| number(run.quality, 3)),
    ];
    for (name, tell) in rows {
        let (a, b) = (tell(left), tell(right));
        if (a == "-" && b == "-") && name != "took" {
            continue;
        }
        // Every run has an id and a time of its own.
        let mark = if a == b || matches!(name, "run" | "took") { ' ' } else { '≠' };
        page.line(&format!("{mark} {name:<9} {}  {b}", pad(&a, 36)));
    }
}

fn row(step: &StepDifference, names: usize, page: &mut Page) {
    let side = |step: &Option<StepFigures>| match step {
        None => "-".to_owned(),
        Some(step) => {
            let took = step.duration.map(|took| format!(" {}", human_seconds(took))).unwrap_or_default();
            format!("{}{took}", step.state)
        }
    };
    let mark = if step.matters() { '≠' } else { '=' };
    page.line(&format!("{mark} {}  {}  {}", pad(&step.step, names), pad(&side(&step.left), 22), side(&step.right)));
    let name = |step: &Option<StepFigures>| {
        step.as_ref().and_then(|step| step.agent.as_ref()).map_or_else(|| "nobody".to_owned(), ToString::to_string)
    };
    let tries = |step: &Option<StepFigures>| step.as_ref().map_or(0, |step| step.attempts);
    for aspect in &step.differs {
        match aspect {
            Aspect::Agent => page.line(&format!("    agent: {} and {}", name(&step.left), name(&step.right))),
            Aspect::Attempts => page.line(&format!("    attempts: {} and {}", tries(&step.left), tries(&step.right))),
            Aspect::Output => step.output.iter().for_each(|place| page.line(&format!("    output: {}", place.told()))),
            Aspect::Presence | Aspect::State => {}
        }
    }
}
