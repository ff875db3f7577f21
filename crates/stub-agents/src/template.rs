//! References in texts, such as `${input.order.id}`.

use serde_json::Value;

/// What references stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) input: &'a Value,
    /// What was replied to the question; null before.
    pub(crate) reply: &'a Value,
    /// The number of the call in its operation, from 1.
    pub(crate) call: u32,
}

/// The names that a reference may begin with.
const ROOTS: [&str; 3] = ["input", "reply", "call"];

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Plain(&'t str),
    /// Names joined by dots.
    Reference(&'t str),
}

/// The references in every text of a value.
///
/// # Errors
/// What is wrong with the first one that cannot be read.
pub(crate) fn references(value: &Value) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    collect(value, &mut found)?;
    Ok(found)
}

/// The references in a text.
///
/// # Errors
/// As [`references`].
pub(crate) fn references_in(text: &str) -> Result<Vec<&str>, String> {
    let found = pieces(text)?.into_iter().filter_map(|piece| match piece {
        Piece::Reference(path) => Some(path),
        Piece::Plain(_) => None,
    });
    Ok(found.collect())
}

/// The value with its references filled in. A text that is nothing but a reference becomes the value that it stands for.
///
/// # Errors
/// A reference to what is not there.
pub(crate) fn fill(value: &Value, scope: Scope<'_>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => match pieces(text)?.as_slice() {
            [Piece::Reference(path)] => scope.find(path)?,
            _ => Value::String(fill_text(text, scope)?),
        },
        Value::Array(items) => Value::Array(items.iter().map(|item| fill(item, scope)).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let filled = members.iter().map(|(name, member)| Ok((name.clone(), fill(member, scope)?)));
            Value::Object(filled.collect::<Result<_, String>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// The text with its references filled in: texts as they are, other values as JSON.
///
/// # Errors
/// As [`fill`].
pub(crate) fn fill_text(text: &str, scope: Scope<'_>) -> Result<String, String> {
    let mut filled = String::new();
    for piece in pieces(text)? {
        match piece {
            Piece::Plain(plain) => filled.push_str(plain),
            Piece::Reference(path) => match scope.find(path)? {
                Value::String(text) => filled.push_str(&text),
                other => filled.push_str(&other.to_string()),
            },
        }
    }
    Ok(filled)
}

/// The value at a path: names of members and numbers of items joined by dots.
pub(crate) fn at<'v>(value: &'v Value, mut names: impl Iterator<Item = &'v str>) -> Option<&'v Value> {
    names.try_fold(value, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

impl Scope<'_> {
    fn find(&self, path: &str) -> Result<Value, String> {
        let (root, rest) = path.split_once('.').map_or((path, None), |(root, rest)| (root, Some(rest)));
        let whole = match root {
            "input" => self.input,
            "reply" => self.reply,
            _ => return Ok(self.call.into()),
        };
        let found = match rest {
            Some(rest) => at(whole, rest.split('.')),
            None => Some(whole),
        };
        found.cloned().ok_or_else(|| format!("there is no value for ${{{path}}}"))
    }
}

fn collect<'v>(value: &'v Value, found: &mut Vec<&'v str>) -> Result<(), String> {
    match value {
        Value::String(text) => found.extend(references_in(text)?),
        Value::Array(items) => items.iter().try_for_each(|item| collect(item, found))?,
        Value::Object(members) => members.values().try_for_each(|member| collect(member, found))?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Takes a text apart. `$${` is `${` that begins no reference.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            pieces.extend([Piece::Plain(&rest[..start - 1]), Piece::Plain("${")]);
            rest = &rest[start + 2..];
            continue;
        }
        let end = rest[start..].find('}').ok_or("has \"${\" without \"}\"; write \"$${\" for one that is meant")?;
        let path = &rest[start + 2..start + end];
        check(path)?;
        if start > 0 {
            pieces.push(Piece::Plain(&rest[..start]));
        }
        pieces.push(Piece::Reference(path));
        rest = &rest[start + end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Plain(rest));
    }
    Ok(pieces)
}

fn check(path: &str) -> Result<(), String> {
    let (root, rest) = path.split_once('.').map_or((path, None), |(root, rest)| (root, Some(rest)));
    if !ROOTS.contains(&root) {
        return Err(format!("refers to \"{}\"; there are `input`, `reply` and `call`", path.escape_debug()));
    }
    match rest {
        Some(_) if root == "call" => Err("refers into `call`, which is a number".into()),
        Some(rest) if rest.split('.').any(str::is_empty) => {
            Err(format!("refers to \"{}\", which has an empty part", path.escape_debug()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &Value) -> Result<Value, String> {
        let input = json!({"order": {"id": 7, "names": ["a", "b"]}, "text": "hi"});
        fill(template, Scope { input: &input, reply: &json!("yes"), call: 2 })
    }

    #[test]
    fn a_reference_alone_is_the_value_and_among_words_its_text() {
        let template = json!({"id": "${input.order.id}", "say": ["${input.text} no ${call}: ${input.order.names}", 1]});
        assert_eq!(filled(&template), Ok(json!({"id": 7, "say": ["hi no 2: [\"a\",\"b\"]", 1]})));
        assert_eq!(filled(&json!("${input.order.names.1}${reply}")), Ok(json!("byes")));
        assert_eq!(filled(&json!("costs $5, $${input}, $")), Ok(json!("costs $5, ${input}, $")));
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert_eq!(filled(&json!("${input.none}")), Err("there is no value for ${input.none}".into()));
        assert!(filled(&json!("${input.text.deeper}")).is_err());
    }

    #[test]
    fn references_that_can_mean_nothing_are_found_before() {
        let wrong = |text: &str| references_in(text).unwrap_err();
        assert!(wrong("${output}").contains("there are `input`, `reply` and `call`"));
        assert!(wrong("${input..a}").contains("empty part"));
        assert!(wrong("${call.a}").contains("a number"));
        assert!(wrong("${input").contains("without"));
        assert_eq!(references(&json!({"a": ["${reply.x}", "${call}"]})), Ok(vec!["reply.x", "call"]));
    }
}
