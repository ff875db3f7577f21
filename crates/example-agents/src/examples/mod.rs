//! The agents of the smaller examples, a module for each: what they compute is small, real, and the same every time.

mod content;
mod delivery;
mod function;
mod loan;
mod log;
mod operations;
mod order;
mod text;
mod trading;
mod travel;

use std::fmt::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::kit::Skill;

/// The names of the agents.
pub(crate) const NAMES: [&str; 21] = [
    "market-desk",
    "market-analyst",
    "trading-desk",
    "log-reader",
    "log-counter",
    "text-splitter",
    "text-counter",
    "loan-office",
    "loan-bureau",
    "order-desk",
    "warehouse",
    "accounting",
    "site-builder",
    "site-tester",
    "site-server",
    "content-desk",
    "content-writer",
    "travel-transport",
    "travel-stay",
    "operations-data",
    "operations-office",
];

type Skills = Vec<Arc<dyn Skill>>;

/// What the agent of that name does.
pub(crate) fn skills(name: &str) -> Option<Skills> {
    let examples: [fn(&str) -> Option<Skills>; 9] = [
        trading::skills,
        log::skills,
        text::skills,
        loan::skills,
        order::skills,
        delivery::skills,
        content::skills,
        travel::skills,
        operations::skills,
    ];
    examples.into_iter().find_map(|skills| skills(name))
}

/// The SHA-256 of bytes, in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_skills_of_its_own_and_no_other_does() {
        let mut ids: Vec<String> =
            NAMES.iter().flat_map(|name| skills(name).unwrap()).map(|skill| skill.card().id).collect();
        ids.sort();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all, "{ids:?}");
        assert!(skills("nobody").is_none());
    }
}
