//! Rules that no compiler checks. One file per rule, each a value of [`Rule`].

mod dependencies;
mod file_size;
mod function_size;
mod links;
mod machine_paths;
mod mask;
mod purity;
mod repository;
mod source;
mod test_sleeps;
mod unfinished;

use crate::process::Result;
use repository::Repository;
use std::path::Path;

/// A rule that the repository must keep.
struct Rule {
    /// Short name, shown with each finding.
    name: &'static str,
    /// Why the rule exists, shown once if there are findings.
    why: &'static str,
    check: fn(&Repository) -> Vec<Finding>,
}

/// A place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// Relative to the root, with `/`.
    path: String,
    /// From 1.
    line: usize,
    message: String,
}

const RULES: &[Rule] = &[
    dependencies::RULE,
    file_size::RULE,
    function_size::RULE,
    purity::RULE,
    unfinished::RULE,
    test_sleeps::RULE,
    machine_paths::RULE,
    links::RULE,
];

/// Checks every rule; prints the findings and fails if there is one.
pub fn run(root: &Path) -> Result<()> {
    let repository = Repository::load(root)?;
    let mut count = 0;
    let mut reasons = String::new();
    for rule in RULES {
        let findings = (rule.check)(&repository);
        for finding in &findings {
            println!("{}:{}: {}: {}", finding.path, finding.line, rule.name, finding.message);
        }
        if !findings.is_empty() {
            reasons.push_str(&format!("  {:<16}{}\n", rule.name, rule.why));
        }
        count += findings.len();
    }
    if count == 0 {
        println!("tidy: {} rules hold in {} files", RULES.len(), repository.files.len());
        return Ok(());
    }
    println!("\nwhy:\n{reasons}");
    Err(format!("{count} finding{}", if count == 1 { "" } else { "s" }).into())
}
