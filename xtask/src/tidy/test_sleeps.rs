//! No test waits by the wall clock.

use super::repository::Repository;
use super::{Finding, Rule};

pub const RULE: Rule = Rule {
    name: "test-sleeps",
    why: "a sleep is too short on a slow machine and too long on a fast one; wait for the thing itself, with a deadline",
    check,
};

fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in repository.rust() {
        for (number, line, _) in source.lines().filter(|(_, _, test)| *test) {
            if calls_sleep(&line) {
                let message = "a sleep in a test".to_string();
                findings.push(Finding { path: file.path.clone(), line: number, message });
            }
        }
    }
    findings
}

/// A call of `sleep` or `sleep_until` by any path; a method or a definition of that name is something else.
fn calls_sleep(line: &str) -> bool {
    ["sleep(", "sleep_until("].iter().any(|call| {
        line.match_indices(call).any(|(at, _)| {
            let before = &line[..at];
            let part_of_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
            !part_of_word && !before.trim_end().ends_with("fn")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&Repository::of(&[(path, text)])).len()
    }

    #[test]
    fn every_spelling_is_found() {
        for call in
            ["std::thread::sleep(d);", "tokio::time::sleep(d).await;", "sleep(d).await;", "sleep_until(t).await;"]
        {
            assert_eq!(count("crates/a/tests/it/main.rs", call), 1, "{call}");
        }
    }

    #[test]
    fn other_things_of_that_name_are_not() {
        for code in ["clock.sleep(d);", "fn sleep(d: Duration) {}", "no_sleep(d);", "// thread::sleep(d)"] {
            assert_eq!(count("crates/a/tests/it/main.rs", code), 0, "{code}");
        }
    }

    #[test]
    fn production_code_may_sleep() {
        let text = "fn a() {\n    sleep(d);\n}\n#[cfg(test)]\nmod tests {\n    fn b() {\n        sleep(d);\n    }\n}\n";
        let findings = check(&Repository::of(&[("crates/a/src/a.rs", text)]));
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [7]);
    }
}
