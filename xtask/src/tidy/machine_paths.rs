//! No path of one person's machine.

use super::repository::Repository;
use super::{Finding, Rule};

pub const RULE: Rule = Rule {
    name: "machine-paths",
    why: "the repository works wherever it is cloned; a path outside of it exists on one machine only",
    check,
};

/// Where machines keep what is theirs, and what lies beside one checkout.
const PATHS: &[&str] = &["/work/", "/home/", "/root/", "../shared"];

fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    // This file has to name the paths.
    for file in repository.files.iter().filter(|file| file.path != file!()) {
        for (index, line) in file.text.lines().enumerate() {
            for path in PATHS.iter().filter(|path| names(line, path)) {
                let message = format!("`{path}` is a path of one machine");
                findings.push(Finding { path: file.path.clone(), line: index + 1, message });
            }
        }
    }
    findings
}

/// Whether the `line` names the `path` itself, and not a longer path or an address that contains it.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = &line[..at];
        let goes_on = before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | '~'));
        !goes_on || before.ends_with("file://") || (path.starts_with("..") && before.ends_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_s_path_is_found() {
        for line in ["cd /work/main", "path: \"/home/me/x\"", "file:///root/x", "see ../shared/x", "see ../../shared/x"]
        {
            let findings = check(&Repository::of(&[("docs/a.md", line)]));
            assert_eq!(findings.len(), 1, "{line}");
        }
    }

    #[test]
    fn paths_that_only_contain_one_are_not() {
        for line in ["crates/work/src", "https://example.org/home/x", "$HOME/root/x", "${dir}/work/x", "./home/x"] {
            assert!(check(&Repository::of(&[("docs/a.md", line)])).is_empty(), "{line}");
        }
    }
}
