//! YAML and JSON text as a tree that knows where everything stood. One reader serves both: YAML 1.2 contains JSON.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle};

use super::problem::{Position, Problem};
use crate::limits::{MAX_DEPTH, MAX_WORKFLOW_BYTES};

/// Most nodes after aliases are written out: stops a small file from standing for a huge one.
const MAX_NODES: usize = 10_000_000;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) kind: Kind,
    /// Nodes in it, itself included, aliases written out.
    weight: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// Valid JSON text of a number, otherwise as it was written.
    Number(String),
    Text(String),
    List(Vec<Arc<Node>>),
    Map(Vec<Member>),
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) position: Position,
    pub(super) value: Arc<Node>,
}

impl Node {
    /// The value of a member; of duplicates, which are reported when read, the first.
    pub(super) fn get(&self, name: &str) -> Option<&Member> {
        match &self.kind {
            Kind::Map(members) => members.iter().find(|m| m.name == name),
            _ => None,
        }
    }

    /// Writes the value as JSON. Depth is bounded when the tree is read.
    pub(super) fn write_json(&self, out: &mut String) {
        match &self.kind {
            Kind::Null => out.push_str("null"),
            Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Kind::Number(text) => out.push_str(text),
            Kind::Text(text) => write_text(text, out),
            Kind::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Kind::Map(members) => {
                out.push('{');
                for (i, member) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_text(&member.name, out);
                    out.push(':');
                    member.value.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("text serializes into memory"));
}

/// Reads one document.
pub(super) fn read(text: &str, problems: &mut Vec<Problem>) -> Option<Arc<Node>> {
    if text.len() > MAX_WORKFLOW_BYTES {
        problems
            .push(Problem::error("", format!("the file has {} bytes; {MAX_WORKFLOW_BYTES} are allowed", text.len())));
        return None;
    }
    let mut reader = Reader { stack: Vec::new(), anchors: HashMap::new(), root: None, problems };
    for next in Parser::new_from_str(text) {
        let outcome = match next {
            Ok((event, span)) => reader.take(event, position(&span.start)),
            Err(error) => Err(at(position(error.marker()), format!("not valid YAML or JSON: {}", error.info()))),
        };
        if let Err(problem) = outcome {
            reader.problems.push(problem);
            return None;
        }
    }
    if reader.root.is_none() {
        reader.problems.push(Problem::error("", "the file is empty"));
    }
    reader.root
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

fn at(position: Position, reason: impl Into<String>) -> Problem {
    Problem { position: Some(position), ..Problem::error("", reason) }
}

struct Reader<'p> {
    stack: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
    root: Option<Arc<Node>>,
    problems: &'p mut Vec<Problem>,
}

/// A list or map whose end has not been seen.
struct Open {
    position: Position,
    anchor: usize,
    items: Vec<Arc<Node>>,
    members: Vec<Member>,
    names: HashSet<String>,
    /// Set between a key and its value.
    key: Option<(String, Position)>,
    is_map: bool,
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(at(position, "a second document; one file holds one workflow"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let kind = scalar(&text, style, tag.as_deref().and_then(|t| t.core_suffix()) == Some("str"));
                self.add(Node { position, kind, weight: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.open(position, anchor, false),
            Event::MappingStart(_, anchor, _) => self.open(position, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.close(position),
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some(node) => self.place(node),
                None => Err(at(position, "an alias inside the value that it names")),
            },
            _ => Ok(()),
        }
    }

    fn open(&mut self, position: Position, anchor: usize, is_map: bool) -> Result<(), Problem> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(at(position, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.stack.push(Open {
            position,
            anchor,
            items: Vec::new(),
            members: Vec::new(),
            names: HashSet::new(),
            key: None,
            is_map,
        });
        Ok(())
    }

    fn close(&mut self, position: Position) -> Result<(), Problem> {
        let Some(open) = self.stack.pop() else {
            return Err(at(position, "an end without a start"));
        };
        let inner = open.items.iter().map(|n| n.weight).chain(open.members.iter().map(|m| m.value.weight));
        let weight = inner.fold(1_usize, usize::saturating_add);
        if weight > MAX_NODES {
            return Err(at(open.position, "the aliases in it stand for too many values"));
        }
        let kind = if open.is_map { Kind::Map(open.members) } else { Kind::List(open.items) };
        self.add(Node { position: open.position, kind, weight }, open.anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        let node = Arc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Arc<Node>) -> Result<(), Problem> {
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        if !open.is_map {
            open.items.push(node);
            return Ok(());
        }
        match open.key.take() {
            None => {
                let name = match &node.kind {
                    Kind::Text(text) | Kind::Number(text) => text.clone(),
                    Kind::Bool(value) => value.to_string(),
                    Kind::Null => "null".into(),
                    Kind::List(_) | Kind::Map(_) => return Err(at(node.position, "a key must be text")),
                };
                open.key = Some((name, node.position));
            }
            Some((name, key_position)) => {
                if open.names.insert(name.clone()) {
                    open.members.push(Member { name, position: key_position, value: node });
                } else {
                    let reason = format!("\"{}\" stands here a second time", name.escape_debug());
                    self.problems.push(at(key_position, reason));
                }
            }
        }
        Ok(())
    }
}

/// The meaning of a scalar by YAML 1.2's core schema (section 10.3). `.nan` and `.inf` stay text: no field takes them.
fn scalar(text: &str, style: ScalarStyle, tagged_text: bool) -> Kind {
    if style != ScalarStyle::Plain || tagged_text {
        return Kind::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ => number(text).map_or_else(|| Kind::Text(text.to_owned()), Kind::Number),
    }
}

/// JSON text of a YAML number: as written where that is JSON, rewritten where only YAML knows the notation.
fn number(text: &str) -> Option<String> {
    if !text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    if is_json_number(text) {
        return Some(text.to_owned());
    }
    let radix = |digits: &str, radix| u128::from_str_radix(digits, radix).ok().map(|n| n.to_string());
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    // A word that only goes on like a number, such as E0, is none.
    if !digits.strip_prefix('.').unwrap_or(digits).starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let trimmed = digits.trim_start_matches('0');
    let padded = if trimmed.starts_with(|c: char| c.is_ascii_digit()) { trimmed.into() } else { format!("0{trimmed}") };
    let whole = match padded.split_once('.') {
        Some((int, frac)) if !frac.starts_with(|c: char| c.is_ascii_digit()) => format!("{int}.0{frac}"),
        _ => padded,
    };
    let text = format!("{sign}{whole}");
    is_json_number(&text).then_some(text)
}

fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    unsigned.starts_with(|c: char| c.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok_and(|raw| raw.get() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<String, String> {
        let mut problems = Vec::new();
        let node = read(text, &mut problems);
        match (node, problems.is_empty()) {
            (Some(node), true) => {
                let mut out = String::new();
                node.write_json(&mut out);
                Ok(out)
            }
            _ => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        }
    }

    #[test]
    fn yaml_and_json_read_the_same() {
        assert_eq!(json("a: 1\nb: [x, 'y', true, ~]\n").unwrap(), r#"{"a":1,"b":["x","y",true,null]}"#);
        assert_eq!(json("{\"a\":\t1,\n \"b\": [\"x\"]}").unwrap(), r#"{"a":1,"b":["x"]}"#);
        assert_eq!(json("t: |\n  two\n  lines\n").unwrap(), r#"{"t":"two\nlines\n"}"#);
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text = "[1e100000, 12345678901234567890123456789012345678901, -0, 0x1F, +7, 007, .5, 1., 1.2.3, 1_000, E0, -e7, +.e1]";
        let want = r#"[1e100000,12345678901234567890123456789012345678901,-0,31,7,7,0.5,1.0,"1.2.3","1_000","E0","-e7","+.e1"]"#;
        assert_eq!(json(text).unwrap(), want);
    }

    #[test]
    fn aliases_are_written_out_but_not_without_end() {
        assert_eq!(json("a: &r {n: 1}\nb: *r\n").unwrap(), r#"{"a":{"n":1},"b":{"n":1}}"#);
        let mut laughs = String::from("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
        for i in 1..12 {
            let prev = format!("*a{}", i - 1);
            laughs += &format!("a{i}: &a{i} [{}]\n", vec![prev; 10].join(","));
        }
        assert!(json(&laughs).unwrap_err().contains("too many values"));
    }

    #[test]
    fn faults_name_their_place() {
        assert!(json("a: 1\nb: 2\na: 3\n").unwrap_err().starts_with("3:1: error: \"a\" stands here a second time"));
        assert!(json("a: [1\nb: }").unwrap_err().contains("not valid YAML or JSON"));
        assert!(json("").unwrap_err().contains("empty"));
        assert!(json("a: 1\n---\nb: 2\n").unwrap_err().contains("second document"));
        assert!(json(&"[".repeat(100_000)).is_err());
        assert!(json(&format!("{}{}", "[".repeat(129), "]".repeat(129))).unwrap_err().contains("nested"));
    }
}
