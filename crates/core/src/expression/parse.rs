//! From text to what is evaluated: names are resolved, functions looked up and patterns compiled once.

use regex::{Regex, RegexBuilder};

use super::function::{Function, Operator};
use super::syntax::{Each, Makes, Node};
use super::token::{Token, What, tokens};
use super::value::Value;
use crate::limits::{MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_PATTERN};

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, next: 0, items: Vec::new(), open: 0 };
    let whole = parser.whole()?;
    match parser.tokens.get(parser.next) {
        None => Ok(whole.node),
        Some(_) => Err(parser.wrong("an operator or the end")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    /// Names of the items of the comprehensions around.
    items: Vec<String>,
    open: usize,
}

/// A node with its height, which is how deep its evaluation goes.
struct Part {
    node: Node,
    height: usize,
}

/// How strongly the operators bind of which one side may decide; those of [`Operator::of`] bind more.
const OR: u8 = 1;
const AND: u8 = 2;

impl Parser {
    /// An expression: a choice, or what one is made of.
    fn whole(&mut self) -> Result<Part, String> {
        self.open += 1;
        if self.open > MAX_EXPRESSION_DEPTH {
            return Err(too_deep());
        }
        let mut part = self.binary(OR)?;
        if self.take("?") {
            let yes = self.binary(OR)?;
            self.need(":")?;
            let no = self.whole()?;
            let height = part.height.max(yes.height).max(no.height);
            part = above(height, Node::If(Box::new((part.node, yes.node, no.node))))?;
        }
        self.open -= 1;
        Ok(part)
    }

    /// Operators that bind at least so strongly; among equals the left one comes first.
    fn binary(&mut self, least: u8) -> Result<Part, String> {
        let mut left = self.unary()?;
        while let Some(sign) = self.sign() {
            let (operator, strength) = match sign {
                "||" => (None, OR),
                "&&" => (None, AND),
                sign => match Operator::of(sign) {
                    Some((operator, strength)) => (Some(operator), strength),
                    None => break,
                },
            };
            if strength < least {
                break;
            }
            self.next += 1;
            let right = self.binary(strength + 1)?;
            let height = left.height.max(right.height);
            let (a, b) = (Box::new(left.node), Box::new(right.node));
            left = above(
                height,
                match operator {
                    Some(operator) => Node::Binary(operator, a, b),
                    None if strength == OR => Node::Or(a, b),
                    None => Node::And(a, b),
                },
            )?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Part, String> {
        let Some(sign @ ("!" | "-")) = self.sign() else { return self.member() };
        self.next += 1;
        if let (Some(What::Number(number)), "-") = (self.peek().cloned(), sign) {
            // The least whole number has no positive one to be the negative of.
            self.tokens[self.next].what = What::Number(format!("-{number}"));
            return self.member();
        }
        self.open += 1;
        if self.open > MAX_EXPRESSION_DEPTH {
            return Err(too_deep());
        }
        let of = self.unary()?;
        self.open -= 1;
        let node = Box::new(of.node);
        above(of.height, if sign == "!" { Node::Not(node) } else { Node::Negate(node) })
    }

    /// A value and what is asked of it: members, items, methods.
    fn member(&mut self) -> Result<Part, String> {
        let mut part = self.primary()?;
        loop {
            if self.take(".") {
                let name = self.name()?;
                part = if self.take("(") { self.method(part, &name)? } else { select(part, &name)? };
            } else if self.take("[") {
                let at = self.whole()?;
                self.need("]")?;
                let height = part.height.max(at.height);
                part = above(height, Node::Index(Box::new(part.node), Box::new(at.node)))?;
            } else {
                return Ok(part);
            }
        }
    }

    fn primary(&mut self) -> Result<Part, String> {
        let wrong = self.wrong("a value");
        let Some(token) = self.tokens.get(self.next).cloned() else { return Err(wrong) };
        self.next += 1;
        let leaf = |node| Ok(Part { node, height: 1 });
        match token.what {
            What::Text(text) => leaf(Node::Literal(Value::Text(text.into()))),
            What::Number(text) => number(&text)
                .map_or_else(|why| Err(format!("column {}: {why}", token.column)), |value| leaf(Node::Literal(value))),
            What::Name(name) if self.take("(") => self.function(&name),
            What::Name(name) => leaf(match name.as_str() {
                "true" => Node::Literal(Value::Bool(true)),
                "false" => Node::Literal(Value::Bool(false)),
                "null" => Node::Literal(Value::Null),
                name => match self.items.iter().rposition(|item| item == name) {
                    Some(level) => Node::Item(level),
                    None => Node::Input(name.into()),
                },
            }),
            // A leading dot skips the items of comprehensions.
            What::Sign(".") => self.name().map(|name| Part { node: Node::Input(name.into()), height: 1 }),
            What::Sign("(") => {
                let part = self.whole()?;
                self.need(")")?;
                Ok(part)
            }
            What::Sign("[") => {
                let (nodes, height) = self.list("]")?;
                above(height, Node::List(nodes))
            }
            What::Sign("{") => self.object(),
            What::Sign(_) => Err(wrong),
        }
    }

    /// Values up to a closing sign.
    fn list(&mut self, end: &'static str) -> Result<(Vec<Node>, usize), String> {
        let (mut nodes, mut height) = (Vec::new(), 0);
        while !self.take(end) {
            let part = self.whole()?;
            height = height.max(part.height);
            nodes.push(part.node);
            if !self.take(",") {
                self.need(end)?;
                break;
            }
        }
        Ok((nodes, height))
    }

    fn object(&mut self) -> Result<Part, String> {
        let (mut entries, mut height) = (Vec::new(), 0);
        while !self.take("}") {
            let key = self.whole()?;
            self.need(":")?;
            let value = self.whole()?;
            height = height.max(key.height).max(value.height);
            entries.push((key.node, value.node));
            if !self.take(",") {
                self.need("}")?;
                break;
            }
        }
        above(height, Node::Map(entries))
    }

    fn function(&mut self, name: &str) -> Result<Part, String> {
        let (mut nodes, height) = self.list(")")?;
        if name != "has" {
            return call(name, false, nodes, height);
        }
        match (nodes.pop(), nodes.pop()) {
            (Some(Node::Select(of, name)), None) => above(height, Node::Has(of, name)),
            _ => Err("has: needs one member, as in has(order.total)".to_owned()),
        }
    }

    fn method(&mut self, of: Part, name: &str) -> Result<Part, String> {
        let makes = match name {
            "all" => Makes::All,
            "exists" => Makes::Exists,
            "exists_one" | "existsOne" => Makes::ExistsOne,
            "filter" => Makes::Filter,
            "map" => Makes::Map,
            _ => {
                let (rest, height) = self.list(")")?;
                let nodes = std::iter::once(of.node).chain(rest).collect();
                return call(name, true, nodes, height.max(of.height));
            }
        };
        let item = self.name()?;
        self.need(",")?;
        self.items.push(item);
        let (mut nodes, height) = self.list(")")?;
        self.items.pop();
        let (body, filter) = (nodes.pop(), nodes.pop());
        match body {
            Some(body) if nodes.is_empty() && (filter.is_none() || makes == Makes::Map) => {
                above(height.max(of.height), Node::Each(Box::new(Each { makes, range: of.node, filter, body })))
            }
            _ => {
                Err(format!("{name}: needs the name of an item and an expression, as in items.{name}(x, x.price > 2)"))
            }
        }
    }

    fn peek(&self) -> Option<&What> {
        self.tokens.get(self.next).map(|token| &token.what)
    }

    fn sign(&self) -> Option<&'static str> {
        match self.peek() {
            Some(What::Sign(sign)) => Some(sign),
            _ => None,
        }
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.sign() == Some(sign);
        self.next += usize::from(found);
        found
    }

    fn need(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(self.wrong(&format!("\"{sign}\""))) }
    }

    fn name(&mut self) -> Result<String, String> {
        match self.peek().cloned() {
            Some(What::Name(name)) => {
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.wrong("a name")),
        }
    }

    /// That something else was to stand where the parser is.
    fn wrong(&self, wanted: &str) -> String {
        match self.tokens.get(self.next) {
            None => format!("ends where {wanted} must stand"),
            Some(Token { what, column }) => {
                let found = match what {
                    What::Name(text) | What::Number(text) => text.as_str(),
                    What::Text(_) => "a text",
                    What::Sign(sign) => sign,
                };
                let found: String = found.chars().take(60).flat_map(char::escape_debug).collect();
                format!("column {column}: {wanted} must stand here, not {found}")
            }
        }
    }
}

fn too_deep() -> String {
    format!("is nested deeper than {MAX_EXPRESSION_DEPTH} levels")
}

/// A node over others of some height.
fn above(height: usize, node: Node) -> Result<Part, String> {
    if height >= MAX_EXPRESSION_DEPTH { Err(too_deep()) } else { Ok(Part { node, height: height + 1 }) }
}

fn select(of: Part, name: &str) -> Result<Part, String> {
    above(of.height, Node::Select(Box::new(of.node), name.into()))
}

fn call(name: &str, method: bool, mut nodes: Vec<Node>, height: usize) -> Result<Part, String> {
    if name == "matches" && nodes.len() == 2 {
        let (pattern, of) = (nodes.pop(), nodes.pop());
        return match (of, pattern) {
            (Some(of), Some(Node::Literal(Value::Text(pattern)))) => {
                above(height, Node::Matches(Box::new(of), compiled(&pattern)?))
            }
            _ => Err("matches: the pattern must be written as a text".to_owned()),
        };
    }
    match Function::named(name, method, nodes.len()) {
        Some(function) => above(height, Node::Call(function, nodes)),
        None => {
            let name: String = name.chars().take(60).flat_map(char::escape_debug).collect();
            Err(format!("uses \"{name}\", which is no function of expressions for {} values", nodes.len()))
        }
    }
}

fn number(text: &str) -> Result<Value, String> {
    let hex =
        text.strip_prefix("0x").map(|digits| (digits, "")).or(text.strip_prefix("-0x").map(|digits| (digits, "-")));
    let found = match hex {
        Some((digits, sign)) if !digits.starts_with(['+', '-']) => {
            i64::from_str_radix(&format!("{sign}{digits}"), 16).ok().map(Value::Int)
        }
        Some(_) => None,
        None if text.contains(['.', 'e', 'E']) => {
            text.parse().ok().filter(|value: &f64| value.is_finite()).map(Value::Double)
        }
        None => text.parse().ok().map(Value::Int),
    };
    found.ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        format!("{shown} is no number, or out of range")
    })
}

fn compiled(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_EXPRESSION_PATTERN)
        .dfa_size_limit(MAX_EXPRESSION_PATTERN)
        .build()
        .map_err(|wrong| format!("matches: {wrong}"))
}
