//! Whether the members' results are enough, and what follows if they are not.

use super::Member;
use crate::workflow::{Aggregate, OnFailure, OnPartial};

/// What follows from what the members came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// One result is made of those that succeeded.
    Combine,
    /// Those that failed begin anew; why.
    Retry(String),
    /// A person decides; why, for the person.
    Escalate(String),
    /// The policy's default is the result; why.
    Default(String),
    /// The step fails; why.
    Fail(String),
}

/// What follows once every member is done or the deadline has passed. `retried`: those that failed have begun anew already.
#[must_use]
pub fn next(policy: &Aggregate, members: &[Member], retried: bool) -> Next {
    let good = members.iter().filter(|member| member.output.is_some()).count();
    let needed = policy.needed(members.len());
    if good >= needed {
        return Next::Combine;
    }
    let why = told(members, good, needed);
    match policy.on_partial {
        OnPartial::Retry if !retried => return Next::Retry(why),
        OnPartial::Escalate if good > 0 => return Next::Escalate(why),
        _ => {}
    }
    match policy.on_failure {
        OnFailure::Fail => Next::Fail(why),
        OnFailure::Escalate => Next::Escalate(why),
        OnFailure::Default => Next::Default(why),
    }
}

fn told(members: &[Member], good: usize, needed: usize) -> String {
    const SHOWN: usize = 5;
    let failed = members.iter().filter(|member| member.output.is_none());
    let mut reasons: Vec<String> = failed
        .take(SHOWN)
        .map(|member| format!("{}: {}", member.name, member.error.as_deref().unwrap_or("no result")))
        .collect();
    let more = (members.len() - good).saturating_sub(SHOWN);
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    format!("{good} of {} succeeded, {needed} must; {}", members.len(), reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Json;
    use crate::workflow::Minimum;

    fn members(good: usize, bad: usize) -> Vec<Member> {
        let member = |i: usize| Member {
            name: format!("a{i}"),
            output: (i < good).then(Json::null),
            quality: None,
            error: (i >= good).then(|| "timeout".to_owned()),
        };
        (0..good + bad).map(member).collect()
    }

    #[test]
    fn enough_goes_on_and_what_is_missing_follows_the_policy() {
        let policy =
            |on_partial, on_failure, minimum| Aggregate { on_partial, on_failure, minimum, ..Aggregate::default() };
        let two = Some(Minimum::Count(2));
        let proceed = policy(OnPartial::Proceed, OnFailure::Fail, two);
        assert_eq!(next(&proceed, &members(2, 1), false), Next::Combine);
        let Next::Fail(why) = next(&proceed, &members(1, 7), false) else { panic!() };
        assert!(why.starts_with("1 of 8 succeeded, 2 must; a1: timeout;") && why.ends_with("and 2 more"), "{why}");
        let retry = policy(OnPartial::Retry, OnFailure::Escalate, two);
        assert!(matches!(next(&retry, &members(1, 2), false), Next::Retry(_)));
        assert!(matches!(next(&retry, &members(1, 2), true), Next::Escalate(_)));
        assert!(matches!(next(&retry, &members(0, 3), false), Next::Retry(_)), "perhaps all were away for a moment");
        let escalate = policy(OnPartial::Escalate, OnFailure::Default, None);
        assert!(matches!(next(&escalate, &members(2, 1), false), Next::Escalate(_)), "all are the minimum");
        assert!(matches!(next(&escalate, &members(0, 1), false), Next::Default(_)));
        assert_eq!(next(&Aggregate::default(), &members(1, 9), false), Next::Combine);
        assert!(matches!(next(&Aggregate::default(), &[], false), Next::Fail(_)));
    }
}
