//! Nothing unfinished and no test switched off.

use super::repository::TextFile;
use super::source::{Source, has_word};
use super::{Finding, Rule};

pub const RULE: Rule = Rule {
    name: "unfinished",
    why: "what is in the tree works; what does not work yet is not in the tree",
    check: |repository| repository.files.iter().flat_map(check).collect(),
};

/// Looked for in code.
const MACROS: &[&str] = &["todo!", "unimplemented!", "#[ignore"];

/// Looked for in every text but documents, which may speak about it.
const MARK: &str = "FIXME";

fn check(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line, what| {
        findings.push(Finding { path: file.path.clone(), line, message: format!("`{what}` in the tree") });
    };
    for (number, line, _) in file.rust.iter().flat_map(Source::lines) {
        MACROS.iter().filter(|name| has_word(&line, name)).for_each(|name| add(number, *name));
    }
    // This file has to name the mark.
    if !file.path.ends_with(".md") && file.path != file!() {
        let marked = file.text.lines().enumerate().filter(|(_, line)| has_word(line, MARK));
        marked.for_each(|(index, _)| add(index + 1, MARK));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::repository::Repository;
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<(usize, String)> {
        let findings = (RULE.check)(&Repository::of(&[(path, text)]));
        findings.into_iter().map(|finding| (finding.line, finding.message)).collect()
    }

    #[test]
    fn unfinished_code_is_found() {
        let text = "fn a() {\n    todo!()\n}\nfn b() {\n    unimplemented!(\"later\")\n}\n";
        assert_eq!(
            findings("src/a.rs", text),
            [(2, "`todo!` in the tree".to_string()), (5, "`unimplemented!` in the tree".to_string())]
        );
    }

    #[test]
    fn a_test_switched_off_is_found() {
        assert_eq!(findings("tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n")[0].0, 2);
    }

    #[test]
    fn the_mark_is_found_in_comments_of_any_language() {
        assert_eq!(findings("src/a.rs", "// FIXME: later\n").len(), 1);
        assert_eq!(findings("agent.py", "# FIXME\n").len(), 1);
        assert!(findings("CONTRIBUTING.md", "No FIXME.\n").is_empty());
    }

    #[test]
    fn words_in_comments_and_strings_are_not_code() {
        assert!(findings("src/a.rs", "// todo! comes later\nlet a = \"#[ignore]\";\n").is_empty());
    }
}
