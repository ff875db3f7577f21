//! How long a function may be, in tests as well.

use super::repository::Repository;
use super::{Finding, Rule};

pub const RULE: Rule =
    Rule { name: "function-size", why: "a function is read in one glance; a longer one hides a second subject", check };

/// Lines from the `fn` to its closing brace.
const LINES: usize = 70;

fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in repository.rust() {
        for function in source.functions() {
            let lines = function.last_line - function.first_line + 1;
            if lines > LINES {
                let message = format!("`{}` has {lines} lines, at most {LINES}", function.name);
                findings.push(Finding { path: file.path.clone(), line: function.first_line, message });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize) -> String {
        format!("/// Documentation is not counted.\nfn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn the_bound_is_inclusive() {
        assert!(check(&Repository::of(&[("src/a.rs", &function(70))])).is_empty());
        let findings = check(&Repository::of(&[("src/a.rs", &function(71))]));
        assert_eq!(findings[0].message, "`long` has 71 lines, at most 70");
        assert_eq!(findings[0].line, 2);
    }

    #[test]
    fn tests_have_the_same_bound() {
        let text = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(71));
        assert_eq!(check(&Repository::of(&[("src/a.rs", &text)])).len(), 1);
    }
}
