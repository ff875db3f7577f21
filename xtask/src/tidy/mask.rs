//! Tells code from comments and literals in Rust text.

/// Copies Rust text without what is not code.
pub struct Masker {
    text: Vec<char>,
    at: usize,
    code: String,
}

impl Masker {
    /// The `text` line for line and character for character; comments are blank, and inside literals every character
    /// but white space is `_`.
    pub fn mask(text: &str) -> String {
        let mut masker = Self { text: text.chars().collect(), at: 0, code: String::with_capacity(text.len()) };
        while let Some(c) = masker.peek(0) {
            match (c, masker.peek(1)) {
                ('/', Some('/')) => masker.line_comment(),
                ('/', Some('*')) => masker.block_comment(),
                ('"', _) => masker.string(),
                ('\'', _) => masker.quote(),
                _ if is_word(c) => masker.word(),
                _ => masker.keep(),
            }
        }
        masker.code
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn keep(&mut self) {
        self.code.extend(self.peek(0));
        self.at += 1;
    }

    /// Takes one character; `instead` of it stands in the code unless it is white space.
    fn hide(&mut self, instead: char) {
        self.code.extend(self.peek(0).map(|c| if c.is_whitespace() { c } else { instead }));
        self.at += 1;
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.hide(' ');
        }
    }

    /// Block comments nest.
    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(c) = self.peek(0) {
            let pair = (c, self.peek(1));
            match pair {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    self.hide(' ');
                    continue;
                }
            }
            self.hide(' ');
            self.hide(' ');
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while let Some(c) = self.peek(0) {
            match c {
                '"' => return self.keep(),
                '\\' => {
                    self.hide('_');
                    self.hide('_');
                }
                _ => self.hide('_'),
            }
        }
    }

    /// A character literal, or the tick of a lifetime or label.
    fn quote(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        if !escaped && self.peek(2) != Some('\'') {
            return self.keep();
        }
        self.keep();
        self.hide('_');
        if escaped {
            self.hide('_');
        }
        while self.peek(0).is_some_and(|c| c != '\'') {
            self.hide('_');
        }
        self.keep();
    }

    /// A word, which may be the prefix of a raw string.
    fn word(&mut self) {
        let start = self.at;
        while self.peek(0).is_some_and(is_word) {
            self.keep();
        }
        let prefix = &self.text[start..self.at];
        if ![&['r'][..], &['b', 'r'], &['c', 'r']].contains(&prefix) {
            return;
        }
        let hashes = self.text[self.at..].iter().take_while(|c| **c == '#').count();
        if self.peek(hashes) == Some('"') {
            self.raw_string(hashes);
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        for _ in 0..=hashes {
            self.keep();
        }
        while let Some(c) = self.peek(0) {
            if c == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                for _ in 0..=hashes {
                    self.keep();
                }
                return;
            }
            self.hide('_');
        }
    }
}

/// Whether `c` can stand in a word: an identifier, a keyword or a number.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_blank_and_keep_their_lines() {
        assert_eq!(Masker::mask("a // b\nc"), "a     \nc");
        assert_eq!(Masker::mask("a /* b /* c */\nd */ e"), "a             \n     e");
    }

    #[test]
    fn strings_end_where_they_end() {
        assert_eq!(Masker::mask(r#"f("a\"b", c)"#), r#"f("____", c)"#);
        assert_eq!(Masker::mask(r#"b"a{" "b\\" c"#), r#"b"__" "___" c"#);
        assert_eq!(Masker::mask("\"a\n b\";"), "\"_\n _\";");
    }

    #[test]
    fn raw_strings_know_no_escape() {
        assert_eq!(Masker::mask(r#"r"a\" + b"#), r#"r"__" + b"#);
        assert_eq!(Masker::mask(r###"br##"a"# b"## + c"###), r###"br##"___ _"## + c"###);
        assert_eq!(Masker::mask("r#type + \"a\""), "r#type + \"_\"");
    }

    #[test]
    fn characters_and_lifetimes_differ() {
        assert_eq!(Masker::mask("f::<'a>('{', b'x', '\\'', '\\u{7d}')"), "f::<'a>('_', b'_', '__', '______')");
        assert_eq!(Masker::mask("'outer: loop { &'a str }"), "'outer: loop { &'a str }");
        assert_eq!(Masker::mask("('\"', \"b\")"), "('_', \"_\")");
    }

    #[test]
    fn unfinished_text_ends_quietly() {
        for text in ["\"a", "/* a", "r#\"a", "'\\", "\"a\\", "'"] {
            assert_eq!(Masker::mask(text).chars().count(), text.chars().count(), "{text}");
        }
    }
}
