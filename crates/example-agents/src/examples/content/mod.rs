//! A content pipeline: an article is read, turned into HTML and described, and published.

mod describe;
mod markdown;
mod publish;

use super::Skills;
use super::function::{function, with_file};

/// What the agent of that name does.
pub(super) fn skills(name: &str) -> Option<Skills> {
    let skills = match name {
        "content-desk" => vec![
            function("content.ingest", "Parts an article into its head and its text. Input: article.", publish::ingest),
            with_file(
                "content.publish",
                "Writes the page. Input: title, author, html, keywords, summary, minutes.",
                publish::publish,
            ),
        ],
        "content-writer" => vec![
            function("content.transform", "Turns simple Markdown into HTML. Input: text.", markdown::transform),
            function(
                "content.keywords",
                "The most frequent words that say something. Input: text, count.",
                describe::keywords,
            ),
            function(
                "content.summarize",
                "The sentence that says most, and minutes to read. Input: text.",
                describe::summarize,
            ),
        ],
        _ => return None,
    };
    Some(skills)
}
