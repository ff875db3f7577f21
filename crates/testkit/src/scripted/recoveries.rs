//! Runs that are undone, rolled back, held, asked about and forked, for a sweep to go through.

use tutti_core::plan::{Plan, StepIndex};
use tutti_core::run::{Command, Point, RunState, RunStatus, Verdict};
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::parse;

use super::Script;
use crate::sim::Case;

/// Three steps that can be undone, and one that nobody can do.
const SAGA: &str = "\
- {id: a, capability: c, compensate: {capability: d, input: {was: out.a}}, output: {'*': out.a}}
- {id: b, capability: c, depends_on: [a], compensate: {capability: d}, output: {'*': out.b}}
- {id: c, capability: c, depends_on: [a], critical: true, compensate: {capability: d}, output: {'*': out.c}}
- {id: d, capability: c, depends_on: [b, c], input: {b: out.b, c: out.c}}";

/// A step with a checkpoint, one that can be undone, and a person's word before the last.
const ASKED: &str = "\
- {id: a, capability: c, checkpoint: begun, compensate: {capability: d}, output: {'*': out.a}}
- {id: b, capability: c, depends_on: [a], compensate: {capability: d}, output: {'*': out.b}}
- {id: asked, approval: {message: 'may it?'}, depends_on: [b], input: {b: out.b}, checkpoint: asked}
- {id: d, capability: c, depends_on: [asked], input: {b: out.b}}";

/// Steps that wait for time and for a signal.
const WAITS: &str = "\
- {id: a, capability: c, output: {'*': out.a}}
- {id: nap, sleep: 3s, depends_on: [a]}
- {id: moment, wait_until: at, depends_on: [a], input: {at: start.at}}
- {id: told, signal: {due: 1h}, depends_on: [nap, moment], output: {'*': out.told}}
- {id: late, approval: {message: 'may it?', due: 2s, overdue: approve}, depends_on: [a]}
- {id: d, capability: c, depends_on: [told, late], input: {told: out.told}}";

/// Steps that hold others of every sort, within each other too, one that is left out, and one after them all.
const HOLDS: &str = "\
- {id: list, capability: c, map: {over: start.items, max_concurrent: 2}, input: {x: item, i: index},
   compensate: {capability: d, input: {x: item}}, output: {'*': out.list}}
- {id: left, capability: c, when: 'size(start.items) > 9', output: {'*': {to: out.left, optional: true}}}
- {id: loop, capability: c, depends_on: [left], repeat: {until: 'iteration >= 2'}, input: {x: previous}, output: {'*': out.loop}}
- {id: three, capability: c, ask: {agents: 3}, when: 'start.n == 1', output: {'*': out.three}}
- id: block
  depends_on: [list]
  output: {'*': out.block}
  steps:
  - {id: a, capability: c, input: {l: out.list}, output: {v: in.a}, compensate: {capability: d}}
  - {id: each, depends_on: [a], map: {over: start.items}, steps: [{id: x, capability: c, input: {i: item, a: in.a}}], output: {'*': in.each}}
- id: sub
  depends_on: [loop]
  output: {'*': out.sub}
  steps:
  - {id: p, capability: c, input: {n: start.n}, output: {v: in.p}}
  - {id: q, capability: c, depends_on: [p], repeat: {until: 'iteration >= 2'}, input: {p: in.p}, output: {v: in.q}}
- {id: end, capability: c, depends_on: [block, sub, three], checkpoint: all, input: {b: out.block, s: out.sub}, output: {'*': out.end}}
- {id: last, capability: c, depends_on: [end], input: {e: out.end}}";

/// An item of a list that fails.
const ITEM: &str = "\
- {id: list, capability: c, map: {over: start.items, max_concurrent: 2}, action: 'fail [1]', retry: {max_attempts: 1},
   compensate: {capability: d, input: {x: item}}, input: {x: item}, output: {'*': out.list}}
- {id: last, capability: c, depends_on: [list], input: {l: out.list}}";

/// The scripts: sagas that are undone in both ways, one that gets stuck, a rollback by a person, waits, a step that is held, one
/// that begins anew, and a fork.
#[must_use]
pub fn recoveries() -> Vec<Script> {
    vec![
        script("compensate", "compensate", SAGA, &[3]),
        script("roll back", "rollback", SAGA, &[3]),
        Script { person: unstick, ..script("stuck", "compensate", SAGA, &[3, 4]) },
        Script { person: once_back, ..script("rolled back by a person", "fail", ASKED, &[]) },
        Script { person: approve, ..script("approval", "fail", ASKED, &[]) },
        Script { person: signal, ..script("waits", "fail", WAITS, &[]) },
        Script { person: by_hand, ..script("escalate", "escalate", SAGA, &[3]) },
        script("retry", "retry", SAGA, &[3]),
        Script { forked: 2, person: approve, ..script("fork", "compensate", ASKED, &[]) },
        Script { forked: 3, ..script("failed fork", "compensate", SAGA, &[3]) },
        script("holds", "fail", HOLDS, &[]),
        script("holds, compensate", "compensate", HOLDS, &[7]),
        script("holds, roll back", "rollback", HOLDS, &[7]),
        script("holds, retry", "retry", HOLDS, &[7]),
        Script { forked: 2, ..script("holds, fork", "compensate", HOLDS, &[7]) },
        script("item, compensate", "compensate", ITEM, &[]),
        Script { person: by_hand, ..script("item, escalate", "escalate", ITEM, &[]) },
        script("item, retry", "retry", ITEM, &[]),
        Script { person: reopen, ..script("item, tried again", "fail", ITEM, &[]) },
        script("item, enough", "fail", &ITEM.replace("max_concurrent: 2", "max_concurrent: 2, minimum: 2"), &[]),
    ]
}

fn script(name: &'static str, on_error: &str, steps: &str, impossible: &[usize]) -> Script {
    let text = format!(
        "id: shape\non_error: {on_error}\nrecoveries: 1\nmax_concurrent_tasks: 8\n\
         data: {{start: {{at: '2026-12-01T08:00:00Z', n: 1, items: [5, 6, 7]}}}}\nsteps:\n{steps}\n"
    );
    let plan = Plan::new(parse(&text).expect("a valid workflow").workflow).expect("a valid plan");
    let all = plan.indexes().count();
    let impossible = (0..all).map(|index| impossible.contains(&index)).collect();
    let case = Case { plan, impossible, asks: vec![false; all], recovers: true };
    Script::new(name, case, vec![0; all])
}

/// Tries once more what could not be undone, and then leaves it.
fn unstick(state: &RunState, _: StepIndex) -> Option<Command> {
    let (index, _) = state.held().next().filter(|_| state.status() == RunStatus::Stuck)?;
    let verdict = if state.step(index).attempts < 2 { Verdict::Retry } else { Verdict::Skip };
    Some(Command::Decide { step: String::new(), verdict, output: None })
}

fn once_back(state: &RunState, step: StepIndex) -> Option<Command> {
    match state.generation() {
        0 if state.waiting().next().is_some() => {
            Some(Command::Rollback { to: Point::Checkpoint("begun".into()), compensate: true })
        }
        0 => None,
        _ => approve(state, step),
    }
}

fn reopen(state: &RunState, _: StepIndex) -> Option<Command> {
    (state.status() == RunStatus::Failed).then_some(Command::Retry)
}

fn approve(state: &RunState, _: StepIndex) -> Option<Command> {
    state.waiting().next().map(|_| Command::Approve { step: String::new(), approved: true, data: None })
}

fn signal(state: &RunState, _: StepIndex) -> Option<Command> {
    let told = state.waiting().find(|index| state.plan().path(*index).as_str() == "told")?;
    Some(Command::Signal { step: state.plan().path(told).to_string(), answer: value() })
}

fn by_hand(state: &RunState, _: StepIndex) -> Option<Command> {
    let held = state.held().next()?;
    let step = state.plan().path(held.0).to_string();
    Some(Command::Decide { step, verdict: Verdict::Done, output: Some(value()) })
}

fn value() -> Payload {
    Payload::Inline(Json::parse(r#"{"v":"by hand"}"#).expect("valid JSON"))
}
