//! The plan as text for a terminal.

use tutti_core::ids::StepId;
use tutti_core::report::{Page, columns, fit, human_seconds, pad};
use tutti_core::schedule::{StrategyDecision, StrategyReason};

use crate::analysis::EstimateSource;
use crate::assessment::{Assessment, QualityPlan};
use crate::picture;
use crate::report::{PlanOrigin, PlanReport};
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
    if let Some(assessment) = &report.assessment {
        assessed(assessment, &mut page);
    }
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
    if let Some(origin) = &report.origin {
        made_by(origin, page);
    }
    page.section("Strategy");
    page.paragraph(&format!("{}: {}", report.coordination_strategy.as_str(), why(report, &report.strategy)));
}

/// How the plan came to be.
fn made_by(origin: &PlanOrigin, page: &mut Page) {
    page.line(&format!("planned by {}", origin.planned_by));
    for note in origin.notes.iter().take(NAMED) {
        page.paragraph(note);
    }
    let Some(grouping) = &origin.grouping else { return };
    page.section("Groups");
    for group in grouping.parallel_groups.iter().take(ROWS) {
        page.paragraph(&format!("{}: {}", group.group, list(&group.tasks, " → ")));
    }
    page.more(ROWS.min(grouping.parallel_groups.len()), grouping.parallel_groups.len());
    if !grouping.sequential_chain.is_empty() {
        page.paragraph(&format!("then, by rules: {}", list(&grouping.sequential_chain, " → ")));
    }
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
    let learned = report.tasks.iter().filter(|task| task.estimate_source == EstimateSource::PastRuns);
    let told: Vec<String> = learned
        .filter_map(|task| {
            let past = task.past?;
            let (p50, p90) = (human_seconds(past.p50), human_seconds(past.p90));
            Some(format!("{} {p50} to {p90} (p50 to p90 of {})", task.id, plural(past.runs as usize, "run")))
        })
        .collect();
    if !told.is_empty() {
        page.paragraph(&format!("from past runs: {}", list(&told, ", ")));
    }
    let assumed = &report.steps_without_estimate;
    if !assumed.is_empty() {
        page.paragraph(&format!(
            "without an estimate, {} assumed for each: {}",
            human_seconds(report.default_estimate),
            list(assumed, ", ")
        ));
    }
}

/// What the sophisticated mode adds.
fn assessed(assessment: &Assessment, page: &mut Page) {
    page.section("Resources");
    let used = &assessment.resource_breakdown;
    page.line(&format!("  time                    {}", human_seconds(used.total_time)));
    page.line(&format!("  computing               {} units", used.total_compute_units));
    if let (Some(cost), Some(worst)) = (used.total_cost, used.worst_cost) {
        page.line(&format!("  money                   {cost:.2} (at most {worst:.2} with all attempts)"));
    }
    for row in used.by_capability.iter().take(ROWS) {
        let agents =
            row.agents.map_or_else(String::new, |agents| format!(", {} known", plural(agents as usize, "agent")));
        let steps = plural(row.tasks, "step");
        page.paragraph(&format!(
            "{}: {steps}, {} at once, {}{agents}",
            row.capability,
            row.at_once,
            human_seconds(row.time)
        ));
    }
    page.more(ROWS.min(used.by_capability.len()), used.by_capability.len());
    page.section("Risks");
    if assessment.risks.is_empty() {
        page.line("  none found");
    }
    for risk in assessment.risks.iter().take(ROWS) {
        let severity = risk.severity.as_str();
        page.paragraph(&format!("{severity}: {}: {}; {}", list(&risk.steps, ", "), risk.description, risk.mitigation));
    }
    quality(&assessment.quality_validation_plan, page);
    page.section("Score");
    let score = assessment.plan_score;
    page.line(&format!(
        "  {:.2} (completeness {:.2}, feasibility {:.2})",
        score.score, score.completeness, score.feasibility
    ));
}

fn quality(plan: &QualityPlan, page: &mut Page) {
    page.section("Quality");
    let least: Vec<String> = plan.thresholds.iter().map(|(metric, least)| format!("{metric} {least}")).collect();
    page.paragraph(&format!("at least: {}", least.join(", ")));
    let mut domains: Vec<&str> = plan.tasks.iter().map(|task| task.domain).collect();
    domains.sort_unstable();
    domains.dedup();
    for domain in domains {
        let steps: Vec<StepId> =
            plan.tasks.iter().filter(|task| task.domain == domain).map(|task| task.task.clone()).collect();
        page.paragraph(&format!("{domain}: {}", list(&steps, ", ")));
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
    fn the_sophisticated_mode_adds_its_sections() {
        let plan = plan("- {id: a, capability: data.clean, retry: {max_attempts: 1}, resources: {cost: 0.5}}");
        let analysis = Analysis::new(&plan);
        let simple = crate::testing::report_of(&plan);
        let json = serde_json::to_value(&simple).unwrap();
        assert_eq!((&json["planning_mode"], json.get("risks")), (&"simple".into(), None));
        let offers = Some([("data.clean".parse().unwrap(), 1)].into());
        let report = simple.sophisticated(&plan, &analysis, &crate::Surroundings { offers });
        let text = render_text(&report, 100);
        for part in [
            "money                   0.50 (at most 0.50 with all attempts)",
            "data.clean: 1 step, 1 at once, 1.00 s, 1 agent known",
            "medium: a: one agent alone offers data.clean",
            "at least: accuracy 0.95, completeness 0.9, quality 0.9",
            "ANALYTICAL: a",
            "Score\n  0.56 (completeness 0.25, feasibility 0.88)",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["planning_mode"], "sophisticated");
        assert_eq!(json["analysis"]["execution_strategy"], "sequential");
        assert_eq!(json["analysis"]["critical_path"], serde_json::json!(["a"]));
        assert_eq!(json["analysis"]["parallel_potential"], 0.0);
        assert_eq!(json["analysis"]["quality_requirements"]["accuracy"], 0.95);
        assert_eq!(json["analysis"]["resource_allocation"][0]["capability"], "data.clean");
        assert_eq!(json["analysis"]["risk_assessment"]["level"], "medium");
        assert_eq!(json["resource_breakdown"]["tasks"][0]["cost"], 0.5);
        assert_eq!(json["risks"][0]["kind"], "single_agent");
        assert_eq!(json["quality_validation_plan"]["tasks"][0]["domain"], "ANALYTICAL");
        assert_eq!(json["plan_score"]["completeness"], 0.25);
    }

    #[test]
    fn estimates_say_where_they_come_from() {
        let plan = plan(
            "- {id: a, capability: c}\n- {id: b, capability: c, estimated_duration: 2s}\n- {id: d, capability: c}",
        );
        let past: tutti_core::report::PastRuns =
            serde_json::from_str(r#"{"runs": 2, "steps": {"a": [3000, 5000], "b": [9000]}}"#).unwrap();
        let analysis = Analysis::with(&plan, &past);
        let decision = choose_from(&plan, &analysis, Executor::Auto, SystemLoad::default());
        let report = PlanReport::new(&plan, &analysis, decision);
        let json = serde_json::to_value(&report).unwrap();
        let sources: Vec<_> = (0..3).map(|at| json["tasks"][at]["estimate_source"].clone()).collect();
        assert_eq!(sources, ["past_runs", "workflow", "assumed"]);
        assert_eq!((&json["tasks"][0]["past"]["p90"], &json["estimated_total_time"]), (&5.0.into(), &6.0.into()));
        let text = render_text(&report, 100);
        assert!(text.contains("from past runs: a 3.00 s to 5.00 s (p50 to p90 of 2 runs)"), "{text}");
        assert!(text.contains("1.00 s assumed for each: d"), "{text}");
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
