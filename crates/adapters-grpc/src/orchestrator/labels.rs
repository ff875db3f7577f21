//! What A2A says of a task and a run has no place for, as labels of the run: readable in lists, and found by filter.
//!
//! A text that is longer than a label's value goes on in further labels: `a2a.context`, `a2a.context.2`, and so on.

use std::collections::BTreeMap;

use tutti_core::ids::LabelName;
use tutti_core::limits::MAX_LABEL_VALUE;
use tutti_core::ports::filter::{Condition, RunFilter};

/// The context that the client chose.
pub(super) const CONTEXT: &str = "a2a.context";

/// The id of the message that started the run.
pub(super) const MESSAGE: &str = "a2a.message";

/// Longest context id or message id, in bytes. Those of a step at the end of the longest path fit.
pub(super) const MAX_ID: usize = 5 * MAX_LABEL_VALUE;

/// Labels of a run.
pub(super) type Labels = BTreeMap<LabelName, String>;

/// Adds a text.
pub(super) fn put(labels: &mut Labels, name: &str, text: &str) {
    labels.extend(pieces(name, text));
}

/// The text that was put.
pub(super) fn get(labels: &Labels, name: &str) -> Option<String> {
    let mut text = labels.get(name)?.clone();
    for number in 2.. {
        let Some(piece) = labels.get(numbered(name, number).as_str()) else { break };
        text.push_str(piece);
    }
    Some(text)
}

/// Takes the runs that a text was put to; also those to which one was put that only begins with it.
pub(super) fn filter(filter: RunFilter, name: &str, text: &str) -> RunFilter {
    pieces(name, text).into_iter().fold(filter, |filter, (name, value)| filter.and(Condition::Label(name, value)))
}

fn pieces(name: &str, text: &str) -> Vec<(LabelName, String)> {
    let mut rest = text;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(MAX_LABEL_VALUE));
        let name = numbered(name, pieces.len() + 1).parse().expect("letters, dots and digits");
        pieces.push((name, piece.to_owned()));
        rest = tail;
    }
    pieces
}

fn numbered(name: &str, number: usize) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}.{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_come_back() {
        for text in ["c-1", &"é".repeat(450), &"x".repeat(MAX_LABEL_VALUE), &"x".repeat(MAX_ID)] {
            let mut labels = Labels::new();
            put(&mut labels, CONTEXT, text);
            put(&mut labels, MESSAGE, "m");
            assert!(labels.values().all(|value| value.len() <= MAX_LABEL_VALUE));
            assert_eq!(get(&labels, CONTEXT).as_deref(), Some(text));
            assert_eq!(filter(RunFilter::default(), CONTEXT, text).terms.len(), labels.len() - 1);
        }
        assert_eq!(get(&Labels::new(), CONTEXT), None);
    }
}
