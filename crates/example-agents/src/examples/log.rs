//! Producer and consumer: one agent reads a log in batches, another counts what is in them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Skills;
use super::function::function;

/// What the agent of that name does.
pub(super) fn skills(name: &str) -> Option<Skills> {
    let skill = match name {
        "log-reader" => function(
            "log.read",
            "The next lines of a log. Input: text, from (line, default 0), size (lines, default all that are left).",
            read,
        ),
        "log-counter" => function(
            "log.count",
            "Counts lines by level and keeps the errors. Input: lines, so_far (an earlier count, optional).",
            count,
        ),
        _ => return None,
    };
    Some(vec![skill])
}

#[derive(Deserialize)]
struct Position {
    text: String,
    #[serde(default)]
    from: usize,
    size: Option<usize>,
}

#[derive(Serialize)]
struct Batch {
    lines: Vec<String>,
    /// Where the next batch begins.
    next: usize,
}

fn read(input: &Position) -> Result<Batch, String> {
    let rest = input.text.lines().map(str::to_owned).skip(input.from);
    let lines: Vec<String> = rest.take(input.size.unwrap_or(usize::MAX)).collect();
    Ok(Batch { next: input.from + lines.len(), lines })
}

#[derive(Deserialize)]
struct Lines {
    lines: Vec<String>,
    #[serde(default)]
    so_far: Tally,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    lines: usize,
    levels: BTreeMap<String, usize>,
    errors: Vec<String>,
}

/// A line is a time, a level and a message, by spaces.
fn count(input: &Lines) -> Result<Tally, String> {
    let mut tally = input.so_far.clone();
    for line in &input.lines {
        let mut words = line.splitn(3, ' ');
        let (Some(_), Some(level), Some(message)) = (words.next(), words.next(), words.next()) else {
            return Err(format!("not a line of a log: {line:?}"));
        };
        tally.lines += 1;
        *tally.levels.entry(level.to_owned()).or_default() += 1;
        if level == "ERROR" {
            tally.errors.push(message.to_owned());
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_count_as_the_whole_does() {
        let text = "1 INFO a b\n2 ERROR c d\n3 INFO e\n".to_owned();
        let batch = |from, size| read(&Position { text: text.clone(), from, size }).unwrap();
        let tally = |lines, so_far| count(&Lines { lines, so_far }).unwrap();
        let (first, rest) = (batch(0, Some(2)), batch(2, None));
        assert_eq!((first.next, rest.next), (2, 3));
        let whole = tally(batch(0, None).lines, Tally::default());
        assert_eq!(tally(rest.lines, tally(first.lines, Tally::default())), whole);
        assert_eq!((whole.lines, whole.levels["INFO"], whole.errors), (3, 2, vec!["c d".to_owned()]));
        assert!(count(&Lines { lines: vec!["x".into()], so_far: Tally::default() }).is_err());
    }
}
