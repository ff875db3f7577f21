//! The plan as text for a terminal.

use tutti_core::ids::StepId;
use tutti_core::report::{Page, columns, fit, human_seconds, pad};
use tutti_core::schedule::{StrategyDecision, StrategyReason};

use crate::picture;
use crate::report::PlanReport;
use crate::strategy::{BENEFIT_PERCENT, LOAD_LIMIT, MIN_WORKERS};

/// Most rows of a table; the others are counted.
const ROWS: usize = 60;

/// Most steps named in a line; the others are counted.
const NAMED: usize = 12;

/// The plan in lines of at most `width` columns (at least 40): what it is, the strategy and why, the picture of its levels,
/// the critical path, the estimates and the table of parallel opportunities.
#[must_use]
pub fn render_text(report: &PlanReport, width: usize) -> String {
    let mut page = Page::new(width.max(40));
    head(report, &mut page);
    page.section("Levels");
    page.push(&picture::text(report, page.width()));
    stages(report, &mut page);
    estimates(report, &mut page);
    opportunities(report, &mut page);
    page.into_text()
}

fn head(report: &PlanReport, page: &mut Page) {
    let id = if report.title == report.workflow.as_str() { String::new() } else { format!("  ({})", report.workflow) };
    let version = if report.version.is_empty() { String::new() } else { format!(" {}", report.version) };
    page.line(&format!("{}{version}{id}", report.title));
    let stages = match report.stages.len() {
        0 => String::new(),
        count => format!(" in {}", plural(count, "stage")),
    };
    page.line(&format!(
        "{}{stages} and {}, at most {} at once",
        plural(report.tasks.len(), "step"),
        plural(report.levels.len(), "level"),
        report.max_concurrent_tasks
    ));
    page.section("Strategy");
    page.paragraph(&format!("{}: {}", report.coordination_strategy.as_str(), why(report, &report.strategy)));
}

/// The reason of the decision in a sentence.
fn why(report: &PlanReport, decision: &StrategyDecision) -> String {
    let gain = decision.potential_improvement.unwrap_or_default() * 100.0;
    let widest = report.widest_independent_set.size;
    match decision.reason {
        StrategyReason::Requested => "as requested".into(),
        StrategyReason::SingleTask => "there is one step only".into(),
        StrategyReason::IndependentTasks => {
            format!("{widest} steps are independent of one another, and running them at once saves {gain:.1} %")
        }
        StrategyReason::FewIndependentTasks => {
            let needed = report.parallel_threshold.max(2);
            format!("at most {} can run at once, and the threshold is {needed}", plural(widest, "step"))
        }
        StrategyReason::HighSystemLoad => {
            let load = decision.system_load.map(|load| format!("{:.0} % of the processors are busy", load * 100.0));
            let free = decision.available_workers.map(|free| format!("{} free", plural(free as usize, "worker")));
            let seen = [load, free].into_iter().flatten().collect::<Vec<_>>().join(", ");
            let most = LOAD_LIMIT * 100.0;
            format!("high_system_load: {seen}; at most {most:.0} % and at least {MIN_WORKERS} workers are asked for")
        }
        StrategyReason::InsufficientBenefit => {
            format!(
                "insufficient_benefit: running steps at once saves {gain:.1} %; more than {BENEFIT_PERCENT} % is asked for"
            )
        }
    }
}

fn stages(report: &PlanReport, page: &mut Page) {
    if report.stages.is_empty() {
        return;
    }
    page.section("Stages");
    let stages = &report.stages[..report.stages.len().min(ROWS)];
    let width = stages.iter().map(|s| columns(&fit(&s.stage, page.width() / 3))).max().unwrap_or(0);
    for stage in stages {
        let levels: Vec<String> = stage.levels.iter().take(NAMED).map(ToString::to_string).collect();
        let plural = if levels.len() == 1 { "level" } else { "levels" };
        page.line(&format!(
            "  {}  {plural} {}: {}",
            pad(&stage.stage, width),
            levels.join(", "),
            list(&stage.steps, ", ")
        ));
    }
    page.more(stages.len(), report.stages.len());
}

fn estimates(report: &PlanReport, page: &mut Page) {
    page.section("Critical path");
    page.paragraph(&format!(
        "{} ({})",
        list(&report.critical_path, " → "),
        human_seconds(report.estimated_parallel_time)
    ));
    page.section("Estimates");
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    page.line(&format!("  one after another       {}", human_seconds(report.estimated_total_time)));
    page.line(&format!("  side by side            {}", human_seconds(report.estimated_parallel_time)));
    let at_most = format!("  at most {} at once", report.max_concurrent_tasks);
    page.line(&format!("{}{}", pad(&at_most, 26), human_seconds(report.estimated_makespan)));
    page.line(&format!("  saved side by side      {}", human_seconds(report.estimated_time_saved)));
    page.line(&format!("  parallel potential      {}", percent(report.parallel_potential)));
    page.line(&format!("  expected for this plan  {}", human_seconds(report.expected_duration)));
    let widest = &report.widest_independent_set;
    let least = if widest.exact { "" } else { "at least " };
    page.paragraph(&format!(
        "widest independent set: {least}{}: {}",
        plural(widest.size, "step"),
        list(&widest.steps, ", ")
    ));
    let assumed = &report.steps_without_estimate;
    if !assumed.is_empty() {
        page.paragraph(&format!(
            "without an estimate, {} assumed for each: {}",
            human_seconds(report.default_estimate),
            list(assumed, ", ")
        ));
    }
}

fn opportunities(report: &PlanReport, page: &mut Page) {
    let found = &report.parallel_opportunities;
    page.section("Parallel opportunities");
    let rows = &found.tasks[..found.tasks.len().min(ROWS)];
    let widest = rows.iter().map(|row| columns(row.task.as_str())).max().unwrap_or(0).max(4);
    let width = widest.min(page.width() / 3);
    page.line(&format!("  {}  {:<10}  {:<26} {}", pad("task", width), "currently", "candidate", "dependencies"));
    for row in rows {
        let needs = if row.dependencies.is_empty() { "none".into() } else { list(&row.dependencies, ", ") };
        let candidate = match row.reason {
            None => "✓ yes".to_owned(),
            Some(reason) => format!("✗ no, {reason}"),
        };
        let currently = row.currently.as_str();
        page.line(&format!("  {}  {currently:<10}  {candidate:<26} {needs}", pad(row.task.as_str(), width)));
    }
    page.more(rows.len(), found.tasks.len());
    for group in found.groups.iter().take(ROWS) {
        page.paragraph(&format!("Group {} (can run together): {}", group.name, list(&group.steps, ", ")));
    }
    page.more(ROWS.min(found.groups.len()), found.groups.len());
    page.paragraph(&format!("Order: {}", list(&found.sequential_chain, " → ")));
    page.paragraph(&format!(
        "Now {}, with parallelization {}: {:.1} % saved",
        human_seconds(found.current_total_time),
        human_seconds(found.time_with_parallelization),
        found.savings_percent
    ));
}

/// The first names of a list and how many more there are.
fn list<T: AsText>(all: &[T], between: &str) -> String {
    let mut text = all.iter().take(NAMED).map(AsText::as_text).collect::<Vec<_>>().join(between);
    if all.len() > NAMED {
        text.push_str(&format!("{between}… ({} more)", all.len() - NAMED));
    }
    text
}

trait AsText {
    fn as_text(&self) -> &str;
}

impl AsText for StepId {
    fn as_text(&self) -> &str {
        self.as_str()
    }
}

impl AsText for String {
    fn as_text(&self) -> &str {
        self
    }
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use tutti_core::workflow::Executor;

    use super::*;
    use crate::strategy::{SystemLoad, choose_from};
    use crate::testing::{DATA_SCIENCE, STANDARD, TOKYO, plan, report};
    use crate::{Analysis, PlanReport};

    #[test]
    fn the_text_has_every_part() {
        let text = render_text(&report(STANDARD), 80);
        for part in [
            "5 steps and 3 levels, at most 4 at once",
            "parallel: 3 steps are independent of one another, and running them at once\n  saves 46.7 %",
            "planner → flight → aggregate (8.00 s)",
            "  one after another       15.0 s\n  side by side            8.00 s\n  at most 4 at once       8.00 s\n",
            "parallel potential      46.7 %",
            "hotel      parallel    ✓ yes                      planner",
            "aggregate  sequential  ✗ no, alone on its level   flight, hotel, car",
            "Group A (can run together): flight, hotel, car",
            "Order: planner → Group A → aggregate",
            "Now 15.0 s, with parallelization 8.00 s: 46.7 % saved",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
    }

    #[test]
    fn stages_and_missing_estimates_are_told() {
        let text = render_text(&report(DATA_SCIENCE), 80);
        assert!(text.contains("8 steps in 4 stages and 5 levels"), "{text}");
        assert!(text.contains("  Integration      levels 3, 4: ensemble, report\n"), "{text}");
        assert!(text.contains("without an estimate, 1.00 s assumed for each: generate-a,"), "{text}");
    }

    #[test]
    fn the_reason_of_the_strategy_is_told() {
        let told = |steps: &str, system: SystemLoad| {
            let plan = plan(steps);
            let analysis = Analysis::new(&plan);
            let decision = choose_from(&plan, &analysis, Executor::Auto, system);
            let text = render_text(&PlanReport::new(&plan, &analysis, decision), 200);
            text.lines().skip_while(|line| *line != "Strategy").nth(1).unwrap().to_owned()
        };
        let busy = SystemLoad { cpu: Some(0.93), available_workers: Some(1) };
        assert_eq!(
            told(TOKYO, busy),
            "  sequential: high_system_load: 93 % of the processors are busy, 1 worker free; at most 80 % and at least \
             2 workers are asked for"
        );
        assert_eq!(
            told("- {id: a, capability: c}\n- {id: b, capability: c}", SystemLoad::default()),
            "  sequential: at most 2 steps can run at once, and the threshold is 3"
        );
    }

    #[test]
    fn json_has_the_names_of_the_field() {
        let json = serde_json::to_value(report(TOKYO)).unwrap();
        assert_eq!(json["coordination_strategy"], "parallel");
        assert_eq!(json["strategy"]["reason"], "independent_tasks");
        assert_eq!(json["strategy"]["potential_improvement"], 0.5);
        assert_eq!(json["estimated_total_time"], 14.0);
        assert_eq!(json["estimated_parallel_time"], 7.0);
        assert_eq!(json["estimated_time_saved"], 7.0);
        assert_eq!(json["parallel_potential"], 0.5);
        assert_eq!(json["expected_duration"], 7.0);
        assert_eq!(json["critical_path"], serde_json::json!(["planner", "flights"]));
        assert_eq!(json["levels"][1]["steps"], serde_json::json!(["flights", "hotel", "car"]));
        assert_eq!(json["tasks"][2]["slack"], 1.0);
        assert_eq!(json["parallel_opportunities"]["savings_percent"], 50.0);
        assert_eq!(json["parallel_opportunities"]["tasks"][1]["currently"], "parallel");
    }

    #[test]
    fn a_large_plan_stays_readable() {
        let mut steps = String::from("- {id: s0, capability: c}\n");
        for i in 1..20_000 {
            steps += &format!("- {{id: s{i}, capability: c, stage: 'stage {}', depends_on: [s{}]}}\n", i % 500, i / 3);
        }
        let text = render_text(&report(&steps), 80);
        assert!(text.lines().count() < 500, "{}", text.lines().count());
        assert!(text.lines().all(|line| columns(line) <= 80));
    }
}
