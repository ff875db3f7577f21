//! Plain words: names made of them, and which of several things they speak of.

use std::collections::BTreeSet;

use tutti_core::ids::Capability;

/// Words of a description that say nothing of what is to be done.
const EMPTY: [&str; 24] = [
    "a", "an", "and", "at", "by", "for", "from", "in", "into", "it", "my", "of", "on", "or", "our", "please", "that",
    "the", "their", "them", "then", "this", "to", "with",
];

/// Most words of a name, and most of its characters.
const NAME: (usize, usize) = (5, 48);

/// Letters that two words share at their start to be taken for forms of one.
const STEM: usize = 5;

/// The words of a text, in lower case.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// A name for a step or a workflow from a description: its first words that say something. Empty if there is none.
pub fn slug(text: &str) -> String {
    let mut name = String::new();
    let ascii = |word: &String| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    for word in words(text).filter(ascii).filter(|word| !EMPTY.contains(&word.as_str())).take(NAME.0) {
        if name.len() + word.len() >= NAME.1 {
            break;
        }
        name.extend([if name.is_empty() { "" } else { "-" }, &word]);
    }
    name
}

/// The capability, of those that are offered, that the words of a text speak of: the one with the largest share of its own
/// words in the text, then the one with more of them, then the first by name. `None` if none has a word in it.
pub fn matching<'c>(text: &str, offered: impl IntoIterator<Item = &'c Capability>) -> Option<&'c Capability> {
    let said: BTreeSet<String> = words(text).filter(|word| !EMPTY.contains(&word.as_str())).collect();
    let rank = |capability: &'c Capability| {
        let own: BTreeSet<String> = words(capability.as_str()).collect();
        let hits = own.iter().filter(|word| said.iter().any(|other| akin(word, other))).count();
        let share = hits * 1_000 / own.len().max(1);
        (hits > 0).then_some(((share, hits), capability))
    };
    let best = |a: &((usize, usize), &'c Capability), b: &((usize, usize), &'c Capability)| {
        a.0.cmp(&b.0).then_with(|| b.1.as_str().cmp(a.1.as_str()))
    };
    offered.into_iter().filter_map(rank).max_by(best).map(|(_, capability)| capability)
}

/// Whether two words are the same or forms of one, such as *analyze* and *analysis*, *book* and *booking*.
fn akin(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short == long {
        return true;
    }
    let shared = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let whole = short.chars().count();
    (whole >= 4 && shared == whole && long.chars().count() <= whole + 4) || shared >= STEM
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_words_that_say_something() {
        assert_eq!(slug("Book a flight to Tokyo, and then some more words"), "book-flight-tokyo-some-more");
        assert_eq!(slug("Überweisung an Ada"), "ada");
        assert_eq!(slug("the of and"), "");
        assert!(slug(&"verylongword ".repeat(9)).len() <= NAME.1);
    }

    #[test]
    fn the_capability_that_is_spoken_of_is_found() {
        let offered: Vec<Capability> =
            ["data.analyze", "data.clean", "flight_booking", "hotel_booking"].map(|c| c.parse().unwrap()).into();
        let found = |text| matching(text, &offered).map(Capability::as_str);
        assert_eq!(found("Book the flight"), Some("flight_booking"));
        assert_eq!(found("An analysis of the data"), Some("data.analyze"));
        assert_eq!(found("Clean it"), Some("data.clean"));
        assert_eq!(found("Write a poem"), None);
    }
}
