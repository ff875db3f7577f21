//! The words of an expression.

use std::iter::Peekable;
use std::str::CharIndices;

/// A word, with where it begins: the number of its first character, from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub what: What,
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Name(String),
    Text(String),
    /// A number as it was written.
    Number(String),
    /// A sign of one or two characters, or `in`.
    Sign(&'static str),
}

/// Signs, longer ones first.
const SIGNS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}",
];

/// Cuts a text into words.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some(&(at, c)) = chars.peek() {
        let column = text[..at].chars().count() + 1;
        let rest = &text[at..];
        if c.is_whitespace() {
            chars.next();
            continue;
        }
        if rest.starts_with("//") {
            while chars.next_if(|(_, c)| *c != '\n').is_some() {}
            continue;
        }
        let what = if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            What::Number(number(&mut chars))
        } else if matches!(c, '"' | '\'' | '`') || raw(rest) {
            let text = quoted(&mut chars).map_err(|why| format!("column {column}: {why}"))?;
            if c == '`' { What::Name(text) } else { What::Text(text) }
        } else if c.is_ascii_alphabetic() || c == '_' {
            let mut name = String::new();
            while let Some((_, c)) = chars.next_if(|(_, c)| c.is_ascii_alphanumeric() || *c == '_') {
                name.push(c);
            }
            if name == "in" { What::Sign("in") } else { What::Name(name) }
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            for _ in 0..sign.len() {
                chars.next();
            }
            What::Sign(sign)
        } else {
            return Err(format!("column {column}: '{}' means nothing here", c.escape_debug()));
        };
        tokens.push(Token { what, column });
    }
    Ok(tokens)
}

fn raw(rest: &str) -> bool {
    rest.starts_with("r\"") || rest.starts_with("r'")
}

fn number(chars: &mut Peekable<CharIndices<'_>>) -> String {
    let mut number = String::new();
    loop {
        let signed = number.ends_with(['e', 'E']) && !number.starts_with("0x");
        match chars.next_if(|(_, c)| c.is_ascii_alphanumeric() || *c == '.' || (signed && matches!(c, '+' | '-'))) {
            Some((_, c)) => number.push(c),
            None => return number,
        }
    }
}

fn quoted(chars: &mut Peekable<CharIndices<'_>>) -> Result<String, String> {
    let raw = chars.next_if(|(_, c)| *c == 'r').is_some();
    let quote = chars.next().map_or('"', |(_, c)| c);
    let mut text = String::new();
    while let Some((_, c)) = chars.next() {
        match c {
            c if c == quote => return Ok(text),
            '\\' if !raw && quote != '`' => text.push(escaped(chars)?),
            c => text.push(c),
        }
    }
    Err("the text does not end".to_owned())
}

fn escaped(chars: &mut Peekable<CharIndices<'_>>) -> Result<char, String> {
    let digits = match chars.next().map(|(_, c)| c) {
        Some(c @ ('\\' | '"' | '\'' | '`' | '?')) => return Ok(c),
        Some('n') => return Ok('\n'),
        Some('t') => return Ok('\t'),
        Some('r') => return Ok('\r'),
        Some('a') => return Ok('\x07'),
        Some('b') => return Ok('\x08'),
        Some('f') => return Ok('\x0c'),
        Some('v') => return Ok('\x0b'),
        Some('x') => 2,
        Some('u') => 4,
        Some('U') => 8,
        _ => return Err("after \\ stands no escape that is known".to_owned()),
    };
    let code: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
    let code = u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == digits && !code.starts_with('+'));
    code.and_then(char::from_u32).ok_or_else(|| "after \\ stands no character".to_owned())
}
