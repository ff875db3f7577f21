//! Texts that callers write freely, as PostgreSQL can keep them: it has no NUL in a text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tutti_core::ids::LabelName;

/// Stands before what a text could not hold otherwise. A control character that nobody types.
const ESCAPE: char = '\u{10}';

/// A text in the form that is kept; most texts are kept as they are.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(ESCAPE, "\u{10}\u{10}").replace('\0', "\u{10}0"))
}

/// The text of what is kept; `None` if nothing is kept so.
pub fn unescape(kept: &str) -> Option<String> {
    let mut text = String::with_capacity(kept.len());
    let mut chars = kept.chars();
    while let Some(next) = chars.next() {
        text.push(match next {
            ESCAPE => match chars.next()? {
                '0' => '\0',
                ESCAPE => ESCAPE,
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(text)
}

/// A label in the form that is kept; no name holds a `=`.
pub fn label(name: &LabelName, value: &str) -> String {
    format!("{name}={}", escape(value))
}

/// The labels of what is kept; `None` if nothing is kept so.
pub fn labels(kept: &[String]) -> Option<BTreeMap<LabelName, String>> {
    let label = |kept: &String| {
        let (name, value) = kept.split_once('=')?;
        Some((name.parse().ok()?, unescape(value)?))
    };
    kept.iter().map(label).collect()
}

/// Texts as the text of a PostgreSQL array (PostgreSQL, section 8.15.6).
pub fn array(texts: impl Iterator<Item = String>) -> String {
    let quoted = texts.map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")));
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_reads_back() {
        for text in ["", "plain", "a\0b", "\0", "\u{10}", "\u{10}0", "\0\u{10}\0", "\\0 \u{1f3bc}"] {
            let kept = escape(text);
            assert!(!kept.contains('\0'));
            assert_eq!(unescape(&kept).as_deref(), Some(text));
        }
        assert!(matches!(escape("it's \"plain\""), Cow::Borrowed(_)));
    }

    #[test]
    fn texts_that_differ_are_kept_apart() {
        let all = ["", "0", "\0", "\u{10}", "\u{10}0", "\u{10}\0", "\0\u{10}", "\u{10}\u{10}", "\0\0"];
        let kept: std::collections::BTreeSet<_> = all.iter().map(|text| escape(text)).collect();
        assert_eq!(kept.len(), all.len());
    }

    #[test]
    fn damage_is_noticed() {
        for odd in ["\u{10}", "a\u{10}", "\u{10}x"] {
            assert_eq!(unescape(odd), None, "{odd:?}");
        }
        for odd in ["", "team", "=x", "a b=c", "a=\u{10}x"] {
            assert_eq!(labels(&[odd.to_owned()]), None, "{odd:?}");
        }
    }

    #[test]
    fn an_array_is_quoted() {
        assert_eq!(array([].into_iter()), "{}");
        assert_eq!(array(["a", "", "\"\\,{}"].map(str::to_owned).into_iter()), r#"{"a","","\"\\,{}"}"#);
    }

    #[test]
    fn labels_read_back() {
        let all: BTreeMap<LabelName, String> =
            [("team", "a=b"), ("a.b", ""), ("odd", "\0=\u{10}")].map(|(n, v)| (n.parse().unwrap(), v.into())).into();
        let kept: Vec<String> = all.iter().map(|(name, value)| label(name, value)).collect();
        assert_eq!(labels(&kept), Some(all));
    }
}
