//! What must hold of files before they are released.

use serde::{Deserialize, Serialize};

use super::Files;

#[derive(Deserialize)]
pub(super) struct Tested {
    files: Files,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Passed {
    checks: usize,
}

/// Pages have a title and lead only to files that are there; JSON is JSON.
pub(super) fn test(input: &Tested) -> Result<Passed, String> {
    let (mut checks, mut faults) = (0, Vec::new());
    let mut check = |good: bool, fault: String| {
        checks += 1;
        if !good {
            faults.push(fault);
        }
    };
    for (path, text) in &input.files {
        if path.ends_with(".json") {
            let read = serde_json::from_str::<serde_json::Value>(text);
            check(read.is_ok(), format!("{path}: not JSON"));
        }
        if path.ends_with(".html") {
            check(text.contains("<title>"), format!("{path}: no title"));
            for link in links(text) {
                check(input.files.contains_key(link), format!("{path}: leads to {link:?}, which is not there"));
            }
        }
    }
    if faults.is_empty() { Ok(Passed { checks }) } else { Err(faults.join("; ")) }
}

/// What `href` and `src` lead to, outside addresses left out.
fn links(html: &str) -> impl Iterator<Item = &str> {
    let after = |name| html.split(name).skip(1).filter_map(|rest: &str| rest.split('"').next());
    after("href=\"").chain(after("src=\"")).filter(|link| !link.contains(':'))
}

#[derive(Deserialize)]
pub(super) struct Scanned {
    files: Files,
    forbidden: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Clean {
    files: usize,
    bytes: usize,
}

pub(super) fn scan(input: &Scanned) -> Result<Clean, String> {
    for (path, text) in &input.files {
        if let Some(word) = input.forbidden.iter().find(|word| text.contains(word.as_str())) {
            return Err(format!("{path}: holds {word:?}"));
        }
    }
    Ok(Clean { files: input.files.len(), bytes: input.files.values().map(String::len).sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(index: &str) -> Files {
        Files::from([("index.html".into(), index.into()), ("a.json".into(), "{}".into())])
    }

    #[test]
    fn every_fault_is_told() {
        let test = |index| test(&Tested { files: files(index) });
        let good = "<title>x</title><a href=\"a.json\"><a href=\"https://x\"><img src=\"index.html\">";
        assert_eq!(test(good), Ok(Passed { checks: 4 }));
        assert_eq!(
            test("<a href=\"b\">"),
            Err("index.html: no title; index.html: leads to \"b\", which is not there".into())
        );
    }

    #[test]
    fn forbidden_words_are_found() {
        let scan = |word: &str| scan(&Scanned { files: files("secret"), forbidden: vec![word.into()] });
        assert_eq!(scan("secret"), Err("index.html: holds \"secret\"".into()));
        assert_eq!(scan("other"), Ok(Clean { files: 2, bytes: 8 }));
    }
}
