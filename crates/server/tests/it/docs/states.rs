//! The states of runs and steps as they really follow each other: small workflows are driven by every input in every state
//! that is reached, and what changes is noted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tutti_core::budget::Amounts;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::plan::{Plan, StepIndex};
use tutti_core::ports::agent::{AgentError, AgentErrorKind, Need};
use tutti_core::report::RunView;
use tutti_core::run::{
    Applied, Command, Input, Order, Origin, Phase, Point, RunCreated, RunState, RunStatus, StepStatus, Verdict, Work,
    apply, create,
};
use tutti_core::schedule::{Growth, Policy, StrategyDecision, StrategyReason, Width, admit};
use tutti_core::time::Timestamp;
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::{Executor, OnError, StepKind, parse};

/// The states, as they are written.
const STATUS: &str = include_str!("../../../../core/src/run/status.rs");

/// Steps, what a failure means for the run, and whether the run begins in the queue.
const WORKFLOWS: &[(&str, OnError, bool)] = &[
    ("[{id: a, capability: c}, {id: b, capability: c, depends_on: [a]}]", OnError::Continue, false),
    ("[{id: a, capability: c}]", OnError::Fail, true),
    ("[{id: a, capability: c, retry: unsafe}]", OnError::Fail, false),
    ("[{id: a, capability: c, retry: {max_attempts: 1}}]", OnError::Retry, false),
    ("[{id: a, capability: c, retry: {max_attempts: 1}}]", OnError::Escalate, false),
    (
        "[{id: a, capability: c, compensate: {capability: u, retry: {max_attempts: 1}}}, \
         {id: b, capability: c, depends_on: [a], retry: {max_attempts: 1}}]",
        OnError::Compensate,
        false,
    ),
    (
        "[{id: a, capability: c, checkpoint: here, compensate: {capability: u}}, \
         {id: b, capability: c, depends_on: [a], retry: {max_attempts: 1}}]",
        OnError::Rollback,
        false,
    ),
    ("[{id: a, approval: {message: '?', due: 1h}}, {id: b, signal: {due: 1h}}]", OnError::Fail, false),
    ("[{id: a, sleep: 1h}]", OnError::Fail, false),
    (
        "[{id: a, capability: c}, {id: b, capability: c, depends_on: [a]}]\nbudget: {calls: 1, on_spent: ask}",
        OnError::Fail,
        false,
    ),
    ("[{id: a, capability: c, retry: {max_attempts: 2}}]\nbudget: {calls: 1}", OnError::Fail, false),
];

/// States that are looked at of one workflow.
const MOST: usize = 600;

/// Between two inputs: longer than any pause between attempts.
const STEP: Duration = Duration::from_secs(90);

/// What follows what, by which events; and what is allowed where.
#[derive(Default)]
struct Found {
    runs: BTreeMap<(Option<RunStatus>, RunStatus), BTreeSet<&'static str>>,
    steps: BTreeMap<(StepStatus, StepStatus), BTreeSet<&'static str>>,
    of_runs: BTreeMap<RunStatus, BTreeSet<&'static str>>,
    of_steps: BTreeMap<StepStatus, BTreeSet<&'static str>>,
}

/// The diagrams and the tables.
pub fn states() -> String {
    let mut found = Found::default();
    for (steps, on_error, is_queued) in WORKFLOWS {
        walk(steps, *on_error, *is_queued, &mut found);
    }
    let runs = found.runs.iter().map(|((from, to), events)| {
        let from = from.map_or("[*]", RunStatus::as_str);
        (from, to.as_str(), events)
    });
    let run_diagram = diagram(runs, RunStatus::ALL.iter().map(|status| status.as_str()));
    let steps = found.steps.iter().map(|((from, to), events)| (from.as_str(), to.as_str(), events));
    let step_diagram = diagram(steps, StepStatus::ALL.iter().map(|status| status.as_str()));
    let of_runs = table("RunStatus", &found.of_runs.iter().map(|(status, can)| (status.as_str(), can)).collect());
    let of_steps = table("StepStatus", &found.of_steps.iter().map(|(status, can)| (status.as_str(), can)).collect());
    format!("## Of a run\n\n{run_diagram}\n{of_runs}\n## Of a step\n\n{step_diagram}\n{of_steps}")
}

fn diagram<'e>(
    edges: impl Iterator<Item = (&'e str, &'e str, &'e BTreeSet<&'static str>)>,
    all: impl Iterator<Item = &'static str>,
) -> String {
    let (mut text, mut leave) = ("```mermaid\nstateDiagram-v2\n".to_owned(), BTreeSet::new());
    let mut reached = BTreeSet::new();
    for (from, to, events) in edges {
        let events: Vec<&str> = events.iter().copied().collect();
        text.push_str(&format!("    {from} --> {to}: {}\n", events.join(", ")));
        leave.insert(from.to_owned());
        reached.insert(to.to_owned());
    }
    for status in all {
        assert!(reached.contains(status) || status == "pending", "{status} was not reached");
        if !leave.contains(status) {
            text.push_str(&format!("    {status} --> [*]\n"));
        }
    }
    text + "```\n"
}

fn table(name: &str, can: &BTreeMap<&str, &BTreeSet<&'static str>>) -> String {
    let mut text = "| State | Meaning | What can be done |\n|---|---|---|\n".to_owned();
    for (word, meaning) in meanings(name) {
        let can: Vec<String> =
            can.get(word.as_str()).into_iter().flat_map(|can| can.iter()).map(|word| format!("`{word}`")).collect();
        let can = if can.is_empty() { "nothing".to_owned() } else { can.join(", ") };
        text.push_str(&format!("| `{word}` | {meaning} | {can} |\n"));
    }
    text
}

/// The words of an enumeration and what stands above them.
fn meanings(name: &str) -> Vec<(String, String)> {
    let body = STATUS.split(&format!("    {name} {{\n")).nth(1).unwrap().split("\n    }").next().unwrap();
    let (mut all, mut doc) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            doc.push_str(words);
        } else if let Some((_, word)) = line.split_once(" = ") {
            all.push((word.trim_matches(['"', ',']).to_owned(), doc.trim().to_owned()));
            doc.clear();
        }
    }
    all
}

/// Every state that is reached from a new run, and from there, each of its kind once.
fn walk(steps: &str, on_error: OnError, is_queued: bool, found: &mut Found) {
    let plan = Plan::new(parse(&format!("id: w\nsteps: {steps}\n")).unwrap().workflow).unwrap();
    let now = Timestamp::from_micros(1_000_000_000_000);
    let (_, first) = create(plan.clone(), created(&plan, on_error, is_queued.then_some(now)), now);
    let view = RunView::of(plan, [&first]);
    found.runs.entry((None, view.status())).or_default().insert(first.event.name());
    let (mut seen, mut todo) = (BTreeSet::from([kind(&view)]), VecDeque::from([(view, now)]));
    while let Some((view, now)) = todo.pop_front() {
        let state = view.state().unwrap();
        for (input, word) in inputs(state, now.plus(STEP)) {
            let late = matches!(input, Input::ExpireRun | Input::ExpireWait { .. });
            let now = now.plus(if late { Duration::from_secs(3 * 3600) } else { STEP });
            let (mut after, mut applied) = (state.clone(), Applied::default());
            if apply(&mut after, &input, now, &mut applied).is_err() || applied.events.is_empty() {
                continue;
            }
            note_command(&view, &input, word, found);
            let mut next = view.clone();
            for event in &applied.events {
                note(&next, event, found);
                next.apply(event);
            }
            if seen.len() < MOST && seen.insert(kind(&next)) {
                todo.push_back((next, now));
            }
        }
    }
}

/// What an event changes.
fn note(before: &RunView, event: &tutti_core::run::Recorded, found: &mut Found) {
    let mut after = before.clone();
    after.apply(event);
    if before.status() != after.status() {
        found.runs.entry((Some(before.status()), after.status())).or_default().insert(event.event.name());
    }
    for index in before.plan().indexes() {
        let (from, to) = (before.step(index).status, after.step(index).status);
        if from != to {
            found.steps.entry((from, to)).or_default().insert(event.event.name());
        }
    }
}

/// A command was taken: of the run, and of the step that it names.
fn note_command(view: &RunView, input: &Input, word: &'static str, found: &mut Found) {
    let Input::Command { command, .. } = input else { return };
    found.of_runs.entry(view.status()).or_default().insert(word);
    let (Command::Decide { step, .. } | Command::Approve { step, .. } | Command::Signal { step, .. }) = command else {
        return;
    };
    let plan = view.plan();
    let index = plan.indexes().find(|index| plan.path(*index).as_str() == step).unwrap();
    // What undoes a step is meant by the step's own name too.
    let is_held = |index: &StepIndex| matches!(view.state().unwrap().step(*index).phase, Phase::Held(_));
    let index = plan.undo_of(index).filter(is_held).unwrap_or(index);
    found.of_steps.entry(view.step(index).status).or_default().insert(word);
}

/// What tells a state from others here: what was tried how often counts to three.
fn kind(view: &RunView) -> String {
    let state = view.state().unwrap();
    let steps: Vec<_> = view
        .plan()
        .indexes()
        .map(|index| {
            let step = state.step(index);
            let answered = state.open_attempt(index).map(|open| (open.answer.is_some(), open.overdue.min(1)));
            (step.status(), step.attempts.min(2), step.recoveries.min(1), answered)
        })
        .collect();
    let undo = state.undoing().map(|undo| (undo.pending.clone(), undo.current, undo.rewind, undo.then));
    format!("{:?}{:?}{:?}{:?}{}", state.status(), steps, undo, state.ends_by(), state.follows_work())
}

fn created(plan: &Arc<Plan>, on_error: OnError, turn: Option<Timestamp>) -> RunCreated {
    RunCreated {
        run: RunId::new(1, [1; 10]),
        namespace: Namespace::default(),
        request: uuid::Uuid::nil(),
        workflow: plan.workflow().id.clone(),
        version: String::new(),
        definition: plan.definition(),
        data: Payload::Inline(Json::empty_object()),
        policy: Policy { width: Width::Bounded(4), growth: Growth::Fixed, on_error },
        strategy: StrategyDecision {
            executor: Executor::Parallel,
            reason: StrategyReason::Requested,
            potential_improvement: None,
            system_load: None,
            available_workers: None,
        },
        origin: Origin::default(),
        turn,
    }
}

/// Everything that may be asked or observed, and the word for it if it is a command.
fn inputs(state: &RunState, now: Timestamp) -> Vec<(Input, &'static str)> {
    let command = |command, word| (Input::Command { command, order: Order::new("ana", "") }, word);
    let mut all = vec![
        (Input::AdmitRun, ""),
        (Input::ExpireRun, ""),
        (Input::QuarantineRun { reason: "it took its server down".into() }, ""),
        command(Command::Pause, "pause"),
        command(Command::PauseWork { work: Work::Leave }, "pause"),
        command(Command::PauseWork { work: Work::Cancel }, "pause"),
        command(Command::Resume, "resume"),
        command(Command::Cancel, "cancel"),
        command(Command::Terminate, "terminate"),
        command(Command::Retry, "retry"),
        command(Command::Checkpoint { name: "now".into() }, "checkpoint"),
        command(Command::RaiseBudget { add: Amounts { calls: 1, ..Amounts::default() } }, "raise the budget"),
        command(Command::Rollback { to: Point::Seq(1), compensate: true }, "rollback"),
        command(Command::Rollback { to: Point::Seq(1), compensate: false }, "rollback"),
    ];
    for index in state.plan().indexes() {
        all.extend(of_step(state, index, now).into_iter().map(|input| (input, "")));
        let step = || state.plan().path(index).to_string();
        let value = || Payload::Inline(Json::empty_object());
        for verdict in [Verdict::Retry, Verdict::Done, Verdict::Skip, Verdict::Fail, Verdict::Ask] {
            let word =
                ["decide: retry", "decide: done", "decide: skip", "decide: fail", "decide: ask"][verdict as usize];
            all.push(command(Command::Decide { step: step(), verdict, output: Some(value()) }, word));
        }
        for approved in [true, false] {
            all.push(command(Command::Approve { step: step(), approved, data: None }, "approve or reject"));
        }
        all.push(command(Command::Signal { step: step(), answer: value() }, "signal"));
    }
    all
}

fn of_step(state: &RunState, index: StepIndex, now: Timestamp) -> Vec<Input> {
    let (step, key, chance) = (state.plan().path(index), state.attempt_key(index), 0.5);
    let need = match state.plan().step(index).kind() {
        StepKind::Call(_) => Need::Input,
        StepKind::Approval(_) => Need::Approval,
        StepKind::Signal(_) => Need::Signal,
        StepKind::Sleep(_) | StepKind::WaitUntil(_) => Need::Time,
        StepKind::Holds => Need::Steps,
    };
    let error = |kind| AgentError::new(kind, "no");
    let (message, output) = ("?".to_owned(), Payload::Inline(Json::empty_object()));
    let admitted = [
        Input::StartAttempt { step: step.clone(), agent: "x".parse().unwrap(), choice: None },
        Input::RefuseAttempt { step: step.clone(), error: error(AgentErrorKind::Unavailable), chance },
        Input::ContinueAttempt { step: step.clone() },
    ];
    let mut all = vec![
        Input::SuspendAttempt { key: key.clone(), need, message, until: None, shown: None },
        Input::ExpireWait { step },
        Input::CompleteAttempt {
            key: key.clone(),
            output,
            artifacts: vec![],
            missing_inputs: vec![],
            report: None,
            grows: None,
            findings: None,
        },
    ];
    // What is not its turn, nobody starts.
    all.extend(admitted.into_iter().filter(|_| admit(state, now).contains(&index)));
    for kind in [AgentErrorKind::Unavailable, AgentErrorKind::InvalidInput] {
        let (key, error) = (key.clone(), error(kind));
        all.push(Input::FailAttempt { key, error, other_agent: false, chance });
    }
    all
}
