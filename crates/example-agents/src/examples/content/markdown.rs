//! Simple Markdown: headings, lists, paragraphs, **strong** and *emphasis*.

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub(super) struct Text {
    text: String,
}

#[derive(Serialize)]
pub(super) struct Html {
    html: String,
}

pub(super) fn transform(input: &Text) -> Result<Html, String> {
    let blocks = input.text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    Ok(Html { html: blocks.map(block).collect::<Vec<_>>().join("\n") })
}

fn block(text: &str) -> String {
    let level = text.bytes().take_while(|byte| *byte == b'#').count();
    if (1..=6).contains(&level) && text[level..].starts_with(' ') {
        return format!("<h{level}>{}</h{level}>", inline(text[level..].trim()));
    }
    if text.lines().all(|line| line.starts_with("- ")) {
        let items: String = text.lines().map(|line| format!("<li>{}</li>", inline(&line[2..]))).collect();
        return format!("<ul>{items}</ul>");
    }
    format!("<p>{}</p>", inline(&text.lines().collect::<Vec<_>>().join(" ")))
}

fn inline(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    marked(&marked(&text, "**", "strong"), "*", "em")
}

/// Puts what stands between two marks into an element; a mark without its partner stays.
fn marked(text: &str, mark: &str, element: &str) -> String {
    let parts: Vec<&str> = text.split(mark).collect();
    let mut html = String::with_capacity(text.len());
    for (i, part) in parts.iter().enumerate() {
        match (i % 2, i + 1 == parts.len()) {
            (0, _) => html += part,
            (_, true) => html += &format!("{mark}{part}"),
            _ => html += &format!("<{element}>{part}</{element}>"),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_marks_become_elements() {
        let html = |text: &str| transform(&Text { text: text.into() }).unwrap().html;
        assert_eq!(
            html("## A <b>\n\nx **y**\n*z* 2 * 2"),
            "<h2>A &lt;b&gt;</h2>\n<p>x <strong>y</strong> <em>z</em> 2 * 2</p>"
        );
        assert_eq!(html("- a\n- b\n\n#c"), "<ul><li>a</li><li>b</li></ul>\n<p>#c</p>");
    }
}
