//! Links of documents to files of the repository.

use super::repository::{Repository, TextFile};
use super::{Finding, Rule};

pub const RULE: Rule = Rule {
    name: "links",
    why: "a document that points nowhere is worse than none",
    check: |repository| {
        let documents = repository.files.iter().filter(|file| file.path.ends_with(".md"));
        documents.flat_map(|document| check(repository, document)).collect()
    },
};

fn check(repository: &Repository, document: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (index, line) in document.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(line) {
            if leads_nowhere(repository, &document.path, &target) {
                let message = format!("the link to `{target}` leads nowhere");
                findings.push(Finding { path: document.path.clone(), line: index + 1, message });
            }
        }
    }
    findings
}

/// The targets of the links that a line of Markdown contains: `[text](target)` and `[label]: target`.
fn targets(line: &str) -> Vec<String> {
    // What stands in back quotes is code.
    let line: String = line.split('`').step_by(2).collect();
    let mut targets = Vec::new();
    for (at, mark) in line.match_indices("](") {
        let rest = &line[at + mark.len()..];
        let target = rest.split([')', ' ']).next().unwrap_or_default();
        targets.push(target.trim_matches(['<', '>']).to_string());
    }
    if let Some((label, target)) = line.split_once("]: ") {
        let definition = label.starts_with('[') && !label.starts_with("[^") && !label.contains("](");
        targets.extend(definition.then(|| target.split_whitespace().next().unwrap_or_default().to_string()));
    }
    targets
}

fn leads_nowhere(repository: &Repository, document: &str, target: &str) -> bool {
    let path = target.split(['#', '?']).next().unwrap_or_default();
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    if elsewhere || path.is_empty() {
        return false;
    }
    let Some(path) = resolve(document, path) else { return true };
    let folder = format!("{path}/");
    !(path.is_empty() || repository.files.iter().any(|file| file.path == path || file.path.starts_with(&folder)))
}

/// The path from the root; none if it leads out of the repository.
fn resolve(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    if !target.starts_with('/') {
        parts.extend(document.split('/'));
        parts.pop();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let repository = Repository::of(&[
            ("docs/a.md", text),
            ("docs/b.md", ""),
            ("README.md", ""),
            ("crates/core/src/lib.rs", ""),
        ]);
        (RULE.check)(&repository).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn links_to_files_and_folders_hold() {
        let text = "[b](b.md#part) ![r](../README.md \"title\") [core](/crates/core/) [src](../crates/core/src)\n\n[x]: b.md\n";
        assert_eq!(findings(text), [""; 0]);
    }

    #[test]
    fn links_into_nothing_are_found() {
        assert_eq!(findings("[c](c.md) and [d](../../d.md)").len(), 2);
        assert_eq!(findings("[x]: ../crates/none"), ["the link to `../crates/none` leads nowhere"]);
    }

    #[test]
    fn addresses_anchors_and_code_are_not_files() {
        let text =
            "[a](https://example.org/x) [b](#part) `[c](c.md)`\n```\n[d](d.md)\n```\nmail [e](mailto:a@example.org)\n";
        assert_eq!(findings(text), [""; 0]);
    }
}
