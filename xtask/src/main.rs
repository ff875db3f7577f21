//! Project chores: `cargo xtask ci`, `cargo xtask test`, `cargo xtask tidy`, and measuring and simulating.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod apt;
mod ci;
mod fuzz;
mod postgres;
mod process;
mod python;
mod test;
mod tidy;
mod upgrade;

use std::process::ExitCode;

const HELP: &str = "\
Project chores. Usage: cargo xtask COMMAND

  ci             everything a change must pass: fmt, clippy, tidy, docs, test, chaos; stops at the first failure
  test [ARGS]    prepare what the tests need, then run all of them; ARGS go to `cargo test`
  bench [ARGS]   measure the engine: --quick, --only W1,W3, --store memory,sqlite,postgres, --in-flight 1,256 (of W1),
                 --json FILE, --against FILE;
                 a PostgreSQL server is started for it, or is the one that TUTTI_BENCH_DATABASE_URL names
  bench api      measure a server as its clients see it: --quick or --json FILE
  bench purge    measure how runs that have ended are removed beside live ones: --events N (5000000), --store sqlite,postgres
  bench open-runs  measure how a server comes up over very many open runs that another left: --runs N (100000), --live N,
                 --seconds N (600), --store sqlite,postgres
  figures        run known schedules at a twentieth of their length and check what they take; --quick checks less
  chaos [ARGS]   kill and stop servers that share a PostgreSQL, cut them off from it, swallow its answers and restart it,
                 while callers go on; then check what is promised: --minutes N (1), --seed S,
                 --patience TIMES (1) for bounds on time, on a machine with much else to do
  upgrade [ARGS] replace servers one by one by those of an earlier revision and back, while callers go on; then check what is
                 promised: --from REV (the revision before), --seed S
  sim [ARGS]     simulate faults: --seeds N [--from S] for many, --seed S for one with everything that happened
  docs           write the generated parts of docs/ anew: workflow reference, commands, limits, states
  fuzz [ARGS]    try odd inputs: TARGET (workflow, mapping, events; all unless named), --seconds N (60)
  tidy           check the rules that no compiler checks
  help           this text
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", &[][..]),
    };
    let done = match (command, rest) {
        ("help" | "-h" | "--help", _) => {
            print!("{HELP}");
            Ok(())
        }
        ("ci", []) => process::workspace_root().and_then(|root| ci::run(&root)),
        ("test", rest) => process::workspace_root().and_then(|root| test::run(&root, rest)),
        ("bench", rest) => {
            // The server that is measured stands beside the program that measures.
            let server = rest.first().is_some_and(|first| first == "api");
            let built = if server { build_server() } else { Ok(()) };
            built.and_then(|()| release(&["-p", "tutti-bench"], rest))
        }
        ("figures", rest) => {
            let rest: Vec<String> = std::iter::once("figures".to_owned()).chain(rest.iter().cloned()).collect();
            let is_quick = rest.iter().any(|word| word == "--quick");
            release(&["-p", "tutti-bench"], &rest).and_then(|()| if is_quick { Ok(()) } else { figures_of_tests() })
        }
        ("chaos", rest) => chaos(rest),
        ("upgrade", rest) => process::workspace_root().and_then(|root| upgrade::run(&root, rest)),
        ("sim", rest) => release(&["-p", "tutti-testkit", "--example", "simulate"], rest),
        ("docs", []) => process::workspace_root().and_then(|root| write_docs(&root)),
        ("fuzz", rest) => process::workspace_root().and_then(|root| fuzz::run(&root, rest)),
        ("tidy", []) => process::workspace_root().and_then(|root| tidy::run(&root)),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The test that compares the generated parts of documents writes them when told so.
fn write_docs(root: &std::path::Path) -> process::Result<()> {
    let test = ["test", "--quiet", "-p", "tutti-server", "--test", "it", "--", "docs::generated"];
    process::run(process::cargo(root).args(test).env("TUTTI_WRITE_DOCS", "1"))
}

/// Figures that need a real A2A agent or a whole server stand in tests: reuse of connections, logs that bear their trace.
fn figures_of_tests() -> process::Result<()> {
    let root = process::workspace_root()?;
    let tests =
        [("tutti-adapters-grpc", "connections_are_reused"), ("tutti-server", "the_log_is_in_the_trace_of_the_run")];
    for (package, test) in tests {
        println!("{test}:");
        process::run(process::cargo(&root).args(["test", "--quiet", "-p", package, "--test", "it", "--", test]))?;
    }
    Ok(())
}

fn build_server() -> process::Result<()> {
    let root = process::workspace_root()?;
    process::run(process::cargo(&root).args(["build", "--release", "--quiet", "-p", "tutti-server"]))
}

/// Builds the server as tests have it, with the assertions of debug builds, and lets chaos rule over it.
fn chaos(args: &[String]) -> process::Result<()> {
    let root = process::workspace_root()?;
    postgres::ensure()?;
    process::run(process::cargo(&root).args(["build", "--quiet", "-p", "tutti-server", "-p", "tutti-bench"]))?;
    let words = ["run", "--quiet", "-p", "tutti-bench", "--", "chaos"].into_iter();
    process::run(process::cargo(&root).args(words.chain(args.iter().map(String::as_str))))
}

/// Builds a program of the workspace as it is released, and runs it.
fn release(which: &[&str], args: &[String]) -> process::Result<()> {
    let root = process::workspace_root()?;
    let args = args.iter().map(String::as_str);
    let words = ["run", "--release", "--quiet"].into_iter().chain(which.iter().copied()).chain(["--"]).chain(args);
    process::run(process::cargo(&root).args(words))
}
