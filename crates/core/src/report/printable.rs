//! Text that came from outside, made safe to show in a terminal, and cut to a width.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with everything that could move the cursor, change colours, reorder or hide parts of a line shown as a
/// symbol: control characters as their pictures (`␛` for escape, `␊` for line feed), and other invisible or
/// direction-changing characters (UAX #9, general category Cf) as `\u{202e}`. The result is one line.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_control(c) || is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\0'..='\u{1f}' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\u{7f}' => shown.push('\u{2421}'),
            _ if is_hidden(c) => _ = write!(shown, "\\u{{{:x}}}", u32::from(c)),
            _ => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Columns that a [`printable`] text takes in a terminal: two for each wide character of East Asian scripts and for
/// pictures, none for marks that stand on the character before them.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// The [`printable`] text, cut with `…` where it is wider than `width` columns.
#[must_use]
pub fn fit(text: &str, width: usize) -> Cow<'_, str> {
    let text = printable(text);
    if columns(&text) <= width {
        return text;
    }
    let mut left = width.saturating_sub(1);
    let kept: String = text
        .chars()
        .take_while(|c| left.checked_sub(columns_of(*c)).inspect(|rest| left = *rest).is_some())
        .chain((width > 0).then_some('…'))
        .collect();
    Cow::Owned(kept)
}

/// As [`fit`], filled with spaces to the width.
#[must_use]
pub fn pad(text: &str, width: usize) -> String {
    let mut text = fit(text, width).into_owned();
    let missing = width.saturating_sub(columns(&text));
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

/// The [`printable`] words of a text on lines of at most `width` columns; a longer word is cut.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let word = fit(word, width);
        if !line.is_empty() && columns(&line) + 1 + columns(&word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.extend((!line.is_empty()).then_some(line));
    lines
}

const fn is_control(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}')
}

/// Characters that show nothing or change how others show.
const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' // C1 controls: some terminals obey them
        | '\u{ad}' | '\u{34f}' // soft hyphen, grapheme joiner
        | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{115f}'..='\u{1160}' | '\u{3164}' | '\u{ffa0}' // letters without a shape
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' // joiners, separators, bidi
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' // tags, more variation selectors
        | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}') // private use: whatever the font says
}

/// By the blocks of UAX #11 (East Asian Width) and UTS #51 (pictures); right for whole scripts, not for every character.
const fn columns_of(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{64b}'..='\u{65f}' => 0,
        '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' => 0,
        '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{a960}'..='\u{a97f}' => 2,
        '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' => 2,
        '\u{ff01}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' => 2,
        '\u{1f300}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f6ff}' | '\u{1f900}'..='\u{1faff}' => 2,
        '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_is_borrowed_as_it_is() {
        for text in ["", "plain", "déjà vu", "こんにちは", "e\u{301}", "✓ done", "⚠\u{fe0f}"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn what_could_deceive_becomes_visible() {
        assert_eq!(printable("a\u{1b}[31mred\u{7f}"), "a␛[31mred␡");
        assert_eq!(printable("one\r\ntwo\tthree\0"), "one␍␊two␉three␀");
        assert_eq!(printable("user\u{202e}txt.exe"), "user\\u{202e}txt.exe");
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(printable("a\u{200b}b\u{e0041}\u{feff}"), "a\\u{200b}b\\u{e0041}\\u{feff}");
    }

    #[test]
    fn text_is_cut_by_columns_not_by_characters() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abcde…");
        assert_eq!(fit("日本語の文", 6), "日本…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(fit("abc", 1), "…");
        assert_eq!(pad("日本", 6), "日本  ");
    }

    #[test]
    fn words_are_wrapped() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("  \n ", 7), [""; 0]);
        assert_eq!(wrap("extraordinary thing", 8), ["extraor…", "thing"]);
    }

    proptest! {
        #[test]
        fn no_text_escapes_its_line(text in any::<String>(), width in 0_usize..50) {
            let shown = printable(&text);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_hidden(c)));
            prop_assert_eq!(printable(&shown), shown.as_ref(), "nothing is escaped twice");
            prop_assert!(columns(&fit(&text, width)) <= width);
            prop_assert_eq!(columns(&pad(&text, width)), width);
            prop_assert!(wrap(&text, width).iter().all(|line| columns(line) <= width));
        }
    }
}
