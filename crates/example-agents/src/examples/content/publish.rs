//! The two ends of the pipeline: the article as it comes, the page as it goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::examples::sha256;
use crate::kit::Chunk;

#[derive(Deserialize)]
pub(super) struct Source {
    article: String,
}

#[derive(Serialize)]
pub(super) struct Article {
    title: String,
    author: String,
    text: String,
    words: usize,
}

/// An article begins with lines `name: value` between two lines `---`.
pub(super) fn ingest(input: &Source) -> Result<Article, String> {
    let head = input.article.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    let (head, text) = head.ok_or("the article does not begin with a head between two lines of ---")?;
    let fields: BTreeMap<&str, &str> =
        head.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name.trim(), value.trim())).collect();
    let field = |name: &str| fields.get(name).map(|v| (*v).to_owned()).ok_or_else(|| format!("the head has no {name}"));
    let text = text.trim().to_owned();
    Ok(Article { title: field("title")?, author: field("author")?, words: text.split_whitespace().count(), text })
}

#[derive(Deserialize)]
pub(super) struct Page {
    title: String,
    author: String,
    html: String,
    keywords: Vec<String>,
    summary: String,
    minutes: usize,
}

#[derive(Serialize)]
pub(super) struct Published {
    slug: String,
    bytes: usize,
    digest: String,
}

pub(super) fn publish(input: &Page) -> Result<(Published, Chunk), String> {
    let Page { title, author, html, keywords, summary, minutes } = input;
    let slug: Vec<String> =
        title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    let slug = slug.join("-");
    let (title, author, keywords, summary) =
        (escaped(title), escaped(author), escaped(&keywords.join(", ")), escaped(summary));
    let page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<meta name=\"author\" content=\"{author}\">\n\
         <meta name=\"keywords\" content=\"{keywords}\">\n<meta name=\"description\" content=\"{summary}\">\n\
         <p>{author}, {minutes} min</p>\n{html}\n"
    );
    let published = Published { bytes: page.len(), digest: sha256(page.as_bytes()), slug: slug.clone() };
    Ok((published, Chunk::text(format!("{slug}.html"), "text/html", page)))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_article_has_a_head_and_a_text() {
        let article = |text: &str| ingest(&Source { article: text.into() });
        let read = article("---\ntitle: A: b\nauthor: C\n---\n\nOne two.\n").unwrap();
        assert_eq!(
            (read.title.as_str(), read.author.as_str(), read.text.as_str(), read.words),
            ("A: b", "C", "One two.", 2)
        );
        assert_eq!(article("---\ntitle: A\n---\nx").err().unwrap(), "the head has no author");
        assert!(article("x").is_err());
    }

    #[test]
    fn a_page_is_named_after_its_title() {
        let page = Page {
            title: "Wind & \"Water\"".into(),
            author: "A".into(),
            html: "<p>x</p>".into(),
            keywords: vec!["k".into()],
            summary: "s".into(),
            minutes: 1,
        };
        let (published, _) = publish(&page).unwrap();
        assert_eq!(published.slug, "wind-water");
        assert_eq!(published.digest.len(), 64);
    }
}
