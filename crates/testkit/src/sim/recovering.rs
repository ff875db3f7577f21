//! Random workflows whose failures are followed up in every way, and what people do to their runs.

use std::fmt::Write as _;
use std::time::Duration;

use tutti_core::budget::{Amounts, Money};
use tutti_core::plan::{Plan, PlanPatch, StepIndex};
use tutti_core::ports::agent::{AgentErrorKind, Usage};
use tutti_core::run::{Command, Failure, Point, RunState, RunStatus, Verdict, Work};
use tutti_core::value::{Digest, Json, Payload};
use tutti_core::workflow::{Step, StepKind, parse};

use super::rng::Rng;
use super::workflow::Case;

/// Most that an attempt is reckoned with, in millionths.
const MOST_RESERVED: u64 = 60;

const POLICIES: [&str; 6] = ["fail", "continue", "rollback", "retry", "compensate", "escalate"];

/// Draws a case with steps that can be undone, steps that wait, and policies of every kind.
pub fn draw(rng: &mut Rng) -> Case {
    let count = 2 + rng.below(9) as usize;
    let mut text = format!(
        "id: case\nexecutor: {}\nmax_concurrent_tasks: {}\non_error: {}\nrecoveries: {}\ntimeout: {}\n\
         data: {{start: {{n: {}, at: '2026-12-01T08:00:00Z', items: [1, 2, 3]}}}}\nsteps:\n",
        ["basic", "parallel", "dynamic"][rng.below(3) as usize],
        1 + rng.below(5),
        POLICIES[rng.below(6) as usize],
        1 + rng.below(2),
        if rng.percent(15) { "20s" } else { "1h" },
        rng.below(1_000),
    );
    let has_budget = rng.percent(40);
    for index in 0..count {
        step(rng, index, has_budget, &mut text);
    }
    if has_budget {
        text.push_str(&budget(rng));
    }
    let plan = Plan::new(parse(&text).expect("the generator writes valid workflows").workflow).expect("a valid plan");
    let none = vec![false; plan.len()];
    let asks = none.iter().map(|_| rng.percent(5)).collect();
    Case { plan, impossible: none, asks, recovers: true }
}

/// Less than some runs need.
fn budget(rng: &mut Rng) -> String {
    format!(
        "budget: {{money: {}, calls: {}, time: 5m, warn_at: 0.{}, on_spent: {}}}\n",
        Money(MOST_RESERVED + rng.below(400)),
        2 + rng.below(20),
        1 + rng.below(9),
        ["stop", "ask", "warn"][rng.below(3) as usize],
    )
}

/// What an agent tells of what an attempt took: the same whenever and however often it is asked. One in four tells nothing.
pub(super) fn usage(message: &str) -> Option<Usage> {
    let hash = Digest::of(message.as_bytes());
    let [told, cost, tokens, ..] = *hash.as_bytes();
    let usage = Usage { cost_micros: u64::from(cost) / 3, tokens_in: u64::from(tokens), tokens_out: 1 };
    (told % 4 > 0).then_some(usage)
}

fn step(rng: &mut Rng, index: usize, has_budget: bool, text: &mut String) {
    let on: Vec<usize> = (0..index).filter(|_| rng.percent(25)).take(3).collect();
    let names = on.iter().map(|i| format!("s{i}")).collect::<Vec<_>>().join(", ");
    let mut input = String::from("n: start.n");
    for i in &on {
        let _ = write!(input, ", from{i}: {{from: results.s{i}, required: false}}");
    }
    let mut fields = String::new();
    let mut maybe = |rng: &mut Rng, chance, field: String| {
        if rng.percent(chance) {
            fields.push_str(&field);
        }
    };
    let policy = POLICIES[rng.below(6) as usize];
    maybe(rng, 30, format!(", on_error: {policy}"));
    maybe(rng, 20, format!(", checkpoint: point {index}"));
    maybe(rng, 20, ", critical: true".to_owned());
    let ms = |rng: &mut Rng, least: u64, more: u64| format!("{}ms", least + rng.below(more));
    let kind = match rng.below(100) {
        0..8 => {
            let overdue =
                ["fail", "remind", "escalate, escalate_to: [eve]", "approve", "reject"][rng.below(5) as usize];
            format!("approval: {{message: 'may it?', due: {}, overdue: {overdue}}}", ms(rng, 500, 9_000))
        }
        8..14 => format!("signal: {{due: {}}}", ms(rng, 1_000, 20_000)),
        14..19 => format!("sleep: {}", ms(rng, 100, 8_000)),
        19..23 => {
            input.push_str(", at: start.at");
            "wait_until: at".to_owned()
        }
        _ => {
            let (total, backoff, wait) = (3 + rng.below(20), ms(rng, 100, 900), ms(rng, 100, 500));
            maybe(rng, 15, format!(", total_timeout: {total}s"));
            let held = held(rng);
            let reads = if held.is_empty() {
                format!("out: {{from: results.s{index}, required: false}}")
            } else {
                String::new()
            };
            let undo = format!(
                ", compensate: {{capability: d, input: {{{reads}}}, \
                 retry: {{max_attempts: {}, backoff: {wait}, unsafe: {}}}}}",
                1 + rng.below(2),
                rng.percent(15),
            );
            maybe(rng, 60, undo);
            if has_budget {
                let reserve = Money(rng.below(MOST_RESERVED));
                maybe(rng, 60, format!(", reserve: {{money: {reserve}}}"));
            }
            let (attempts, is_unsafe) = (1 + rng.below(3), rng.percent(25));
            let retry = format!("max_attempts: {attempts}, backoff: {backoff}, max_backoff: 2s, unsafe: {is_unsafe}");
            maybe(rng, 100, format!(", retry: {{{retry}}}"));
            format!("capability: {}{held}", ["c", "d"][rng.below(2) as usize])
        }
    };
    if rng.percent(10) {
        let _ = write!(fields, ", when: 'start.n > {}'", rng.below(1_000));
    }
    if rng.percent(8) {
        return block(rng, index, &names, &fields, text);
    }
    let safe = rng.percent(90);
    let _ = writeln!(
        text,
        "- {{id: s{index}, {kind}, depends_on: [{names}], input: {{{input}}}, \
         output: {{'*': results.s{index}}}, parallel_safe: {safe}{fields}}}",
    );
}

/// How a step that asks an agent does so several times, if it does.
fn held(rng: &mut Rng) -> String {
    match rng.below(10) {
        0 => format!(
            ", map: {{over: start.items, max_concurrent: {}, minimum: '{}%'}}",
            1 + rng.below(3),
            rng.below(101)
        ),
        1 => format!(", repeat: {{until: 'iteration >= {}', max: 3, otherwise: accept}}", 1 + rng.below(4)),
        2 => format!(", ask: {{agents: {}}}", 2 + rng.below(2)),
        _ => String::new(),
    }
}

/// A step that holds a few of its own.
fn block(rng: &mut Rng, index: usize, names: &str, fields: &str, text: &mut String) {
    // What undoes and repeats belongs to what it holds.
    let own: Vec<&str> = ["checkpoint", "critical", "when"]
        .into_iter()
        .filter_map(|name| fields.split(", ").find(|field| field.starts_with(name)))
        .collect();
    let own: String = own.iter().map(|field| format!(", {field}")).collect();
    let undo = if rng.percent(60) { ", compensate: {capability: d}" } else { "" };
    let (policy, held) = (POLICIES[rng.below(6) as usize], held(rng));
    let _ = writeln!(
        text,
        "- {{id: s{index}, depends_on: [{names}], output: {{'*': results.s{index}}}{own}, steps: [\
         {{id: p, capability: c, on_error: {policy}, output: {{'*': in.p}}{undo}}}, \
         {{id: q, capability: d, depends_on: [p], input: {{p: in.p}}{held}}}, \
         {{id: r, sleep: 1s, depends_on: [p]}}]}}",
    );
}

/// A change of the plan that somebody might want, whether it can be made or not.
fn change(rng: &mut Rng, state: &RunState) -> PlanPatch {
    let plan = state.plan();
    let some = |rng: &mut Rng| plan.path(rng.below(plan.len() as u64) as StepIndex);
    let step = |rng: &mut Rng, id: &str, on: &[&str]| {
        let held = if rng.percent(30) { r#", "map": {"over": "start.items"}"# } else { "" };
        let undo = if rng.percent(50) { r#", "compensate": {"capability": "d"}"# } else { "" };
        let on = on.iter().map(|on| format!("\"{on}\"")).collect::<Vec<_>>().join(", ");
        let text = format!(
            r#"{{"id": "{id}", "capability": "c", "depends_on": [{on}], "input": {{"n": {{"from": "start.n"}}}}{held}{undo}}}"#
        );
        serde_json::from_str::<Step>(&text).ok()
    };
    let (on, other) = (some(rng).to_string(), some(rng).to_string());
    let new = format!("n{}", rng.below(100_000));
    let mut patch = PlanPatch::default();
    if rng.percent(70) {
        patch.add.extend(step(rng, &new, &[&on]));
    }
    if rng.percent(30) {
        let on: &[&str] = if patch.add.is_empty() { &[] } else { &[&new] };
        patch.replace.extend(step(rng, &other, on));
    }
    if rng.percent(20) {
        patch.remove.extend(some(rng).as_str().parse().ok());
    }
    if rng.percent(20) {
        patch.max_concurrent_tasks = Some(1 + rng.below(4) as u32);
    }
    patch
}

/// Something that a person might want of a run at any time, whether it makes sense or not.
pub(super) fn whim(rng: &mut Rng, state: &RunState) -> Command {
    let works = [Work::Finish, Work::Leave, Work::Cancel];
    match rng.below(27) {
        24.. => Command::Patch { patch: Box::new(change(rng, state)) },
        0..2 => Command::Pause,
        2..5 => Command::PauseWork { work: works[rng.below(3) as usize] },
        5..7 => Command::Resume,
        7..10 => Command::Checkpoint { name: format!("c{}", rng.below(3)) },
        10..16 => {
            let named = state.checkpoints();
            let to = if named.is_empty() || rng.percent(50) {
                Point::Seq(1 + rng.below(state.seq()))
            } else {
                Point::Checkpoint(named[rng.below(named.len() as u64) as usize].0.clone())
            };
            Command::Rollback { to, compensate: rng.percent(80) }
        }
        16 => Command::Terminate,
        17 => Command::Cancel,
        18 => Command::Retry,
        19 => raise(rng),
        _ => answer(rng, state).unwrap_or(Command::Resume),
    }
}

/// What a person must do so that a run goes on; nothing if it goes on by itself.
pub(super) fn answer(rng: &mut Rng, state: &RunState) -> Option<Command> {
    if state.status() == RunStatus::Paused {
        return Some(Command::Resume);
    }
    let is_spent = |failure: &Failure| failure.kind == AgentErrorKind::BudgetSpent;
    let failed = state.failure().is_some_and(|(_, failure)| is_spent(failure));
    if state.asks_for_budget() || (failed && rng.percent(10)) {
        return Some(raise(rng));
    }
    if let Some((index, held)) = state.held().next() {
        let undoes = state.plan().undone_by(index).is_some();
        let verdict = match rng.below(5) {
            0 => Verdict::Done,
            1 => Verdict::Skip,
            2 if held.unknown.is_some() => Verdict::Ask,
            3 if !undoes => Verdict::Fail,
            _ => Verdict::Retry,
        };
        let step = state.plan().path(index).to_string();
        return Some(Command::Decide { step, verdict, output: Some(value("by hand")) });
    }
    let index = state.waiting().next()?;
    let step = state.plan().path(index).to_string();
    Some(match state.plan().step(index).kind() {
        StepKind::Approval(_) => Command::Approve { step, approved: rng.percent(70), data: None },
        StepKind::Sleep(_) | StepKind::WaitUntil(_) if rng.percent(95) => return None,
        _ => Command::Signal { step, answer: value("signalled") },
    })
}

/// More to spend.
fn raise(rng: &mut Rng) -> Command {
    Command::RaiseBudget { add: Amounts { money: 1 + rng.below(200), calls: rng.below(9), ..Amounts::default() } }
}

/// A moment soon, for steps that wait for one.
pub(super) fn soon(rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.below(5_000))
}

fn value(text: &str) -> Payload {
    Payload::Inline(Json::parse(format!("{{\"v\":\"{text}\"}}")).expect("valid JSON"))
}
