//! The agents of the smaller examples, a module for each: what they compute is small, real, and the same every time.

mod function;
mod trading;

use std::sync::Arc;

use crate::kit::Skill;

/// The names of the agents.
pub(crate) const NAMES: [&str; 3] = ["market-desk", "market-analyst", "trading-desk"];

/// What the agent of that name does.
pub(crate) fn skills(name: &str) -> Option<Vec<Arc<dyn Skill>>> {
    trading::skills(name)
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
