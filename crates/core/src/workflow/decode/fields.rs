//! The members of one object of a file, taken one by one.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::workflow::problem::{Position, Problem, without_position};
use crate::workflow::source::{Kind, Member, Node};

/// The members of one object of the file, taken one by one; what nobody took is an unknown field.
pub(in crate::workflow) struct Fields<'n, 'p> {
    pub(in crate::workflow) members: &'n [Member],
    pub(in crate::workflow) taken: Vec<&'static str>,
    pub(in crate::workflow) at: Place,
    pub(in crate::workflow) problems: &'p mut Vec<Problem>,
}

/// Where the object stands, for messages.
#[derive(Clone)]
pub(in crate::workflow) struct Place {
    pub(in crate::workflow) step: Option<(usize, String)>,
    pub(in crate::workflow) prefix: String,
}

impl Place {
    pub(in crate::workflow) fn problem(&self, name: &str, position: Position, reason: impl Into<String>) -> Problem {
        let field = format!("{}{name}", self.prefix);
        let problem = match &self.step {
            Some((index, id)) => Problem::in_step(*index, id, field, reason),
            None => Problem::error(field, reason),
        };
        Problem { position: Some(position), ..problem }
    }
}

impl<'n, 'p> Fields<'n, 'p> {
    pub(in crate::workflow) fn new(node: &'n Node, at: Place, problems: &'p mut Vec<Problem>) -> Option<Self> {
        match &node.kind {
            Kind::Map(members) => Some(Self { members, taken: Vec::new(), at, problems }),
            kind => {
                problems.push(at.problem("", node.position, format!("must be an object, not {}", describe(kind))));
                None
            }
        }
    }

    pub(in crate::workflow) fn member(&mut self, name: &'static str) -> Option<&'n Member> {
        self.taken.push(name);
        self.members.iter().find(|m| m.name == name)
    }

    /// A field that may be left out.
    pub(in crate::workflow) fn optional<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        let member = self.member(name)?;
        value(name, member, &self.at, self.problems)
    }

    pub(in crate::workflow) fn required<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        position: Position,
    ) -> Option<T> {
        if self.members.iter().all(|m| m.name != name) {
            self.taken.push(name);
            self.problems.push(self.at.problem(name, position, "is missing"));
            return None;
        }
        self.optional(name)
    }

    /// An object whose members are read one by one.
    pub(in crate::workflow) fn map<K: Ord + From<String>, T: DeserializeOwned>(
        &mut self,
        name: &'static str,
    ) -> BTreeMap<K, T> {
        let Some(member) = self.member(name) else { return BTreeMap::new() };
        let at = Place { prefix: format!("{}{name}.", self.at.prefix), ..self.at.clone() };
        match &member.value.kind {
            Kind::Map(members) => members
                .iter()
                .filter_map(|m| Some((K::from(m.name.clone()), value(&m.name, m, &at, self.problems)?)))
                .collect(),
            kind => {
                let reason = format!("must be an object, not {}", describe(kind));
                self.problems.push(self.at.problem(name, member.value.position, reason));
                BTreeMap::new()
            }
        }
    }

    pub(in crate::workflow) fn finish(self) {
        for member in self.members.iter().filter(|m| !self.taken.contains(&m.name.as_str())) {
            let near = self.taken.iter().filter(|t| is_near(t, &member.name)).min();
            let hint = near.map_or_else(
                || format!("known here: {}", self.taken.join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            );
            self.problems.push(self.at.problem(&member.name, member.position, format!("is not a known field; {hint}")));
        }
    }
}

pub(in crate::workflow) fn value<T: DeserializeOwned>(
    name: &str,
    member: &Member,
    at: &Place,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let mut text = String::new();
    member.value.write_json(&mut text);
    serde_json::from_str(&text)
        .map_err(|e| problems.push(at.problem(name, member.value.position, without_position(&e))))
        .ok()
}

pub(in crate::workflow) fn describe(kind: &Kind) -> &'static str {
    match kind {
        Kind::Null => "nothing",
        Kind::Bool(_) => "true or false",
        Kind::Number(_) => "a number",
        Kind::Text(_) => "text",
        Kind::List(_) => "a list",
        Kind::Map(_) => "an object",
    }
}

/// True if two names differ by case, separators, or a letter or two.
fn is_near(known: &str, given: &str) -> bool {
    let plain =
        |s: &str| s.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>();
    let (known, given) = (plain(known), plain(given));
    if known.len().abs_diff(given.len()) > 2 || given.len() < 3 {
        return false;
    }
    let mut row: Vec<usize> = (0..=given.len()).collect();
    for (i, a) in known.iter().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, b) in given.iter().enumerate() {
            let cost = previous + usize::from(a != b);
            previous = row[j + 1];
            row[j + 1] = cost.min(previous + 1).min(row[j] + 1);
        }
    }
    row[given.len()] <= 2
}
