//! Consensus: what more than half agree on.
//!
//! Two results agree if they are the same value: numbers by what they are worth, objects whatever the order of their members;
//! with a tolerance, numbers agree that differ by no more. Because such agreement does not pass from one to the next, a group
//! is everybody who agrees with one of them, who stands in its middle. The largest group counts; of equals the one whose middle
//! comes first. It is a consensus if it has more than half of those that succeeded, and more than one, unless only one was
//! asked. Its value is what the one in the middle returned, byte for byte.

use serde_json::Value;

use super::{Aggregated, Member, Vote, at, mean};
use crate::value::{DataPath, DataTree, Json, JsonError};
use crate::workflow::Aggregate;

/// Votes on the whole results, or on each of the fields for itself. `asked` is how many there were, with those that failed.
pub(super) fn vote(policy: &Aggregate, asked: usize, good: &[&Member], made: &mut Aggregated) -> Result<(), JsonError> {
    let places: Vec<Option<&DataPath>> =
        if policy.fields.is_empty() { vec![None] } else { policy.fields.iter().map(Some).collect() };
    let tolerance = policy.tolerance.unwrap_or(0.0);
    let mut result = DataTree::new(Json::null());
    let mut agreeing = vec![true; good.len()];
    for field in places {
        let values: Vec<Option<Json>> = good
            .iter()
            .map(|member| {
                member.output.as_ref().and_then(|output| field.map_or(Some(output.clone()), |f| at(output, f)))
            })
            .collect();
        let (middle, group) = largest_group(&values, tolerance);
        let votes = group.iter().filter(|within| **within).count();
        let agreed = 2 * votes > good.len() && (votes > 1 || asked == 1);
        if let (true, Some(value)) = (agreed, values.get(middle).cloned().flatten()) {
            match field {
                Some(field) => result.set(field, value),
                None => result = DataTree::new(value),
            }
        }
        if agreed {
            agreeing.iter_mut().zip(&group).for_each(|(all, within)| *all &= *within);
        }
        let outside = good.iter().zip(&group).filter(|(_, within)| !**within);
        made.votes.push(Vote {
            field: field.cloned(),
            agreement: if good.is_empty() { 0.0 } else { votes as f64 / good.len() as f64 },
            agreed,
            dissenting: outside.map(|(member, _)| member.name.clone()).collect(),
        });
    }
    let none = made.votes.iter().all(|vote| !vote.agreed);
    made.flagged_for_review = made.votes.iter().any(|vote| !vote.agreed);
    made.aggregated_result = Json::parse(result.to_json().bytes().clone())?;
    let sources: Vec<&&Member> =
        good.iter().zip(&agreeing).filter(|(_, agrees)| **agrees && !none).map(|(member, _)| member).collect();
    made.sources = sources.iter().map(|member| member.name.clone()).collect();
    made.quality_score = mean(sources.iter().filter_map(|member| member.quality));
    Ok(())
}

/// The middle of the largest group, and who is in it. A value that is not there agrees with others that are not there.
fn largest_group(values: &[Option<Json>], tolerance: f64) -> (usize, Vec<bool>) {
    let parsed: Vec<Option<Value>> = values.iter().map(|value| value.as_ref().map(read)).collect();
    let around = |middle: &Option<Value>| -> Vec<bool> {
        let agrees = |other: &Option<Value>| match (middle, other) {
            (Some(a), Some(b)) => agree(a, b, tolerance),
            (a, b) => a.is_none() && b.is_none(),
        };
        parsed.iter().map(agrees).collect()
    };
    let size = |group: &[bool]| group.iter().filter(|within| **within).count();
    let mut largest = (0, Vec::new());
    let mut seen = vec![false; parsed.len()];
    for (middle, value) in parsed.iter().enumerate() {
        // Without a tolerance, whoever is in a group has the same group.
        if seen[middle] && tolerance == 0.0 {
            continue;
        }
        let group = around(value);
        seen.iter_mut().zip(&group).for_each(|(seen, within)| *seen |= *within);
        if size(&group) > size(&largest.1) {
            largest = (middle, group);
        }
    }
    largest
}

/// A value to be compared. One with a number that is out of range is compared as its text.
fn read(value: &Json) -> Value {
    serde_json::from_str(value.as_str()).unwrap_or_else(|_| Value::String(value.as_str().to_owned()))
}

/// True if two values are the same, numbers within a tolerance. Recursion is bounded by the depth that values may have.
fn agree(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let whole = |n: &serde_json::Number| n.as_i64().map(i128::from).or(n.as_u64().map(i128::from));
            match (whole(a), whole(b), a.as_f64(), b.as_f64()) {
                (Some(a), Some(b), ..) => a == b || (a - b).unsigned_abs() as f64 <= tolerance,
                (_, _, Some(a), Some(b)) => (a - b).abs() <= tolerance,
                _ => false,
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b, tolerance))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| agree(a, b, tolerance)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::{Combined, combine};
    use crate::workflow::Aggregation;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    fn votes(policy: &Aggregate, outputs: &[Option<&str>]) -> Aggregated {
        let members: Vec<Member> = outputs
            .iter()
            .enumerate()
            .map(|(i, output)| Member { name: format!("a{i}"), output: output.map(json), ..Member::default() })
            .collect();
        let policy = Aggregate { strategy: Aggregation::Consensus, ..policy.clone() };
        match combine(&policy, "", &members).unwrap() {
            Combined::Done(made) => *made,
            Combined::Ask(_) => panic!("a consensus asks nobody"),
        }
    }

    #[test]
    fn the_majority_of_those_that_succeeded_counts() {
        let exact = Aggregate::default();
        let made = votes(&exact, &[Some(r#"{"a":1,"b":2}"#), Some("3"), None, Some(r#"{"b":2.0, "a":1}"#)]);
        assert_eq!(made.aggregated_result.as_str(), r#"{"a":1,"b":2}"#);
        assert_eq!(made.sources, ["a0", "a3"]);
        assert_eq!(made.votes[0].dissenting, ["a1"]);
        assert!(made.partial && !made.flagged_for_review);
        for split in
            [&[Some("1"), Some("2")][..], &[Some("1"), Some("1"), Some("2"), Some("2")], &[Some("1"), None], &[None]]
        {
            let made = votes(&exact, split);
            assert!(made.flagged_for_review && made.sources.is_empty(), "{split:?}");
            assert_eq!(made.aggregated_result, Json::null());
        }
        assert!(!votes(&exact, &[Some("1")]).flagged_for_review, "who alone was asked is believed");
    }

    #[test]
    fn each_field_is_voted_on_for_itself() {
        let fields = vec!["price".parse().unwrap(), "stock.here".parse().unwrap()];
        let policy = Aggregate { fields, tolerance: Some(0.5), ..Aggregate::default() };
        let made = votes(
            &policy,
            &[
                Some(r#"{"price":10,"stock":{"here":true},"x":1}"#),
                Some(r#"{"price":10.5,"stock":{"here":false},"x":2}"#),
                Some(r#"{"price":20,"stock":{"here":true}}"#),
            ],
        );
        assert_eq!(made.aggregated_result.as_str(), r#"{"price":10,"stock":{"here":true}}"#);
        assert_eq!(made.sources, ["a0"]);
        assert!(!made.flagged_for_review);
        let made = votes(&policy, &[Some(r#"{"price":1}"#), Some(r#"{"price":2}"#), Some(r#"{"price":3}"#)]);
        assert_eq!((made.votes[0].agreed, made.votes[1].agreed), (false, true), "that a field is missing, all agree");
        assert!(made.flagged_for_review);
    }

    #[test]
    fn numbers_agree_by_their_worth() {
        for (a, b, tolerance, agrees) in [
            ("1", "1.0", 0.0, true),
            ("9007199254740993", "9007199254740992", 0.0, false),
            ("18446744073709551615", "18446744073709551615", 0.0, true),
            ("1e999", "1e999", 0.0, true),
            ("1.25", "1.5", 0.25, true),
            ("-1", "1", 1.9, false),
            ("\"1\"", "1", 5.0, false),
            ("[1,{\"a\":2}]", "[1.1,{\"a\":1.9}]", 0.2, true),
        ] {
            assert_eq!(agree(&read(&json(a)), &read(&json(b)), tolerance), agrees, "{a} {b}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The definition, by brute force: there is one with whom more than half agree, and no other with more.
        #[test]
        fn a_consensus_is_what_its_definition_says(
            numbers in prop::collection::vec(prop::option::weighted(0.8, 0_i32..6), 0..8),
            tolerance in 0_u8..3,
        ) {
            let texts: Vec<Option<String>> = numbers.iter().map(|n| n.map(|n| n.to_string())).collect();
            let outputs: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
            let policy = Aggregate { tolerance: Some(f64::from(tolerance)), ..Aggregate::default() };
            let made = votes(&policy, &outputs);
            let good: Vec<i32> = numbers.iter().flatten().copied().collect();
            let near = |a: i32| good.iter().filter(|b| (a - **b).abs() <= i32::from(tolerance)).count();
            let most = good.iter().map(|a| near(*a)).max().unwrap_or(0);
            let agreed = 2 * most > good.len() && (most > 1 || numbers.len() == 1);
            prop_assert_eq!(made.flagged_for_review, !agreed);
            if agreed {
                let middle = good.iter().find(|a| near(**a) == most).unwrap();
                prop_assert_eq!(made.aggregated_result.as_str(), middle.to_string());
                prop_assert_eq!(made.sources.len(), most);
            }
            prop_assert_eq!(made.failed_agents.len(), numbers.len() - good.len());
        }
    }
}
