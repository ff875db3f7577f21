//! Pages in Markdown, taken apart.

use std::path::PathBuf;

use crate::support::root;

/// Where a generated part begins, and where any ends.
const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

/// A page.
pub struct Page {
    pub path: PathBuf,
    pub text: String,
    pub blocks: Vec<Block>,
}

/// A fenced block.
pub struct Block {
    /// The word behind the fence.
    pub language: String,
    /// The line of the page on which it begins, from 1.
    pub line: usize,
    pub text: String,
}

impl Block {
    /// The file that the block shows: its first line is a comment with nothing but a path.
    pub fn file(&self) -> Option<&str> {
        let name = self.text.lines().next()?.strip_prefix("# ")?;
        let is_path = name.contains('/') && !name.contains(' ') && !name.starts_with('/');
        (is_path && self.language != "console").then_some(name)
    }
}

/// The pages in `docs`, and the README.
pub fn pages() -> Vec<Page> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    paths.push(root().join("README.md"));
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

impl Page {
    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (line, content) in text.lines().enumerate() {
            match (content.strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    open = Some(Block { language: language.to_owned(), line: line + 1, text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => {
                    block.text.push_str(content);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block does not end", path.display());
        Self { path, text, blocks }
    }

    /// The text with every generated part made anew.
    pub fn filled(&self, part: impl Fn(&str) -> String) -> String {
        let mut filled = String::new();
        let mut rest = self.text.as_str();
        while let Some(at) = rest.find(BEGIN) {
            let (before, from) = rest.split_at(at);
            let (head, after) = from.split_once(" -->\n").expect("the mark of a generated part ends its line");
            let (_, after) = after.split_once(END).expect("a generated part has an end");
            filled.push_str(before);
            let name = head.strip_prefix(BEGIN).expect("it was found by this mark");
            filled.push_str(&format!("{head} -->\n\n{}\n\n{END}", part(name).trim_end()));
            rest = after;
        }
        filled + rest
    }
}
