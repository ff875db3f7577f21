//! The plan that is made without a planner agent: a template, or the clauses of the request as tasks. The same words always
//! make the same plan.

use tutti_core::ids::{Capability, StepId};
use tutti_core::workflow::Problem;

use super::{Template, Templates};
use crate::tasks::{Built, GroupTable, Task, TaskList, build};
use crate::words::slug;

/// Makes a plan for a request; who made it is told with it.
///
/// # Errors
/// What is wrong with it, such as a request without a word.
pub fn fallback(
    query: &str,
    template: Option<&Template>,
    templates: &Templates,
    table: &GroupTable,
    offered: &[Capability],
) -> Result<(Built, String), Vec<Problem>> {
    let chosen = template.or_else(|| templates.choose(query));
    let (mut list, by) = match chosen {
        Some(template) => (template.tasks_for(query), format!("template {}", template.name)),
        None => (by_clauses(query, table), "keyword rules".to_owned()),
    };
    query.trim().clone_into(&mut list.query);
    build(&list, table, offered).map(|built| (built, by))
}

/// The clauses of a request as tasks: grouped by service within a stage, and what follows a `then` after all before it.
fn by_clauses(query: &str, table: &GroupTable) -> TaskList {
    let mut list = TaskList { id: slug(query).parse().ok().or_else(|| "plan".parse().ok()), ..TaskList::default() };
    let mut before: Vec<StepId> = Vec::new();
    for (stage, clauses) in stages(query).into_iter().enumerate() {
        let mut done: Vec<StepId> = Vec::new();
        let mut last: Vec<(usize, StepId)> = Vec::new();
        for clause in clauses.iter().flat_map(|clause| split(clause, table)) {
            let number = list.tasks.len() + 1;
            let name = format!("{number}-{}", slug(&clause));
            let Ok(id) = name.trim_end_matches('-').parse::<StepId>() else { continue };
            let group = table.group_of(&clause);
            let same = last.iter().rposition(|(other, _)| *other == group).map(|at| last.remove(at).1);
            last.push((group, id.clone()));
            let dependencies = same.map_or_else(|| before.clone(), |same| vec![same]);
            let dependencies = (stage > 0 || !dependencies.is_empty()).then_some(dependencies);
            list.tasks.push(Task { id: Some(id.clone()), dependencies, ..Task::described(clause) });
            done.push(id);
        }
        if !done.is_empty() {
            before = last.into_iter().map(|(_, id)| id).collect();
        }
    }
    list
}

/// The request in stages, each of which waits for the one before, with their clauses.
fn stages(query: &str) -> Vec<Vec<String>> {
    let marks = [", then ", ". Then ", "; then ", " and then ", ", finally ", " and finally ", ". Finally ", " then "];
    let text = marks.iter().fold(query.to_owned(), |text, mark| text.replace(mark, "\u{1}"));
    let ends = |c: char| matches!(c, ';' | '\n' | '.' | '!' | '?');
    let clean = |clause: &str| {
        let clause =
            clause.trim().trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ')' | '-' | '*' | ' '));
        clause.trim().to_owned()
    };
    let clauses = |stage: &str| {
        let all = stage.split(ends).map(clean);
        all.filter(|clause| clause.chars().any(char::is_alphabetic)).collect::<Vec<_>>()
    };
    text.split('\u{1}').map(clauses).collect()
}

/// A clause at its commas and *and*s, where what follows is something of its own: several words, or of another service.
fn split(clause: &str, table: &GroupTable) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let text = clause.replace(", and ", "\u{1}, ").replace(", ", "\u{1}, ").replace(" and ", "\u{1} and ");
    for piece in text.split('\u{1}') {
        let own = piece.trim_start_matches(", ").trim_start_matches(" and ").trim();
        let stands_alone = parts.last().is_none_or(|last| {
            own.split_whitespace().count() > 2 || table.group_of(own) != table.group_of(last) && !own.is_empty()
        });
        match parts.last_mut() {
            Some(last) if !stands_alone => last.push_str(piece),
            _ => parts.push(own.to_owned()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(query: &str) -> (Vec<(String, Vec<String>)>, String) {
        let (built, by) = fallback(query, None, &Templates::default(), &GroupTable::default(), &[]).unwrap();
        let step = |step: &tutti_core::workflow::Step| {
            let on = step.depends_on.iter().flatten().map(ToString::to_string).collect();
            (step.id.to_string(), on)
        };
        (built.parsed.workflow.steps.iter().map(step).collect(), by)
    }

    #[test]
    fn clauses_are_tasks_and_then_is_an_order() {
        let (steps, by) =
            made("Book an air ticket, find a room in a hotel and rent a car, then write a letter. Post it home!");
        let none = Vec::<String>::new();
        let first = ["1-book-air-ticket", "2-find-room-hotel", "3-rent-car"];
        assert_eq!(by, "keyword rules");
        assert_eq!(
            steps[..3].iter().map(|(id, on)| (id.as_str(), on)).collect::<Vec<_>>(),
            first.map(|id| (id, &none))
        );
        assert_eq!(steps[3], ("4-write-letter".into(), first.map(str::to_owned).to_vec()));
        // One of the same service comes after it.
        assert_eq!(steps[4], ("5-post-home".into(), vec!["4-write-letter".to_owned()]));
    }

    #[test]
    fn what_belongs_together_stays_together() {
        let (steps, _) = made("Compare apples and oranges");
        assert_eq!(steps.len(), 1, "{steps:?}");
        let (steps, _) = made("1) Paint the house\n2) Sell it");
        assert_eq!(steps.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["1-paint-house", "2-sell"]);
    }

    #[test]
    fn a_template_goes_first_and_the_request_comes_with_it() {
        let query = "Plan a trip: a flight to Tokyo and a hotel";
        let (built, by) = fallback(query, None, &Templates::default(), &GroupTable::default(), &[]).unwrap();
        assert_eq!(by, "template travel");
        assert_eq!(built.parsed.workflow.data.as_str(), format!("{{\"query\":\"{query}\"}}"));
        assert_eq!(built.parsed.workflow.steps.len(), 4);
        let offered = ["flight.book".parse().unwrap(), "hotel.book".parse().unwrap()];
        let templates = Templates::default();
        let research = templates.named("research");
        let (built, by) = fallback(query, research, &templates, &GroupTable::default(), &offered).unwrap();
        assert_eq!((by.as_str(), built.parsed.workflow.steps.len()), ("template research", 5));
    }

    #[test]
    fn no_words_make_no_plan() {
        assert!(fallback(" ?! ", None, &Templates::default(), &GroupTable::default(), &[]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_words_make_a_sound_plan_or_none(query in "[a-zA-Zé,.;\\n ]{0,80}(and|then|, then|hotel| )[a-z ,]{0,40}") {
            if let Ok((built, _)) = fallback(&query, None, &Templates::default(), &GroupTable::default(), &[]) {
                tutti_core::plan::Plan::new(built.parsed.workflow).unwrap();
            }
        }
    }
}
