//! What plans that grow and change have to tell, in words for people.

use crate::ids::StepPath;
use crate::run::Event;

/// What an event of a plan that grows or changes says, and of which step (may hold untrusted text); `None` for all others.
pub(super) fn growth_news(event: &Event) -> Option<(Option<&StepPath>, String)> {
    Some(match event {
        Event::StepExpanded(expanded) => {
            let again = if expanded.first > 1 { format!(" time={}", expanded.first) } else { String::new() };
            (Some(&expanded.step), format!("try={} begins={}{again}", expanded.attempt, expanded.count))
        }
        Event::StepChecked(checked) => (Some(&checked.step), "its condition holds".to_owned()),
        Event::StepOmitted(omitted) => (Some(&omitted.step), format!("omitted: {}", omitted.reason)),
        Event::WaitClosed(closed) => (Some(&closed.step), format!("try={} goes on with what is done", closed.attempt)),
        Event::PlanRevised(revised) => {
            let patch = &revised.patch;
            let counts =
                [("added", patch.add.len()), ("replaced", patch.replace.len()), ("removed", patch.remove.len())];
            let mut told = format!("plan revision={}", revised.revision);
            for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                told.push_str(&format!(" {what}={count}"));
            }
            if let Some(width) = patch.max_concurrent_tasks {
                told.push_str(&format!(" max_concurrent_tasks={width}"));
            }
            if let Some(order) = &revised.order {
                told.push_str(&format!(" by={} {}", order.by, order.reason));
            }
            (revised.step.as_ref(), told)
        }
        _ => return None,
    })
}
