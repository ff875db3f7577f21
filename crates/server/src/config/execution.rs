//! How a run is executed: flags, then what the workflow file says, then the configuration.
//!
//! `execution.parallel = false` is a brake: it beats the workflow file too, and only a flag beats it.

use tutti_core::limits::MAX_WIDTH;
use tutti_core::workflow::{Executor, OnError, Workflow};

use super::ExecutionConfig;

/// What the flags say about execution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--executor`.
    pub executor: Option<Executor>,
    /// `--max-concurrent`.
    pub max_concurrent: Option<u32>,
    /// `--on-error`.
    pub on_error: Option<OnError>,
}

/// Which settings the workflow file itself makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Explicit {
    /// It names its executor.
    pub executor: bool,
    parallel_threshold: bool,
}

impl Explicit {
    /// Looks into a workflow file, as JSON.
    pub fn of(file: &str) -> Self {
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(file).unwrap_or_default();
        let has = |name| members.contains_key(name);
        Self { executor: has("executor"), parallel_threshold: has("parallel_threshold") }
    }
}

/// The workflow with the settings by which this run of it is executed. What it defines stays as it is.
pub fn settled(workflow: &Workflow, explicit: Explicit, config: &ExecutionConfig, flags: Flags) -> Workflow {
    let mut settled = workflow.clone();
    settled.executor = match flags.executor {
        Some(executor) => executor,
        None if !config.parallel => Executor::Basic,
        None if explicit.executor => workflow.executor,
        None => config.mode.executor(),
    };
    if !explicit.parallel_threshold {
        settled.parallel_threshold = config.parallel_threshold;
    }
    settled.max_concurrent_tasks = flags.max_concurrent.unwrap_or(workflow.max_concurrent_tasks);
    settled.on_error = flags.on_error.or(workflow.on_error);
    settled
}

/// What a server makes of the executor that a request asks for. The brake is the operator's, who stands above callers.
pub const fn server_executor(asked: Executor, config: &ExecutionConfig) -> Executor {
    match asked {
        _ if !config.parallel => Executor::Basic,
        Executor::Auto => config.mode.executor(),
        asked => asked,
    }
}

/// Reads `--max-concurrent`.
///
/// # Errors
/// Says which numbers are taken.
pub fn max_concurrent(text: &str) -> std::result::Result<u32, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=MAX_WIDTH).contains(n))
        .ok_or_else(|| format!("not a number from 1 to {MAX_WIDTH}"))
}

#[cfg(test)]
mod tests {
    use super::super::sections::Mode;
    use super::*;

    fn executor(file: &str, mode: Mode, parallel: bool, flag: Option<Executor>) -> Executor {
        let text = format!("{{\"id\":\"w\",\"steps\":[{{\"id\":\"s\",\"capability\":\"c\"}}]{file}}}");
        let workflow = tutti_core::workflow::parse(&text).unwrap().workflow;
        let flags = Flags { executor: flag, ..Flags::default() };
        let config = ExecutionConfig { mode, parallel, ..ExecutionConfig::default() };
        settled(&workflow, Explicit::of(&text), &config, flags).executor
    }

    #[test]
    fn a_flag_beats_the_file_beats_the_configuration() {
        assert_eq!(executor("", Mode::Enhanced, true, None), Executor::Auto);
        assert_eq!(executor("", Mode::Basic, true, None), Executor::Basic);
        assert_eq!(executor(r#","executor":"auto""#, Mode::Basic, true, None), Executor::Auto);
        let flag = Some(Executor::Dynamic);
        assert_eq!(executor(r#","executor":"parallel""#, Mode::Basic, true, flag), Executor::Dynamic);
    }

    #[test]
    fn parallel_execution_switched_off_beats_all_but_a_flag() {
        assert_eq!(executor(r#","executor":"parallel""#, Mode::Parallel, false, None), Executor::Basic);
        assert_eq!(executor("", Mode::Parallel, false, Some(Executor::Parallel)), Executor::Parallel);
        assert_eq!(executor("", Mode::Parallel, true, None), Executor::Parallel);
    }

    #[test]
    fn a_server_fills_in_what_a_request_leaves_open() {
        let config = ExecutionConfig { mode: Mode::Parallel, ..ExecutionConfig::default() };
        assert_eq!(server_executor(Executor::Auto, &config), Executor::Parallel);
        assert_eq!(server_executor(Executor::Dynamic, &config), Executor::Dynamic);
        let braked = ExecutionConfig { parallel: false, ..config };
        assert_eq!(server_executor(Executor::Dynamic, &braked), Executor::Basic);
    }

    #[test]
    fn the_threshold_comes_from_the_file_before_the_configuration() {
        let config = ExecutionConfig { parallel_threshold: 7, ..ExecutionConfig::default() };
        let threshold = |file: &str| {
            let workflow = tutti_core::workflow::parse(file).unwrap().workflow;
            settled(&workflow, Explicit::of(file), &config, Flags::default()).parallel_threshold
        };
        assert_eq!(threshold(r#"{"id":"w","steps":[{"id":"s","capability":"c"}]}"#), 7);
        assert_eq!(threshold(r#"{"id":"w","parallel_threshold":3,"steps":[{"id":"s","capability":"c"}]}"#), 3);
    }
}
