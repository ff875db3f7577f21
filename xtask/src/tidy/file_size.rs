//! How long a Rust file may be.

use super::repository::Repository;
use super::{Finding, Rule};

pub const RULE: Rule = Rule {
    name: "file-size",
    why: "a file that one can hold in mind has one subject; split a long one by subject, not by length",
    check,
};

/// Lines of production code: no blank line, no comment, no test.
const CODE_LINES: usize = 400;

/// All lines, whatever they are.
const LINES: usize = 600;

fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in repository.rust() {
        let mut add = |line, message| findings.push(Finding { path: file.path.clone(), line, message });
        let code: Vec<usize> = source
            .lines()
            .filter(|(_, line, test)| !test && !line.trim().is_empty())
            .map(|(number, ..)| number)
            .collect();
        if let Some(line) = code.get(CODE_LINES) {
            add(*line, format!("{} lines of production code, at most {CODE_LINES}", code.len()));
        }
        let lines = file.text.lines().count();
        if lines > LINES {
            add(LINES + 1, format!("{lines} lines, at most {LINES}"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<(usize, String)> {
        let findings = check(&Repository::of(&[(path, text)]));
        findings.into_iter().map(|finding| (finding.line, finding.message)).collect()
    }

    #[test]
    fn comments_blank_lines_and_tests_are_not_production_code() {
        let code = "fn f() {}\n".repeat(400);
        assert!(findings("src/a.rs", &code).is_empty());
        let padded = format!("{}{code}#[cfg(test)]\nmod tests {{\n    use super::*;\n}}\n", "// why\n\n".repeat(50));
        assert!(findings("src/a.rs", &padded).is_empty());
    }

    #[test]
    fn one_line_of_code_too_many() {
        let code = format!("// why\n{}", "fn f() {}\n".repeat(401));
        assert_eq!(findings("src/a.rs", &code), [(402, "401 lines of production code, at most 400".to_string())]);
    }

    #[test]
    fn test_files_have_the_hard_bound_alone() {
        assert!(findings("tests/it/main.rs", &"fn f() {}\n".repeat(600)).is_empty());
        assert_eq!(findings("tests/it/main.rs", &"fn f() {}\n".repeat(601))[0].0, 601);
    }

    #[test]
    fn other_languages_have_no_bound() {
        assert!(findings("data.csv", &"1,2\n".repeat(1000)).is_empty());
    }
}
