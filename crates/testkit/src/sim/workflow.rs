//! Random workflows, and what an uninterrupted run of one ends with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use tutti_core::ids::{Namespace, RequestId, RunId, StepPath};
use tutti_core::plan::{Plan, StepIndex, assemble_input, run_data};
use tutti_core::ports::agent::AgentErrorKind;
use tutti_core::run::{Origin, StepStatus};
use tutti_core::schedule::{StrategyDecision, StrategyReason};
use tutti_core::value::{Digest, Json, Payload};
use tutti_core::workflow::{Executor, OnError, OutputField, parse};
use tutti_engine::driver::CreateRun;

use super::rng::Rng;

/// A workflow of random shape that uses every field of a step, and what its agents do.
#[derive(Debug, Clone)]
pub struct Case {
    /// What runs.
    pub plan: Arc<Plan>,
    /// Steps that nobody can do.
    pub impossible: Vec<bool>,
    /// Steps whose agent asks a question; nobody answers unless the case recovers.
    pub asks: Vec<bool>,
    /// Agents fail for good too, and people answer and interfere.
    pub recovers: bool,
}

/// How an uninterrupted run of a case ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// State of each step.
    pub steps: Vec<StepStatus>,
    /// The run's data.
    pub data: Json,
}

/// Draws a case.
pub fn draw(rng: &mut Rng) -> Case {
    let count = 1 + rng.below(14) as usize;
    let mut text = format!(
        "id: case\nexecutor: {}\nmax_concurrent_tasks: {}\non_error: {}\ndata: {{start: {{n: {}}}}}\nsteps:\n",
        ["basic", "parallel", "dynamic"][rng.below(3) as usize],
        1 + rng.below(5),
        if rng.percent(85) { "continue" } else { "fail" },
        rng.below(1_000),
    );
    for index in 0..count {
        step(rng, index, &mut text);
    }
    let plan = Plan::new(parse(&text).expect("the generator writes valid workflows").workflow).expect("a valid plan");
    let troubled = rng.percent(25);
    let impossible = (0..count).map(|_| troubled && rng.percent(10)).collect();
    let silent = rng.percent(5);
    let asks = (0..count).map(|_| silent && rng.percent(10)).collect();
    Case { plan, impossible, asks, recovers: false }
}

fn step(rng: &mut Rng, index: usize, text: &mut String) {
    let mut on: Vec<usize> = (0..index).filter(|_| rng.percent(30)).collect();
    on.truncate(4);
    let names = on.iter().map(|i| format!("s{i}")).collect::<Vec<_>>().join(", ");
    let mut input = String::from("n: start.n, fixed: {value: [1, 2]}, none: {from: start.nothing, required: false}");
    for i in &on {
        let _ = write!(input, ", from{i}: results.s{i}");
    }
    let pinned =
        if rng.percent(20) { format!(", agent: {}", ["x", "y"][rng.below(2) as usize]) } else { String::new() };
    let _ = writeln!(
        text,
        "- {{id: s{index}, capability: {}, action: act, stage: stage {}, depends_on: [{names}], input: {{{input}}}, \
         output: {{'v': results.s{index}, w: {{to: extra.s{index}, optional: true}}}}, timeout: {}s, \
         retry: {{max_attempts: {}, backoff: {}ms, backoff_factor: 2, max_backoff: 5s, jitter: 0.5}}, priority: {}, \
         parallel_safe: {}, estimated_duration: 1s, critical: {}{pinned}}}",
        ["c", "d"][rng.below(2) as usize],
        index / 3,
        5 + rng.below(30),
        2 + rng.below(3),
        100 + rng.below(2_000),
        ["low", "normal", "high"][rng.below(3) as usize],
        rng.percent(85),
        rng.percent(20),
    );
}

impl Case {
    /// A run of this case, to be created.
    #[must_use]
    pub fn create(&self, run: RunId, request: RequestId, executor: Executor) -> CreateRun {
        let workflow = self.plan.workflow();
        CreateRun {
            run,
            namespace: Namespace::default(),
            request,
            plan: self.plan.clone(),
            data: Payload::Inline(workflow.data.clone()),
            policy: tutti_engine::executors::policy(workflow, executor),
            strategy: StrategyDecision {
                executor,
                reason: StrategyReason::Requested,
                potential_improvement: None,
                system_load: None,
                available_workers: None,
            },
            origin: Origin::default(),
            key_from: None,
            turn: None,
            forked: None,
        }
    }

    /// The output of a step for an input: the same whenever, wherever and however often it is asked.
    #[must_use]
    pub fn output(step: &StepPath, input: &Json) -> Json {
        let hash = Digest::of(format!("{step} {}", input.as_str()).as_bytes());
        // Some outputs are too large for the history.
        let filler = if hash.as_bytes()[0] < 20 { "x".repeat(10_000) } else { String::new() };
        Json::parse(format!(r#"{{"v":{{"hash":"{hash}","filler":"{filler}"}}}}"#)).expect("valid JSON")
    }

    /// The output of a step of a case that recovers: it names the message that asked for it.
    #[must_use]
    pub fn signed_output(step: &StepPath, input: &Json, message: &str) -> Json {
        let output = Self::output(step, input);
        Json::parse(format!(r#"{{"message":"{message}","output":{}}}"#, output.as_str())).expect("valid JSON")
    }

    /// The answer of an agent that tells all that it was given, in every field that the step's output mapping names.
    #[must_use]
    pub fn answer(plan: &Plan, step: StepIndex, data: &Json, outputs: &BTreeMap<StepIndex, Json>) -> Json {
        let read: Vec<&str> = outputs.values().map(Json::as_str).collect();
        let hash = Digest::of(format!("{} {} {}", plan.path(step), data.as_str(), read.join(" ")).as_bytes());
        let names = plan.step(step).output.keys().filter_map(|field| match field {
            OutputField::Member(name) => Some(name.as_str()),
            OutputField::Whole => None,
        });
        let fields: Vec<String> = names.chain(["v"]).map(|name| format!("\"{name}\":\"{hash}\"")).collect();
        Json::parse(format!("{{{}}}", fields.join(","))).expect("valid JSON")
    }

    /// What comes beside an output: nothing for one step in three, up to two artifacts for the others.
    #[must_use]
    pub fn artifacts(step: StepIndex, output: &Json) -> Vec<Bytes> {
        let hash = Digest::of(output.bytes());
        (0..step % 3).map(|number| Bytes::from(format!("artifact {number} of step {step}: {hash}"))).collect()
    }

    /// The failure of a step that nobody can do.
    #[must_use]
    pub const fn impossible_kind() -> AgentErrorKind {
        AgentErrorKind::InvalidInput
    }

    /// True if every run of this case must end the same: nothing depends on which step fails first or on a person.
    #[must_use]
    pub fn is_determined(&self) -> bool {
        let fails = self.impossible.contains(&true);
        let stops = self.plan.workflow().on_error == Some(OnError::Fail);
        let waits = self.asks.contains(&true);
        !(self.recovers || waits || fails && stops)
    }

    /// What an uninterrupted run ends with.
    #[must_use]
    pub fn reference(&self) -> Reference {
        let start = &self.plan.workflow().data;
        let mut steps = vec![StepStatus::Pending; self.plan.len()];
        let mut outputs: Vec<Option<Json>> = vec![None; self.plan.len()];
        for &index in self.plan.topology().order() {
            let at = index as usize;
            let all_done = self.plan.topology().dependencies(index).iter().all(|on| outputs[*on as usize].is_some());
            steps[at] = match (all_done, self.impossible[at]) {
                (false, _) => StepStatus::Skipped,
                (true, true) => StepStatus::Failed,
                (true, false) => {
                    let input = assemble_input(&self.plan, index, start, |i| outputs[i as usize].clone());
                    outputs[at] =
                        Some(Self::output(&self.plan.path(index), &input.expect("no field is required").value));
                    StepStatus::Completed
                }
            };
        }
        let data = run_data(&self.plan, start, |i| outputs[i as usize].clone());
        Reference { steps, data }
    }
}
