//! Which service a task is for: the first group one of whose words is in its description.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tutti_core::ids::Capability;

/// A service, by the words that tell of it. As a text: `NAME words=one,two type=T capability=C`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The words: texts that are looked for in descriptions, in upper or lower case. None: what no other group takes.
    #[serde(default)]
    pub words: Vec<String>,
    /// The type of its tasks, for rules. Default: its name.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// What the agents of its tasks must be able to do. Default: what is offered and fits the words, or else the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
}

/// The groups, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupTable(Vec<Group>);

impl Group {
    fn new(name: &str, words: &[&str], task_type: &str) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { name: name.into(), words, task_type: Some(task_type.into()), capability: None }
    }

    /// What none of the words of the others tells of.
    fn other() -> Self {
        Self { name: "other".into(), words: Vec::new(), task_type: None, capability: None }
    }

    /// The type of its tasks.
    #[must_use]
    pub fn task_type(&self) -> &str {
        self.task_type.as_deref().unwrap_or(&self.name)
    }

    fn tells_of(&self, lowercase: &str) -> bool {
        self.words.iter().any(|word| lowercase.contains(&word.to_lowercase()))
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split_whitespace();
        let name = parts.next().ok_or("has no name; a group is `NAME words=one,two type=T capability=C`")?;
        let mut group = Self { name: name.to_owned(), words: Vec::new(), task_type: None, capability: None };
        for part in parts {
            match part.split_once('=') {
                Some(("words", words)) => {
                    group.words = words.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
                }
                Some(("type", text)) => group.task_type = Some(text.to_owned()),
                Some(("capability", text)) => {
                    group.capability = Some(text.parse().map_err(|e: tutti_core::ids::InvalidName| e.to_string())?);
                }
                _ => return Err(format!("\"{part}\" is none of words=, type=, capability=")),
            }
        }
        Ok(group)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.words.is_empty() {
            write!(f, " words={}", self.words.join(","))?;
        }
        if let Some(text) = &self.task_type {
            write!(f, " type={text}")?;
        }
        self.capability.as_ref().map_or(Ok(()), |capability| write!(f, " capability={capability}"))
    }
}

impl Default for GroupTable {
    fn default() -> Self {
        Self(vec![
            Group::new("flights", &["flight", "air"], "flight_booking"),
            Group::new("hotels", &["hotel", "accommodation"], "hotel_booking"),
            Group::new("cars", &["car", "rental"], "car_rental"),
            Group::other(),
        ])
    }
}

impl GroupTable {
    /// These groups in this order. A group without words takes what the ones before it leave, whatever comes behind it; if
    /// there is none, `other` is added.
    #[must_use]
    pub fn new(mut groups: Vec<Group>) -> Self {
        if !groups.iter().any(|group| group.words.is_empty()) {
            groups.push(Group::other());
        }
        Self(groups)
    }

    /// The same with groups before the first.
    #[must_use]
    pub fn after(&self, first: &[Group]) -> Self {
        Self(first.iter().filter(|group| !group.words.is_empty()).chain(&self.0).cloned().collect())
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.0
    }

    /// The place of the group of a description: the first that has a word in it.
    #[must_use]
    pub fn group_of(&self, description: &str) -> usize {
        let lowercase = description.to_lowercase();
        let rest = || self.0.iter().position(|group| group.words.is_empty()).unwrap_or(0);
        self.0.iter().position(|group| group.tells_of(&lowercase)).unwrap_or_else(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(description: &str) -> String {
        let table = GroupTable::default();
        table.groups()[table.group_of(description)].name.clone()
    }

    #[test]
    fn the_first_group_with_a_word_takes_the_task() {
        assert_eq!(name("Book a FLIGHT and a hotel"), "flights");
        assert_eq!(name("Air transport"), "flights");
        assert_eq!(name("Find Accommodation, then a car"), "hotels");
        assert_eq!(name("rental for five days"), "cars");
        assert_eq!(name("Buy insurance"), "other");
        // A word is looked for anywhere, as a part of others too: the table is what decides, and it can be changed.
        assert_eq!(name("Take care of the visa"), "cars");
        assert_eq!(name("A chair"), "flights");
    }

    #[test]
    fn a_group_is_a_text_and_back() {
        let text = "insurance words=insurance,cover type=travel_insurance capability=insure.trip";
        let group: Group = text.parse().unwrap();
        assert_eq!(group.to_string(), text);
        assert_eq!(group.task_type(), "travel_insurance");
        let table = GroupTable::default().after(&[group]);
        assert_eq!(table.group_of("insurance of the flight"), 0);
        assert_eq!(GroupTable::new(vec!["a words=x".parse().unwrap()]).group_of("nothing"), 1);
        for wrong in ["", "a b", "a words"] {
            assert!(wrong.parse::<Group>().is_err(), "{wrong}");
        }
    }
}
