//! The one command that runs all tests on a machine that has only Rust.

use crate::process::{Result, cargo, run as run_command};
use crate::{postgres, python};
use std::path::Path;

/// What the interoperability tests install: one line per package, as pip reads it.
const REQUIREMENTS: &str = "crates/adapters-grpc/tests/it/requirements.txt";

/// Where tests find the Python that has [`REQUIREMENTS`] installed.
const PYTHON_VARIABLE: &str = "TUTTI_TEST_PYTHON";

/// Prepares what the tests need, then runs them; `args` go to `cargo test`.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    postgres::ensure()?;
    let python = python::environment(&root.join(REQUIREMENTS), &root.join("target/test-venv"))?;
    run_command(cargo(root).args(test_arguments(args)).env(PYTHON_VARIABLE, python))
}

/// All packages, unless `args` choose some.
fn test_arguments(args: &[String]) -> Vec<&str> {
    let before_separator = args.iter().take_while(|arg| *arg != "--");
    let chosen = before_separator.into_iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package"));
    let mut all = vec!["test"];
    if !chosen {
        all.push("--workspace");
    }
    all.extend(args.iter().map(String::as_str));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(args: &[&str]) -> Vec<String> {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        test_arguments(&args).into_iter().map(String::from).collect()
    }

    #[test]
    fn all_packages_by_default() {
        assert_eq!(arguments(&[]), ["test", "--workspace"]);
        assert_eq!(arguments(&["--", "-p"]), ["test", "--workspace", "--", "-p"]);
    }

    #[test]
    fn a_chosen_package_alone() {
        assert_eq!(arguments(&["-p", "tutti-core"]), ["test", "-p", "tutti-core"]);
        assert_eq!(arguments(&["--package=tutti-core", "name"]), ["test", "--package=tutti-core", "name"]);
    }
}
