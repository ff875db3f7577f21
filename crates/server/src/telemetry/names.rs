//! Every name that telemetry gives to something. `docs/observability.md` lists them, as a test says.

/// Attributes of spans, and labels of metrics.
pub mod key {
    pub const RUN: &str = "tutti.run.id";
    pub const NAMESPACE: &str = "tutti.namespace";
    pub const WORKFLOW: &str = "tutti.workflow.id";
    pub const VERSION: &str = "tutti.workflow.version";
    pub const SESSION: &str = "tutti.session.id";
    pub const GENERATION: &str = "tutti.run.generation";
    pub const STATE: &str = "tutti.run.state";
    pub const STEPS: &str = "tutti.run.steps";
    pub const EFFICIENCY: &str = "tutti.run.parallel_efficiency";
    pub const EXECUTOR: &str = "tutti.plan.executor";
    pub const REASON: &str = "tutti.plan.reason";
    pub const PHASE: &str = "tutti.phase";
    pub const PRESET: &str = "tutti.preset";
    pub const STEP: &str = "tutti.step.path";
    pub const CAPABILITY: &str = "tutti.step.capability";
    pub const ATTEMPT: &str = "tutti.attempt.number";
    pub const AGENT: &str = "tutti.agent.id";
    pub const TASK: &str = "tutti.agent.task.id";
    pub const COST: &str = "tutti.usage.cost";
    /// As OpenTelemetry's semantic conventions name it.
    pub const TOKENS_IN: &str = "gen_ai.usage.input_tokens";
    /// As OpenTelemetry's semantic conventions name it.
    pub const TOKENS_OUT: &str = "gen_ai.usage.output_tokens";
    /// As OpenTelemetry's semantic conventions name it.
    pub const TOKEN_TYPE: &str = "gen_ai.token.type";
    pub const RESULT: &str = "tutti.result";
    pub const COMMIT_FIRST: &str = "tutti.commit.first_seq";
    pub const COMMIT_EVENTS: &str = "tutti.commit.events";
    pub const COMMIT_BYTES: &str = "tutti.commit.bytes";
    pub const COMMIT_RUNS: &str = "tutti.commit.batch_runs";
    pub const DROPPED: &str = "tutti.telemetry.what";
    /// As OpenTelemetry's semantic conventions name it.
    pub const ERROR: &str = "error.type";

    /// Every attribute and label.
    #[cfg(test)]
    pub const ALL: &[&str] = &[
        RUN,
        NAMESPACE,
        WORKFLOW,
        VERSION,
        SESSION,
        GENERATION,
        STATE,
        STEPS,
        EFFICIENCY,
        EXECUTOR,
        REASON,
        PHASE,
        PRESET,
        STEP,
        CAPABILITY,
        ATTEMPT,
        AGENT,
        TASK,
        COST,
        TOKENS_IN,
        TOKENS_OUT,
        TOKEN_TYPE,
        RESULT,
        COMMIT_FIRST,
        COMMIT_EVENTS,
        COMMIT_BYTES,
        COMMIT_RUNS,
        DROPPED,
        ERROR,
    ];
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name in OpenTelemetry.
    pub name: &'static str,
    /// Its unit (UCUM).
    pub unit: &'static str,
    /// What it counts.
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $unit:literal, $meaning:literal;)+) => {
        $(pub const $constant: Metric = Metric { name: $name, unit: $unit, meaning: $meaning };)+

        /// Every metric.
        #[cfg(test)]
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    RUNS_STARTED = "tutti.runs.started", "{run}", "Runs that were created";
    RUNS_ENDED = "tutti.runs.ended", "{run}", "Runs that ended, by the state in which they did";
    RUNS_ACTIVE = "tutti.runs.active", "{run}", "Runs that this process drives and that have not ended";
    RUNS_STALLED = "tutti.runs.stalled", "{run}", "Runs that this process drives and that make no progress though they should";
    RUN_DURATION = "tutti.run.duration", "s", "From the creation of a run, or its reopening, to its end";
    RUN_EFFICIENCY = "tutti.run.parallel_efficiency", "1", "1 - first attempt to last step's end of a completed run / sum of its steps' durations";
    PLANS = "tutti.plan.decisions", "{run}", "Runs by the executor that they got, and why";
    STEPS_ENDED = "tutti.steps.ended", "{step}", "Steps that ended, by capability and result";
    QUALITY_ASSESSED = "tutti.quality.assessed", "{answer}", "Answers that were judged, by verdict";
    QUALITY_SCORE = "tutti.quality.score", "1", "Overall scores of answers that were judged, by verdict";
    ATTEMPT_DURATION = "tutti.attempt.duration", "s", "Attempts that ended, by agent and result: how long they took";
    USAGE_COST = "tutti.usage.cost", "{currency}", "What agents reported that attempts cost, by workflow and capability";
    USAGE_TOKENS = "tutti.usage.tokens", "{token}", "Tokens that agents reported, by workflow, capability and whether they were read or written";
    ATTEMPTS_IN_FLIGHT = "tutti.attempts.in_flight", "{attempt}", "Attempts under way, without those that wait for somebody";
    COMMIT_DURATION = "tutti.commit.duration", "s", "Calls of the store that commit a batch: how long they took";
    COMMIT_RUNS = "tutti.commit.runs", "{run}", "Runs in the batches that the store was asked to commit";
    COMMIT_EVENTS = "tutti.commit.events", "{event}", "Events in them";
    COMMIT_SIZE = "tutti.commit.size", "By", "Bytes of these events";
    CONNECTIONS_OPENED = "tutti.agent.connections.opened", "{connection}", "Connections to agents that were opened";
    CONNECTIONS_REUSED = "tutti.agent.connections.reused", "{request}", "Requests that went over a connection opened before";
    CONNECTIONS_HELD = "tutti.agent.connections.held", "{connection}", "Channels to agents that are held for reuse";
    BREAKER = "tutti.agent.breaker", "1", "The circuit breaker of each agent: 0 closed, 1 half-open, 2 open";
    BREAKER_OPENED = "tutti.agent.breaker.opened", "{opening}", "How often the circuit breaker of each agent opened";
    AGENT_IN_FLIGHT = "tutti.agent.in_flight", "{attempt}", "Attempts that this process has under way at each agent";
    WAITING = "tutti.agent.waiting", "{run}", "Runs that wait because no agent with a capability can be asked, by capability";
    SPANS_CREATED = "tutti.telemetry.spans.created", "{span}", "Spans that were made";
    SPANS_EXPORTED = "tutti.telemetry.spans.exported", "{span}", "Spans that the OTLP receiver took";
    SPANS_OPEN = "tutti.telemetry.spans.open", "{span}", "Spans that have begun and not ended";
    DROPPED = "tutti.telemetry.dropped", "{item}", "What telemetry had no room for, or could not deliver";
    PURGED_RUNS = "tutti.retention.runs", "{run}", "Runs that were purged";
    PURGED_EVENTS = "tutti.retention.events", "{event}", "Events of these runs";
    SWEPT = "tutti.retention.orphans", "{item}", "Payloads and definitions of no run that were removed";
    CPU_TIME = "process.cpu.time", "s", "Time that this process spent on processors";
    MEMORY = "process.memory.usage", "By", "Physical memory of this process";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_observability_lists_every_name() {
        let page = include_str!("../../../../docs/observability.md");
        for metric in ALL {
            let row = format!("| `{}` | {} |", metric.name, metric.unit);
            assert!(page.contains(&row), "{row} is not in docs/observability.md");
        }
        for key in key::ALL {
            assert!(page.contains(&format!("`{key}`")), "{key} is not in docs/observability.md");
        }
    }
}
