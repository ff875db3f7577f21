//! Levels that follow from rules about types of steps.

use tutti_core::plan::Plan;
use tutti_core::workflow::parse;

/// A name, the rules, and the levels that must come of them.
type Rules = (&'static str, &'static str, &'static [&'static [&'static str]]);

const RULES: &[Rules] = &[
    (
        "travel",
        "{flight: [], hotel: [], car: [], insurance: [flight, hotel], activity: [hotel]}",
        &[&["flight", "hotel", "car"], &["insurance", "activity"]],
    ),
    (
        "data",
        "{data_processing: [], analytics: [data_processing], notification: [], reporting: [analytics, data_processing], \
         archival: [reporting]}",
        &[&["data_processing", "notification"], &["analytics"], &["reporting"], &["archival"]],
    ),
];

/// Prints the levels; how many rule sets have others than they must.
///
/// # Errors
/// A workflow that cannot be read.
pub fn check() -> Result<usize, String> {
    let mut missed = 0;
    for (name, rules, levels) in RULES {
        let steps: Vec<String> =
            levels.concat().iter().map(|kind| format!("- {{id: {kind}, type: {kind}, capability: c}}")).collect();
        let file = format!("id: {name}\ndependency_rules: {rules}\nsteps:\n{}\n", steps.join("\n"));
        let told = |problems: Vec<tutti_core::workflow::Problem>| format!("{name}: {problems:?}");
        let plan = parse(&file).and_then(|parsed| Plan::new(parsed.workflow)).map_err(told)?;
        let of_level = |level: &Vec<u32>| level.iter().map(|step| plan.step(*step).id.to_string()).collect::<Vec<_>>();
        let found: Vec<Vec<String>> = plan.topology().levels().iter().map(of_level).collect();
        let shown: Vec<String> = found.iter().map(|level| format!("{{{}}}", level.join(", "))).collect();
        let fits = found == *levels;
        println!("rules, {name}: {}{}", shown.join(", "), if fits { "" } else { "  MISSED" });
        missed += usize::from(!fits);
    }
    Ok(missed)
}
