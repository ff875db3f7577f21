//! No clock, randomness, environment or output in the heart.

use super::repository::Repository;
use super::source::has_word;
use super::{Finding, Rule};

pub const RULE: Rule = Rule {
    name: "purity",
    why: "core's decisions must come out the same on every replay; time and ids arrive with the input, effects leave as data",
    check,
};

const CORE: &str = "crates/core/src/";

/// Anything qualified by one of these modules, or one of these names.
const BANNED: &[&str] = &[
    "SystemTime",
    "Instant::now",
    "now_v1",
    "now_v6",
    "now_v7",
    "new_v4",
    "rand::",
    "getrandom",
    "RandomState",
    "thread::",
    "env::",
    "fs::",
    "net::",
    "process::",
    "tokio::",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
];

fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in repository.rust().filter(|(file, _)| file.path.starts_with(CORE)) {
        for (number, line, _) in source.lines().filter(|(_, _, test)| !test) {
            for banned in BANNED.iter().filter(|banned| has_word(&line, banned)) {
                let message = format!("`{banned}` in core");
                findings.push(Finding { path: file.path.clone(), line: number, message });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&Repository::of(&[(path, text)])).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn clock_randomness_and_io_are_found() {
        for (code, banned) in [
            ("let now = Instant::now();", "Instant::now"),
            ("let id = Uuid::now_v7();", "now_v7"),
            ("let x: u8 = rand::random();", "rand::"),
            ("use std::{fs::read, io};", "fs::"),
            ("println!();", "println!"),
            ("fn at(now: SystemTime) {}", "SystemTime"),
        ] {
            assert_eq!(findings("crates/core/src/a.rs", code), [format!("`{banned}` in core")], "{code}");
        }
    }

    #[test]
    fn words_that_only_look_alike_are_not() {
        let code = "// Instant::now is banned\nlet x = \"std::env\"; operand::apply(); offs::at(); fn reprint() {}";
        assert!(findings("crates/core/src/a.rs", code).is_empty());
    }

    #[test]
    fn only_core_and_only_its_production_code() {
        assert!(findings("crates/engine/src/a.rs", "Instant::now();").is_empty());
        assert!(findings("crates/core/src/a.rs", "#[cfg(test)]\nmod tests {\n    use std::fs::read;\n}").is_empty());
    }
}
