//! Drills over the workflows of the examples: each step in turn fails for good, or the run is rolled back to just before it was
//! done; every attempt is answered twice. Each time the run must end with the data of an undisturbed one.

use std::path::Path;
use std::sync::Arc;

use tutti_adapters_memory::MemoryStore;
use tutti_core::plan::{Plan, StepIndex};
use tutti_core::run::{Command, Phase, Point, RunState, RunStatus};
use tutti_core::workflow::{Aggregation, Executor, Step, SubWorkflow, parse};

use super::{End, Order, Person, Script, play};
use crate::given::run_id;
use crate::sim::Case;
use crate::stores::Stores;

/// The workflow of an example. Its agents are made up: they answer with what they are given, and all can do everything.
fn example(folder: &Path) -> Case {
    let text = std::fs::read_to_string(folder.join("workflow.yaml")).unwrap();
    let mut workflow = parse(&text).unwrap().workflow;
    workflow.steps.iter_mut().for_each(for_anybody);
    let plan = Plan::new(workflow).unwrap();
    let none = vec![false; plan.indexes().count()];
    Case { plan, impossible: none.clone(), asks: none, recovers: true }
}

/// Has a step, and those that it holds, asked of any agent.
fn for_anybody(step: &mut Step) {
    if let Some(undo) = &mut step.compensate {
        undo.capability = "c".parse().unwrap();
        undo.agent = None;
    }
    if step.ask.take().is_some() {
        // Which agent is asked first depends on the order in which things happen, and results stand under their names.
        step.aggregate = None;
    }
    if let Some(aggregate) = &mut step.aggregate {
        // Made-up agents have no scores and write nothing of their own.
        (aggregate.strategy, aggregate.synthesis, aggregate.tolerance) = (Aggregation::MergeAll, None, None);
        aggregate.fields.clear();
    }
    step.steps.iter_mut().for_each(for_anybody);
    if let Some(SubWorkflow::Whole(workflow)) = &mut step.workflow {
        workflow.steps.iter_mut().for_each(for_anybody);
    }
    let Some(capability) = &mut step.capability else { return };
    // What the rules of dependencies go by.
    step.task_type.get_or_insert_with(|| capability.to_string());
    *capability = "c".parse().unwrap();
    step.agent = None;
}

async fn end_of(script: &Script, number: u64) -> End {
    let stores = Stores::of(Arc::new(MemoryStore::new()));
    let mut order = Order::random(number);
    play(script, Executor::Parallel, run_id(number), None, &mut order, &mut async || stores.clone()).await.end
}

fn retry(state: &RunState, _: StepIndex) -> Option<Command> {
    (state.status() == RunStatus::Failed).then_some(Command::Retry)
}

/// Back to just before a step was done, as often as the run has been there before.
fn back(state: &RunState, step: StepIndex, times: u32) -> Option<Command> {
    let step = state.step(step);
    let is_done = matches!(step.phase, Phase::Completed(_)) && !state.status().is_ended();
    let to = Point::Seq(step.completed_seq.saturating_sub(1));
    (is_done && state.generation() < times).then_some(Command::Rollback { to, compensate: true })
}

fn back_once(state: &RunState, step: StepIndex) -> Option<Command> {
    back(state, step, 1)
}

fn back_twice(state: &RunState, step: StepIndex) -> Option<Command> {
    back(state, step, 2)
}

#[tokio::test]
async fn every_example_ends_as_undisturbed_whichever_step_fails_is_answered_twice_or_undone() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let folders = std::fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = folders.filter(|folder| folder.join("workflow.yaml").exists()).collect();
    folders.sort();
    assert!(folders.len() >= 8, "{folders:?}");
    for folder in folders {
        let case = example(&folder);
        let fails = vec![0; case.impossible.len()];
        let nobody: Person = |_, _| None;
        let script = |person| Script { person, ..Script::new("drill", case.clone(), fails.clone()) };
        let undisturbed = end_of(&script(nobody), 1).await;
        let same = |end: End, drill: &str, step: StepIndex| {
            let statuses = |end: &End| end.steps.iter().map(|(status, _)| *status).collect::<Vec<_>>();
            let about = format!("{}: {drill} {}", folder.display(), case.plan.path(step));
            assert_eq!(statuses(&end), statuses(&undisturbed), "{about}");
            assert_eq!(end.data, undisturbed.data, "{about}");
            end
        };
        same(end_of(&Script { answers_twice: true, ..script(nobody) }, 2).await, "answered twice", 0);
        for step in (0..case.plan.len() as StepIndex).filter(|step| case.plan.step(*step).capability.is_some()) {
            let mut failing = Script { about: step, ..script(retry) };
            failing.case.impossible[step as usize] = true;
            same(end_of(&failing, 3).await, "fails for good until the run is tried again", step);
            for (person, times) in [(back_once as Person, 1), (back_twice, 2)] {
                let script = Script { about: step, is_eager: true, ..script(person) };
                let end = same(end_of(&script, 4).await, "rolled back to before", step);
                // The last step ends the run, which then never changes.
                let last =
                    undisturbed.events.contains_key("RunCompleted") && case.plan.topology().successors(step).is_empty();
                let count = end.events.get("RunRewound").copied().unwrap_or(0);
                assert!(count >= times || last, "{}: {count} times", case.plan.path(step));
            }
        }
    }
}
