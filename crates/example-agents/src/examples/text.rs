//! Fan-out and fan-in: a text is split, the words of the parts are counted, the counts are merged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Skills;
use super::function::function;

/// Words and how often each occurs.
type Counts = BTreeMap<String, usize>;

/// What the agent of that name does.
pub(super) fn skills(name: &str) -> Option<Skills> {
    let skills = match name {
        "text-splitter" => vec![
            function("text.split", "Parts of a text of as many words each, named p1, p2, … Input: text, parts.", split),
            function("text.merge", "Adds counts up and names the most frequent words. Input: counts, top.", merge),
        ],
        "text-counter" => vec![function("text.count", "Counts the words of a text. Input: text.", count)],
        _ => return None,
    };
    Some(skills)
}

#[derive(Deserialize)]
struct Whole {
    text: String,
    parts: usize,
}

fn split(input: &Whole) -> Result<BTreeMap<String, String>, String> {
    let words: Vec<&str> = input.text.split_whitespace().collect();
    if !(1..=words.len()).contains(&input.parts) {
        return Err(format!("{} words cannot be split into {} parts", words.len(), input.parts));
    }
    let end = |part: usize| part * words.len() / input.parts;
    let part = |part: usize| (format!("p{part}"), words[end(part - 1)..end(part)].join(" "));
    Ok((1..=input.parts).map(part).collect())
}

#[derive(Deserialize)]
struct Part {
    text: String,
}

fn count(input: &Part) -> Result<Counts, String> {
    let mut counts = Counts::new();
    for word in input.text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    Ok(counts)
}

#[derive(Deserialize)]
struct Parts {
    counts: BTreeMap<String, Counts>,
    top: usize,
}

#[derive(Serialize)]
struct Summary {
    words: usize,
    distinct: usize,
    top: Vec<Frequent>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Frequent {
    word: String,
    count: usize,
}

fn merge(input: &Parts) -> Result<Summary, String> {
    let mut all = Counts::new();
    for (word, count) in input.counts.values().flatten() {
        *all.entry(word.clone()).or_default() += count;
    }
    let (words, distinct) = (all.values().sum(), all.len());
    let mut top: Vec<Frequent> = all.into_iter().map(|(word, count)| Frequent { word, count }).collect();
    // Equals stay in the order of the alphabet.
    top.sort_by_key(|frequent| std::cmp::Reverse(frequent.count));
    top.truncate(input.top);
    Ok(Summary { words, distinct, top })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_does_not_depend_on_the_number_of_parts() {
        let text = "the cat, the dog and The bird don't";
        let counted = |parts| {
            let parts = split(&Whole { text: text.into(), parts }).unwrap();
            let counts = parts.into_iter().map(|(name, text)| (name, count(&Part { text }).unwrap())).collect();
            let summary = merge(&Parts { counts, top: 2 }).unwrap();
            (summary.words, summary.distinct, summary.top.into_iter().map(|f| (f.word, f.count)).collect::<Vec<_>>())
        };
        assert_eq!(counted(1), (8, 6, vec![("the".into(), 3), ("and".into(), 1)]));
        assert!((2..=8).all(|parts| counted(parts) == counted(1)));
        assert!(split(&Whole { text: text.into(), parts: 9 }).is_err());
    }
}
