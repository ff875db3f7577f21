//! What is evaluated, and what of the data it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;

use super::function::{Function, Operator};
use super::value::Value;
use crate::value::DataPath;

/// What can be evaluated.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value),
    /// A member of the data.
    Input(Arc<str>),
    /// The item of a comprehension, counted from the outermost.
    Item(usize),
    Select(Box<Node>, Arc<str>),
    Has(Box<Node>, Arc<str>),
    Index(Box<Node>, Box<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<(Node, Node, Node)>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    Matches(Box<Node>, Regex),
    Each(Box<Each>),
}

/// A comprehension: what is made of the items of `range`, one after another.
#[derive(Debug)]
pub(super) struct Each {
    pub makes: Makes,
    pub range: Node,
    /// Which items count; all of them without it.
    pub filter: Option<Node>,
    pub body: Node,
}

/// What a comprehension makes of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Makes {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

/// Places in the data that an expression reads, as a tree.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// True if all of this place is read, whatever is named within it.
    pub whole: bool,
    pub members: BTreeMap<String, Reads>,
}

impl Reads {
    pub(super) fn paths(&self) -> Vec<DataPath> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, prefix: &str, paths: &mut Vec<DataPath>) {
        for (name, reads) in &self.members {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            // A path that cannot be told exactly (too many parts) is told by what it lies in.
            match path.parse() {
                Ok(path) if reads.whole || reads.members.is_empty() => paths.push(path),
                Ok(_) => reads.collect(&path, paths),
                Err(_) => paths.extend(prefix.parse::<DataPath>()),
            }
        }
        paths.dedup();
    }

    fn at<'a>(&mut self, path: impl Iterator<Item = &'a str>) -> &mut Self {
        path.fold(self, |reads, name| reads.members.entry(name.to_owned()).or_default())
    }
}

impl Node {
    /// Adds what this reads.
    pub(super) fn read_into(&self, reads: &mut Reads) {
        let mut path = Vec::new();
        match self {
            Self::Input(_) | Self::Select(..) | Self::Has(..) | Self::Index(..) => {
                if self.path(&mut path, reads) {
                    reads.at(path.into_iter()).whole = true;
                }
            }
            Self::Literal(_) | Self::Item(_) => {}
            Self::Not(of) | Self::Negate(of) | Self::Matches(of, _) => of.read_into(reads),
            Self::And(a, b) | Self::Or(a, b) | Self::Binary(_, a, b) => {
                a.read_into(reads);
                b.read_into(reads);
            }
            Self::If(parts) => [&parts.0, &parts.1, &parts.2].iter().for_each(|of| of.read_into(reads)),
            Self::List(all) | Self::Call(_, all) => all.iter().for_each(|of| of.read_into(reads)),
            Self::Map(entries) => entries.iter().for_each(|(key, value)| {
                key.read_into(reads);
                value.read_into(reads);
            }),
            Self::Each(each) => {
                each.range.read_into(reads);
                each.filter.iter().for_each(|of| of.read_into(reads));
                each.body.read_into(reads);
            }
        }
    }

    /// Appends the names that lead to this place in the data, as far as they are known before there is data. False if it is
    /// no place in the data; then what it is made of has been added to `reads`.
    fn path<'a>(&'a self, path: &mut Vec<&'a str>, reads: &mut Reads) -> bool {
        let (of, name) = match self {
            Self::Input(name) => {
                path.push(name);
                return true;
            }
            Self::Select(of, name) | Self::Has(of, name) => (of, Some(&**name)),
            Self::Index(of, at) => match &**at {
                Self::Literal(Value::Text(name)) => (of, Some(&**name)),
                at => {
                    at.read_into(reads);
                    (of, None)
                }
            },
            other => {
                other.read_into(reads);
                return false;
            }
        };
        if !of.path(path, reads) {
            return false;
        }
        match name {
            // A name with a dot is no part of a path; everything around it is read.
            Some(name) if !of.is_indefinite() && !name.contains('.') && !name.is_empty() => path.push(name),
            _ => {}
        }
        true
    }

    /// True if the path of this ends before it does.
    fn is_indefinite(&self) -> bool {
        match self {
            Self::Select(of, name) | Self::Has(of, name) => name.contains('.') || name.is_empty() || of.is_indefinite(),
            Self::Index(of, at) => match &**at {
                Self::Literal(Value::Text(name)) => name.contains('.') || name.is_empty() || of.is_indefinite(),
                _ => true,
            },
            _ => false,
        }
    }
}
