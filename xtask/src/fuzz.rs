//! Fuzzing by cargo-fuzz, for a while and by command; what it needs is a nightly compiler.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Result, run as run_command};

/// The targets, and where inputs to begin with are; those of a target are kept in `fuzz/corpus` too.
const TARGETS: &[(&str, Option<&str>)] = &[("workflow", Some("examples")), ("mapping", None), ("events", None)];

/// How long a target runs unless told otherwise.
const SECONDS: u32 = 60;

/// Runs the target that `args` name, or each of them.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let chosen = choose(args)?;
    need(&["--version"], "rustup toolchain install nightly")?;
    need(&["fuzz", "--version"], "cargo install cargo-fuzz")?;
    for (target, seeds) in TARGETS.iter().filter(|(target, _)| chosen.target.is_none_or(|one| one == *target)) {
        let corpus = root.join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&corpus)?;
        println!("fuzz: {target} for {} s …", chosen.seconds);
        let mut command = nightly();
        // Our code has no unsafe blocks; without a sanitizer more inputs are tried in the same time.
        command.current_dir(root).args(["fuzz", "run", "--sanitizer", "none", target]).arg(corpus);
        command.args(seeds.map(|seeds| root.join(seeds)));
        command.args(["--", &format!("-max_total_time={}", chosen.seconds), "-timeout=10", "-max_len=8192"]);
        run_command(&mut command)?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Chosen<'a> {
    target: Option<&'a str>,
    seconds: u32,
}

fn choose(args: &[String]) -> Result<Chosen<'_>> {
    let mut chosen = Chosen { target: None, seconds: SECONDS };
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--seconds" => {
                let seconds = args.next().and_then(|seconds| seconds.parse().ok());
                chosen.seconds = seconds.ok_or("--seconds needs a number")?;
            }
            target if TARGETS.iter().any(|(known, _)| *known == target) => chosen.target = Some(target),
            other => {
                let known: Vec<&str> = TARGETS.iter().map(|(target, _)| *target).collect();
                return Err(format!("no fuzz target \"{other}\"; there are {}", known.join(", ")).into());
            }
        }
    }
    Ok(chosen)
}

/// The cargo of the nightly toolchain, whichever toolchain runs this tool.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]);
    command
}

/// Fails with what to type if the nightly cargo cannot do this.
fn need(args: &[&str], install: &str) -> Result<()> {
    let status = nightly().args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("fuzzing needs something that is not installed: `{install}`").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(args: &[&str]) -> std::result::Result<(Option<String>, u32), String> {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let chosen = choose(&args).map_err(|error| error.to_string())?;
        Ok((chosen.target.map(str::to_owned), chosen.seconds))
    }

    #[test]
    fn every_target_for_a_minute_unless_told_otherwise() {
        assert_eq!(chosen(&[]), Ok((None, 60)));
        assert_eq!(chosen(&["mapping", "--seconds", "5"]), Ok((Some("mapping".into()), 5)));
    }

    #[test]
    fn an_unknown_target_and_a_missing_number_are_named() {
        assert!(chosen(&["nothing"]).unwrap_err().contains("workflow, mapping, events"));
        assert_eq!(chosen(&["--seconds"]).unwrap_err(), "--seconds needs a number");
    }

    #[test]
    fn the_list_has_the_targets_that_there_are() {
        let root = crate::process::workspace_root().unwrap();
        let mut files: Vec<String> = std::fs::read_dir(root.join("fuzz/fuzz_targets"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let mut listed: Vec<&str> = TARGETS.iter().map(|(target, _)| *target).collect();
        files.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, files);
    }
}
