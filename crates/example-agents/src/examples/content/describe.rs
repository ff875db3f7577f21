//! What a text is about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Words that say nothing by themselves; shorter ones than four letters never count.
const EMPTY: [&str; 22] = [
    "about", "again", "also", "been", "does", "each", "every", "from", "have", "into", "more", "most", "only", "than",
    "that", "their", "them", "then", "they", "this", "when", "with",
];

const WORDS_PER_MINUTE: usize = 200;

#[derive(Deserialize)]
pub(super) struct Wanted {
    text: String,
    count: usize,
}

#[derive(Serialize)]
pub(super) struct Keywords {
    keywords: Vec<String>,
}

pub(super) fn keywords(input: &Wanted) -> Result<Keywords, String> {
    let mut weights: Vec<(String, usize)> = weights(&input.text).into_iter().collect();
    weights.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    Ok(Keywords { keywords: weights.into_iter().take(input.count).map(|(word, _)| word).collect() })
}

#[derive(Deserialize)]
pub(super) struct Text {
    text: String,
}

#[derive(Serialize)]
pub(super) struct Summary {
    summary: String,
    minutes: usize,
}

/// The sentence whose words weigh most on average; the first of equals.
pub(super) fn summarize(input: &Text) -> Result<Summary, String> {
    let weights = weights(&input.text);
    let mut best = (0.0, String::new());
    for sentence in sentences(&input.text) {
        let words: Vec<String> = words(&sentence).collect();
        let weight: usize = words.iter().filter_map(|word| weights.get(word)).sum();
        let average = weight as f64 / words.len().max(1) as f64;
        if average > best.0 {
            best = (average, sentence);
        }
    }
    if best.1.is_empty() {
        return Err("the text has no sentence".into());
    }
    Ok(Summary { summary: best.1, minutes: words(&input.text).count().div_ceil(WORDS_PER_MINUTE) })
}

/// How often each word that says something occurs.
fn weights(text: &str) -> BTreeMap<String, usize> {
    let mut weights = BTreeMap::new();
    for word in words(text).filter(|word| word.chars().count() >= 4 && !EMPTY.contains(&word.as_str())) {
        *weights.entry(word).or_default() += 1;
    }
    weights
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Sentences of paragraphs; headings and lists are none.
fn sentences(text: &str) -> impl Iterator<Item = String> {
    let paragraphs = text.split("\n\n").filter(|block| !block.starts_with(['#', '-']));
    let plain = |block: &str| block.replace('*', "").split_whitespace().collect::<Vec<_>>().join(" ");
    paragraphs.map(plain).flat_map(|block| block.split_inclusive(". ").map(|s| s.trim().to_owned()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Title\n\nWind **turns** the wheel. Wind wheel wind wheel. The\nend of it.\n\n- wheel";

    #[test]
    fn frequent_words_are_what_it_is_about() {
        let found = keywords(&Wanted { text: TEXT.into(), count: 2 }).unwrap();
        assert_eq!(found.keywords, ["wheel", "wind"]);
        let found = summarize(&Text { text: TEXT.into() }).unwrap();
        assert_eq!((found.summary.as_str(), found.minutes), ("Wind wheel wind wheel.", 1));
        assert!(summarize(&Text { text: "# only a heading".into() }).is_err());
    }
}
