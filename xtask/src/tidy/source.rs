//! Rust text prepared for rules that look at code: comments and the insides of literals are masked, and the lines that
//! belong to tests are known. A lexer of this size cannot know types or macros; the rules ask for no more than it knows.

use super::mask::{Masker, is_word};

/// A Rust file's code, line for line.
pub struct Source {
    /// The text without comments; inside literals every character but white space is `_`.
    code: Vec<char>,
    /// For each line, whether it is test code.
    test_lines: Vec<bool>,
}

/// A function with a body. Lines are counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// Where the `fn` stands, below documentation and attributes.
    pub first_line: usize,
    /// Where the closing brace stands.
    pub last_line: usize,
}

impl Source {
    /// Prepares the `text` of the file at `path`.
    pub fn new(path: &str, text: &str) -> Self {
        let code: Vec<char> = Masker::mask(text).chars().collect();
        let test_lines = test_lines(path, &code);
        Self { code, test_lines }
    }

    /// Each line of code with its number and whether it is test code.
    pub fn lines(&self) -> impl Iterator<Item = (usize, String, bool)> {
        let lines = self.code.split(|&c| c == '\n').zip(&self.test_lines);
        lines.enumerate().map(|(index, (line, test))| (index + 1, line.iter().collect(), *test))
    }

    /// Every function with a body, nested ones too.
    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        let mut line = 1;
        for at in 0..self.code.len() {
            line += usize::from(self.code[at] == '\n');
            let Some(name) = function_name(&self.code, at) else { continue };
            let end = item_end(&self.code, at);
            if self.code[end] == '}' {
                let last_line = line + self.code[at..end].iter().filter(|c| **c == '\n').count();
                functions.push(Function { name, first_line: line, last_line });
            }
        }
        functions
    }
}

/// Whether `word` stands in `line` as a whole word, or as whole as its own ends ask: `rand::` may be followed by a word.
pub fn has_word(line: &str, word: &str) -> bool {
    let open_end = !word.ends_with(is_word);
    line.match_indices(word).any(|(at, _)| {
        let begins = !line[..at].ends_with(is_word);
        let ends = open_end || !line[at + word.len()..].starts_with(is_word);
        begins && ends
    })
}

/// The name after an `fn` that begins at `at`. In a macro the name may be a `$variable`; a type `fn(…)` has none.
fn function_name(code: &[char], at: usize) -> Option<String> {
    let begins_word = at == 0 || !is_word(code[at - 1]);
    if !begins_word || !code[at..].starts_with(&['f', 'n']) || !code.get(at + 2)?.is_whitespace() {
        return None;
    }
    let after = code[at + 2..].iter().skip_while(|c| c.is_whitespace());
    let name: String = after.take_while(|c| is_word(**c) || matches!(c, '$' | '#')).collect();
    (!name.is_empty()).then_some(name)
}

/// Where the item that begins at `at` ends: at the brace that closes its first block, or at a `;` before any block.
fn item_end(code: &[char], at: usize) -> usize {
    let mut brackets = 0_usize;
    let mut braces = 0_usize;
    for (offset, c) in code[at..].iter().enumerate() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '{' => braces += 1,
            '}' if braces == 1 && brackets == 0 => return at + offset,
            '}' => braces = braces.saturating_sub(1),
            ';' if braces == 0 && brackets == 0 => return at + offset,
            _ => {}
        }
    }
    code.len().saturating_sub(1)
}

/// Test code is what lies in a `tests` folder or `tests.rs`, and what `#[cfg(test)]` marks.
fn test_lines(path: &str, code: &[char]) -> Vec<bool> {
    let count = code.split(|&c| c == '\n').count();
    let test_file = path.split('/').any(|part| part == "tests" || part == "tests.rs");
    let mut lines = vec![test_file; count];
    let mut start = 0;
    for index in 0..count {
        let end = code[start..].iter().position(|&c| c == '\n').map_or(code.len(), |length| start + length);
        let line: String = code[start..end].iter().filter(|c| !c.is_whitespace()).collect();
        if line.starts_with("#![cfg(test)]") {
            return vec![true; count];
        }
        if ["#[cfg(test)]", "#[cfg(all(test,", "#[cfg(any(test,"].iter().any(|mark| line.starts_with(mark)) {
            let item = item_end(code, start);
            let last = index + code[start..=item].iter().filter(|c| **c == '\n').count();
            lines[index..=last].fill(true);
        }
        start = end + 1;
        if start > code.len() {
            break;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions(text: &str) -> Vec<(String, usize, usize)> {
        let functions = Source::new("src/a.rs", text).functions();
        functions.into_iter().map(|function| (function.name, function.first_line, function.last_line)).collect()
    }

    fn test_lines(path: &str, text: &str) -> Vec<usize> {
        Source::new(path, text).lines().filter(|(_, _, test)| *test).map(|(number, ..)| number).collect()
    }

    #[test]
    fn functions_have_their_lines() {
        let text = "/// Doc.\npub fn a<'x>(\n    list: &'x [u8; 4],\n) -> u8 {\n    list[0]\n}\n\nfn b() {}\n";
        assert_eq!(functions(text), [("a".to_string(), 2, 6), ("b".to_string(), 8, 8)]);
    }

    #[test]
    fn braces_in_literals_and_comments_do_not_count() {
        let text = "fn a() {\n    f('}', '\\'', \"}\", r#\"}\"}\"#); // }\n    /* } */\n}\n";
        assert_eq!(functions(text), [("a".to_string(), 1, 4)]);
    }

    #[test]
    fn nested_functions_count_by_themselves_as_well() {
        let text = "fn a() {\n    fn b() {\n    }\n}\n";
        assert_eq!(functions(text), [("a".to_string(), 1, 4), ("b".to_string(), 2, 3)]);
    }

    #[test]
    fn declarations_and_types_have_no_body() {
        assert_eq!(functions("trait T {\n    fn a(&self, x: [u8; 2]);\n}\ntype F = fn (u8) -> u8;\n"), []);
    }

    #[test]
    fn a_function_in_a_macro_counts() {
        let text = "macro_rules! m {\n    ($name:ident) => {\n        fn $name() {\n        }\n    };\n}\n";
        assert_eq!(functions(text), [("$name".to_string(), 3, 4)]);
    }

    #[test]
    fn what_cfg_test_marks_is_test_code() {
        let text =
            "fn a() {}\n#[cfg(test)]\nuse x::y;\nfn b() {}\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\nfn d() {}\n";
        assert_eq!(test_lines("src/a.rs", text), [2, 3, 5, 6, 7, 8]);
        assert_eq!(test_lines("src/a.rs", "#[cfg(not(test))]\nfn a() {}\n"), [0; 0]);
    }

    #[test]
    fn test_files_are_test_code() {
        for path in ["crates/a/tests/it/main.rs", "crates/a/src/run/tests.rs", "tests/crash.rs"] {
            assert_eq!(test_lines(path, "fn a() {}"), [1], "{path}");
        }
        assert_eq!(test_lines("crates/testkit/src/contests.rs", "fn a() {}"), [0; 0]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("a rand::b", "rand::") && has_word("now_v7()", "now_v7"));
        assert!(!has_word("operand::b", "rand::") && !has_word("now_v70()", "now_v7"));
    }
}
