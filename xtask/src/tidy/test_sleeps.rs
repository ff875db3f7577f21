//! No test waits by the wall clock.

use super::repository::Repository;
use super::source::has_word;
use super::{Finding, Rule};

pub const RULE: Rule = Rule {
    name: "test-sleeps",
    why: "a sleep is too short on a slow machine and too long on a fast one; wait for the thing itself, with a deadline",
    check,
};

fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in repository.rust() {
        let functions = source.functions();
        let lines: Vec<(usize, String, bool)> = source.lines().collect();
        for (number, ..) in lines.iter().filter(|(_, line, test)| *test && calls_sleep(line)) {
            let mut around =
                functions.iter().filter(|function| (function.first_line..=function.last_line).contains(number));
            // The innermost function is the one that begins last.
            let body =
                around.next_back().map_or(&[][..], |function| &lines[function.first_line - 1..function.last_line]);
            if !polls_with_deadline(body) {
                let message = "a sleep in a test, and not the pause of a poll with a deadline".to_string();
                findings.push(Finding { path: file.path.clone(), line: *number, message });
            }
        }
    }
    findings
}

/// Whether a function looks at something again and again, and gives up in the end.
fn polls_with_deadline(body: &[(usize, String, bool)]) -> bool {
    let has = |words: &[&str]| body.iter().any(|(_, line, _)| words.iter().any(|word| has_word(line, word)));
    has(&["loop", "while"]) && has(&["deadline", "elapsed", "timeout"])
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
    fn a_poll_with_a_deadline_may_pause() {
        let poll = "fn until() {\n    while !done() {\n        assert!(start.elapsed() < PATIENCE);\n        sleep(d);\n    }\n}\n";
        assert_eq!(count("tests/a.rs", poll), 0);
        assert_eq!(count("tests/a.rs", &poll.replace("        assert!(start.elapsed() < PATIENCE);\n", "")), 1);
        let beside = format!("fn a() {{\n{poll}    sleep(d);\n}}\nfn b() {{\n    sleep(d);\n}}\n");
        let lines: Vec<usize> =
            check(&Repository::of(&[("tests/a.rs", &beside)])).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [11]);
    }

    #[test]
    fn production_code_may_sleep() {
        let text = "fn a() {\n    sleep(d);\n}\n#[cfg(test)]\nmod tests {\n    fn b() {\n        sleep(d);\n    }\n}\n";
        let findings = check(&Repository::of(&[("crates/a/src/a.rs", text)]));
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [7]);
    }
}
