//! Every bound of the product, in one place, with its reason.

use std::time::Duration;

/// Most checkpoints by name that a run may have; each is an event, and a line in its state.
pub const MAX_CHECKPOINTS: usize = 10_000;

/// Slots that runs hash to. Fixed for ever: stored rows carry the slot.
pub const SLOTS: u16 = 1024;

/// Longest name of a step, workflow, agent or capability, in bytes. Fits a B-tree key many times over.
pub const MAX_NAME_LEN: usize = 200;

/// Longest path of a step that others hold, in bytes.
pub const MAX_STEP_PATH_LEN: usize = 2_000;

/// Most steps in a workflow: at this size a plan is still validated in seconds and held in memory.
pub const MAX_STEPS: usize = 100_000;

/// Most dependencies (edges) in a workflow.
pub const MAX_EDGES: usize = 1_000_000;

/// Largest workflow file, in bytes.
pub const MAX_WORKFLOW_BYTES: usize = 64 * 1024 * 1024;

/// Deepest nesting of a JSON or YAML value; the depth at which serde_json stops as well.
pub const MAX_DEPTH: usize = 128;

/// Largest single value (an input, a step's output, an artifact), in bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes that the outputs and artifacts of one run may have together, beside the data it starts with.
pub const MAX_RUN_BYTES: u64 = 256 * 1024 * 1024;

/// Values up to this size, in bytes, stand in the history itself; larger ones go to the payload store.
pub const INLINE_BYTES: usize = 8 * 1024;

/// Most artifacts that one attempt may return.
pub const MAX_ARTIFACTS: usize = 1_000;

/// Most quality scores that one answer may have.
pub const MAX_METRICS: usize = 64;

/// Largest weight of a quality metric.
pub const MAX_WEIGHT: f64 = 1_000.0;

/// Longest name of a quality score, in bytes.
pub const MAX_METRIC_NAME: usize = 64;

/// Most events of one attempt that an agent may send: at ten a second more than a day.
pub const MAX_TASK_EVENTS: u32 = 1_000_000;

/// Longest timeout of an attempt, a run or a wait.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Most attempts of one step.
pub const MAX_ATTEMPTS: u32 = 100;

/// Most times that a step is repeated by its `repeat`.
pub const MAX_ITERATIONS: u32 = 1_000;

/// How often a step is repeated at most, if its `repeat` says nothing.
pub const DEFAULT_ITERATIONS: u32 = 10;

/// Most agents that one step asks at once.
pub const MAX_ASKED: u32 = 100;

/// Items of a list that are worked on at once, if the `map` says nothing.
pub const DEFAULT_MAP_WIDTH: u32 = 16;

/// Deepest nesting of steps that hold others.
pub const MAX_NESTING: usize = 8;

/// Most steps that a run may have in all, with those that were added while it ran and those for items of lists.
pub const MAX_RUN_STEPS: usize = 1_000_000;

/// Largest back-off factor.
pub const MAX_BACKOFF_FACTOR: f64 = 100.0;

/// Most steps of one run in flight at once.
pub const MAX_WIDTH: u32 = 10_000;

/// Longest text of an error or a status kept in the history, in bytes; agents may send more.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024;

/// Most characters of a path in a run's data.
pub const MAX_PATH_LEN: usize = 1_000;

/// Longest expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 4 * 1024;

/// Deepest nesting of an expression; its reading and evaluation take the stack for it.
pub const MAX_EXPRESSION_DEPTH: usize = 48;

/// Steps that the evaluation of an expression may take: some milliseconds. What it makes is bounded by them as well.
pub const MAX_EXPRESSION_STEPS: u32 = 200_000;

/// Most bytes of a run's data that one expression may read.
pub const MAX_EXPRESSION_INPUT: usize = 1024 * 1024;

/// Memory of a pattern in an expression, in bytes.
pub const MAX_EXPRESSION_PATTERN: usize = 256 * 1024;

/// Most results of one step that are compared with one another to find a consensus.
pub const MAX_CONSENSUS_MEMBERS: usize = 1_000;

/// Most problems reported for one file: beyond this, more would not help a reader.
pub const MAX_PROBLEMS: usize = 100;

/// Most edges walked to order the steps that write and read a run's data. A workflow that needs more is refused.
pub const MAX_ORDER_WALK: usize = 50_000_000;

/// Claims of a run without progress after which the next one sets it aside: it took its owner down as often.
pub const MAX_CLAIMS: u32 = 3;

/// Longest that an input that need not be durable at once (a remote task id) waits for company.
pub const DEFER: Duration = Duration::from_millis(50);

/// Most runs in one commit, and most bytes of events in it; keeps one statement below a few milliseconds.
pub const MAX_COMMIT_RUNS: usize = 1_000;
/// See [`MAX_COMMIT_RUNS`].
pub const MAX_COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// Request ids of commands that a run remembers, newest ones, so that a repeated command is applied once.
pub const REMEMBERED_REQUESTS: usize = 100;

/// Longest name of a document that stores keep by name (a workflow's id and version), in bytes.
pub const MAX_RECORD_NAME: usize = 1_024;

/// Largest document that stores keep by name, in bytes: a workflow file and what is said of it.
pub const MAX_RECORD_BYTES: usize = MAX_WORKFLOW_BYTES + 1024 * 1024;

/// Longest filter of a list, in bytes.
pub const MAX_FILTER_BYTES: usize = 4 * 1024;

/// Most terms of a filter.
pub const MAX_FILTER_TERMS: usize = 32;

/// Most new plans that may follow a failed run, one after the other: what fails so often needs a person.
pub const MAX_REPLANS: u32 = 10;

/// Completed runs of a workflow whose steps' times are kept, to estimate the next ones: enough for a 90th percentile, and
/// few enough to follow a change.
pub const LEARNED_RUNS: usize = 32;

/// Most steps of a workflow whose times are kept; those of a larger one are not, since their document would be written
/// for each.
pub const MAX_LEARNED_STEPS: usize = 1_000;

/// Most labels of a run.
pub const MAX_LABELS: usize = 32;

/// Longest value of a label, in bytes.
pub const MAX_LABEL_VALUE: usize = 200;

/// Completed runs of a session whose shared values a new run gets, newest ones.
pub const MAX_SESSION_RUNS: usize = 100;

/// Default time without a run after which a session is over.
pub const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Default number of runs that a server drives at once. What comes beyond waits in the store.
pub const DEFAULT_LIVE_RUNS: usize = 10_000;

/// Default number of runs of a namespace that may wait in the queue; who brings more is sent away.
pub const DEFAULT_QUEUED_RUNS: u64 = 100_000;

/// Head start that each priority has over the next in the queue: one that waited so much longer goes first, whatever its
/// priority.
pub const AGEING: Duration = Duration::from_secs(10 * 60);

/// A run that has nothing to do for longer than this leaves memory until its moment or an input comes.
pub const REST: Duration = Duration::from_secs(60);

/// Runs that are loaded at once, by a server that takes them over or wakes them.
pub const LOADS: usize = 32;

/// Events after a snapshot before the next one is considered.
pub const SNAPSHOT_EVENTS: u64 = 1_000;

/// Most events answered by one read of a run's history.
pub const EVENTS_PAGE: usize = 1_000;

/// Longest that a server waits at its start for a database that is away: one that starts, or moves to another host, is there
/// by then.
pub const STORE_PATIENCE: Duration = Duration::from_secs(60);

/// Longest that a caller who starts a run or commands one waits for a store that does not answer. What was asked may happen
/// still, and the same request asked again tells.
pub const STORE_ANSWER: Duration = Duration::from_secs(15);

/// Most runs that one request purges, and most events of them, a single run aside: it answers in seconds.
pub const MAX_PURGE_RUNS: usize = 500;
/// See [`MAX_PURGE_RUNS`].
pub const MAX_PURGE_EVENTS: u64 = 20_000;

/// Most events that a purge removes in one transaction, a single run aside: others wait for it as for a large commit.
pub const PURGE_EVENTS: u64 = 2_000;

/// Age of a run's id from which payloads that no run has are removed: the run does not come any more.
pub const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);

/// Most attempts in a rate limit, and the longest span that it is told for.
pub const MAX_RATE_CALLS: u32 = 1_000_000;
/// See [`MAX_RATE_CALLS`].
pub const MAX_RATE_SPAN: Duration = Duration::from_secs(24 * 3600);

/// Most steps of a run that wait for an agent while those behind them are looked at. A place that becomes free costs no more
/// than this, however many steps wait.
pub const MAX_PASSED_OVER: usize = 1_000;

/// Most steps of a run that one explanation tells of: what fits on a few pages.
pub const MAX_EXPLAINED_STEPS: usize = 20;

/// Most runs of the queue that are counted to tell a run its place.
pub const MAX_QUEUE_LOOK: usize = 1_000;

/// Most failed attempts of a step that an explanation tells of, newest ones.
pub const MAX_EXPLAINED_ATTEMPTS: usize = 10;

/// Shortest and longest time for which a busy agent is left alone, whatever it asks for.
pub const MIN_RETRY_HINT: Duration = Duration::from_millis(100);
/// See [`MIN_RETRY_HINT`].
pub const MAX_RETRY_HINT: Duration = Duration::from_secs(3600);

/// Most agents that an event names as passed over, with the reason for each.
pub const MAX_PASSED_AGENTS: usize = 8;

/// Most attempts of a step that do not count because an agent was busy. From then on they do.
pub const MAX_UNCOUNTED_ATTEMPTS: u32 = 1_000;

/// Default time between two looks at whether runs make progress: a look costs a few milliseconds with 10,000 runs in memory.
pub const DEFAULT_WATCHDOG_INTERVAL: Duration = Duration::from_secs(30);
/// Default time by which what should happen in a run may be late before it is told: longer than a busy machine or a short
/// outage of a store takes.
pub const DEFAULT_STALL_GRACE: Duration = Duration::from_secs(60);
/// Most runs that one look tells of in the log; the metric counts all.
pub const MAX_STALLS_TOLD: usize = 10;
/// A run that still makes no progress is told of again after this time.
pub const STALL_TOLD_AGAIN: Duration = Duration::from_secs(600);

/// Default number of failures in a row after which an agent's breaker opens.
pub const DEFAULT_BREAKER_FAILURES: u32 = 5;
/// Default time for which an open breaker keeps an agent from being asked, until one attempt tries it.
pub const DEFAULT_BREAKER_REST: Duration = Duration::from_secs(30);

/// Default time in which the members of a step whose results become one must be done.
pub const DEFAULT_GROUP_WAIT: Duration = Duration::from_secs(60);
/// Default timeout of an attempt.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Default timeout of a run.
pub const DEFAULT_RUN_TIMEOUT: Duration = Duration::from_secs(3600);
/// Default number of attempts of a step.
pub const DEFAULT_ATTEMPTS: u32 = 3;
/// Default number of times that a step which failed for good is begun anew under `on_error: retry`.
pub const DEFAULT_RECOVERIES: u32 = 3;
/// Default wait before the second attempt.
pub const DEFAULT_BACKOFF: Duration = Duration::from_secs(1);
/// Default factor by which the wait grows with each attempt.
pub const DEFAULT_BACKOFF_FACTOR: f64 = 2.0;
/// Default longest wait between attempts.
pub const DEFAULT_MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Default share of the wait that is drawn by chance.
pub const DEFAULT_JITTER: f64 = 0.2;
/// Default number of steps of one run in flight.
pub const DEFAULT_WIDTH: u32 = 4;
/// Default share of a budget from which a warning is recorded, in hundredths.
pub const DEFAULT_BUDGET_WARNING: u32 = 80;
/// Most of anything that one attempt is reckoned with: what as many attempts as may be under way are reckoned with can be added up.
pub const MAX_RESERVED: u64 = 1 << 48;
/// Default number of mutually independent steps from which strategy `auto` runs in parallel.
pub const DEFAULT_PARALLEL_THRESHOLD: u32 = 3;
