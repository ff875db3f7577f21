//! How a run is executed: flags, then what the workflow file says, then the environment, then the defaults.
//!
//! The environment speaks by `ORCHESTRATION_MODE` (`basic`; `enhanced`: chosen from the graph; `parallel`),
//! `ENABLE_PARALLEL_EXECUTION`, `PARALLEL_THRESHOLD` and `CONNECTION_POOL_SIZE`. `ENABLE_PARALLEL_EXECUTION=false` is a
//! brake: it beats the workflow file too, and only a flag beats it.

use std::str::FromStr;

use tutti_core::limits::MAX_WIDTH;
use tutti_core::workflow::{Executor, OnError, Workflow};

use crate::exit::{Failure, Result};

/// Most gRPC channels that may be kept.
const MAX_POOL_SIZE: usize = 10_000;

/// What the environment says about execution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    mode: Option<Executor>,
    parallel: Option<bool>,
    parallel_threshold: Option<u32>,
    /// Most gRPC channels kept for reuse.
    pub connection_pool_size: Option<usize>,
}

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
    executor: bool,
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

impl Environment {
    /// Reads the variables; an empty one counts as not set.
    ///
    /// # Errors
    /// Names the variable whose value is of no use.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let mode = set("ORCHESTRATION_MODE").map(|value| match value.to_ascii_lowercase().as_str() {
            "basic" => Ok(Executor::Basic),
            "enhanced" => Ok(Executor::Auto),
            "parallel" => Ok(Executor::Parallel),
            _ => Err(wrong("ORCHESTRATION_MODE", &value, "basic, enhanced or parallel")),
        });
        let parallel = set("ENABLE_PARALLEL_EXECUTION").map(|value| match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(wrong("ENABLE_PARALLEL_EXECUTION", &value, "true or false")),
        });
        let threshold = |value: String| number("PARALLEL_THRESHOLD", &value, 1..=u32::MAX);
        let pool_size = |value: String| number("CONNECTION_POOL_SIZE", &value, 1..=MAX_POOL_SIZE);
        Ok(Self {
            mode: mode.transpose()?,
            parallel: parallel.transpose()?,
            parallel_threshold: set("PARALLEL_THRESHOLD").map(threshold).transpose()?,
            connection_pool_size: set("CONNECTION_POOL_SIZE").map(pool_size).transpose()?,
        })
    }

    /// The environment of this process.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of_process() -> Result<Self> {
        Self::read(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }
}

/// The workflow with the settings by which this run of it is executed. What it defines stays as it is.
pub fn settled(workflow: &Workflow, explicit: Explicit, environment: &Environment, flags: Flags) -> Workflow {
    let mut settled = workflow.clone();
    settled.executor = match flags.executor {
        Some(executor) => executor,
        None if environment.parallel == Some(false) => Executor::Basic,
        None if explicit.executor => workflow.executor,
        None => environment.mode.unwrap_or(workflow.executor),
    };
    if let (false, Some(threshold)) = (explicit.parallel_threshold, environment.parallel_threshold) {
        settled.parallel_threshold = threshold;
    }
    settled.max_concurrent_tasks = flags.max_concurrent.unwrap_or(workflow.max_concurrent_tasks);
    settled.on_error = flags.on_error.or(workflow.on_error);
    settled
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

fn number<T>(name: &str, value: &str, range: std::ops::RangeInclusive<T>) -> Result<T>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let wanted = || format!("a whole number from {} to {}", range.start(), range.end());
    value.parse().ok().filter(|n| range.contains(n)).ok_or_else(|| wrong(name, value, &wanted()))
}

fn wrong(name: &str, value: &str, wanted: &str) -> Failure {
    let shown: String = value.chars().take(60).flat_map(char::escape_debug).collect();
    Failure::usage(format!("the environment variable {name} is \"{shown}\"; it takes {wanted}"))
        .next(format!("unset {name}, or give it another value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Result<Environment> {
        Environment::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn executor(file: &str, variables: &[(&str, &str)], flag: Option<Executor>) -> Executor {
        let text = format!("{{\"id\":\"w\",\"steps\":[{{\"id\":\"s\",\"capability\":\"c\"}}]{file}}}");
        let workflow = tutti_core::workflow::parse(&text).unwrap().workflow;
        let flags = Flags { executor: flag, ..Flags::default() };
        settled(&workflow, Explicit::of(&text), &environment(variables).unwrap(), flags).executor
    }

    #[test]
    fn a_flag_beats_the_file_beats_the_environment_beats_the_default() {
        let basic = ("ORCHESTRATION_MODE", "basic");
        assert_eq!(executor("", &[], None), Executor::Auto);
        assert_eq!(executor("", &[basic], None), Executor::Basic);
        assert_eq!(executor(r#","executor":"auto""#, &[basic], None), Executor::Auto);
        assert_eq!(executor(r#","executor":"parallel""#, &[basic], Some(Executor::Dynamic)), Executor::Dynamic);
        assert_eq!(executor("", &[("ORCHESTRATION_MODE", "Enhanced")], None), Executor::Auto);
    }

    #[test]
    fn parallel_execution_switched_off_beats_all_but_a_flag() {
        let off = [("ENABLE_PARALLEL_EXECUTION", "false"), ("ORCHESTRATION_MODE", "parallel")];
        assert_eq!(executor(r#","executor":"parallel""#, &off, None), Executor::Basic);
        assert_eq!(executor("", &off, Some(Executor::Parallel)), Executor::Parallel);
        assert_eq!(executor("", &[("ENABLE_PARALLEL_EXECUTION", "true"), off[1]], None), Executor::Parallel);
    }

    #[test]
    fn numbers_come_from_the_file_before_the_environment() {
        let environment = environment(&[("PARALLEL_THRESHOLD", "7"), ("CONNECTION_POOL_SIZE", "3")]).unwrap();
        assert_eq!(environment.connection_pool_size, Some(3));
        let threshold = |file: &str| {
            let workflow = tutti_core::workflow::parse(file).unwrap().workflow;
            settled(&workflow, Explicit::of(file), &environment, Flags::default()).parallel_threshold
        };
        assert_eq!(threshold(r#"{"id":"w","steps":[{"id":"s","capability":"c"}]}"#), 7);
        assert_eq!(threshold(r#"{"id":"w","parallel_threshold":3,"steps":[{"id":"s","capability":"c"}]}"#), 3);
    }

    #[test]
    fn a_useless_value_names_its_variable() {
        for (name, value) in [
            ("ORCHESTRATION_MODE", "fast"),
            ("ENABLE_PARALLEL_EXECUTION", "maybe"),
            ("PARALLEL_THRESHOLD", "0"),
            ("CONNECTION_POOL_SIZE", "many"),
        ] {
            let told = environment(&[(name, value)]).unwrap_err().to_string();
            assert!(told.contains(name) && told.contains(value), "{told}");
        }
        assert_eq!(environment(&[("ORCHESTRATION_MODE", " ")]).unwrap(), Environment::default());
    }
}
