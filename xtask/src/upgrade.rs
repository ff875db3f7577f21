//! A rolling upgrade from an earlier revision to this one, with both programs on one database.

use crate::postgres;
use crate::process::{Result, cargo, output, run as run_command};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The revision before this one.
const BEFORE: &str = "HEAD~1";

/// Builds the earlier program in a folder of its own, and has both replace each other while callers go on. `--from REV` names
/// the earlier revision, `--seed S` what chance follows from.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let (mut from, mut rest) = (None, Vec::new());
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--from" => from = Some(value.as_str()),
            "--seed" => rest.extend([word.as_str(), value.as_str()]),
            _ => return Err(format!("upgrade takes --from REV and --seed S, not {word}").into()),
        }
    }
    let Some(old) = revision(root, from.unwrap_or(BEFORE)) else {
        if let Some(from) = from {
            return Err(format!("{from} is no revision of this repository").into());
        }
        println!("upgrade: this copy of the repository has no earlier revision to compare with; nothing was tried");
        return Ok(());
    };
    let new = revision(root, "HEAD").unwrap_or_default();
    let changed = output(git(root).args(["status", "--porcelain"])).is_ok_and(|changes| !changes.trim().is_empty());
    let program = build(root, &old)?;
    postgres::ensure()?;
    run_command(cargo(root).args(["build", "--quiet", "-p", "tutti-server", "-p", "tutti-bench"]))?;
    println!(
        "upgrade: from {} to {}{}",
        told(root, &old),
        told(root, &new),
        if changed { ", with changes" } else { "" }
    );
    run_command(cargo(root).args(["run", "--quiet", "-p", "tutti-bench", "--", "upgrade"]).arg(&program).args(rest))
}

/// The program of a revision.
fn build(root: &Path, revision: &str) -> Result<PathBuf> {
    let own = root.join("target/upgrade");
    let (source, target) = (own.join("source"), own.join("build"));
    // Under one path and with times of now, so that what it needs from elsewhere is not built again and the rest is.
    if source.exists() {
        fs::remove_dir_all(&source)?;
    }
    fs::create_dir_all(&source)?;
    let mut archive = git(root).args(["archive", revision]).stdout(Stdio::piped()).spawn()?;
    let files = archive.stdout.take().ok_or("git archive has no output")?;
    run_command(Command::new("tar").args(["--extract", "--touch", "--directory"]).arg(&source).stdin(files))?;
    if !archive.wait()?.success() {
        return Err(format!("`git archive {revision}` failed").into());
    }
    let mut build = cargo(&source);
    build.args(["build", "--quiet", "--locked", "-p", "tutti-server"]).env("CARGO_TARGET_DIR", &target);
    // Quick to build and small: nobody debugs it.
    run_command(build.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0"))?;
    Ok(target.join("debug/tutti"))
}

/// The full name of a revision; `None` if there is none.
fn revision(root: &Path, name: &str) -> Option<String> {
    let mut git = git(root);
    let found = git.args(["rev-parse", "--quiet", "--verify", &format!("{name}^{{commit}}")]).output().ok()?;
    let text = String::from_utf8(found.stdout).ok()?;
    found.status.success().then(|| text.trim().to_owned())
}

/// A revision as a person knows it.
fn told(root: &Path, revision: &str) -> String {
    let line = output(git(root).args(["log", "-1", "--format=%h (%s)", revision]));
    line.map_or_else(|_| revision.to_owned(), |line| line.trim().to_owned())
}

fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(root);
    git
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(args: &[&str]) -> String {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        run(&crate::process::workspace_root().unwrap(), &args).unwrap_err().to_string()
    }

    #[test]
    fn what_is_asked_for_must_be_there() {
        assert_eq!(refusal(&["--from"]), "--from needs a value");
        assert!(refusal(&["--fast", "1"]).contains("not --fast"));
        assert_eq!(refusal(&["--from", "no-such-revision"]), "no-such-revision is no revision of this repository");
    }

    #[test]
    fn a_folder_without_history_has_no_revision() {
        assert_eq!(revision(Path::new("/"), BEFORE), None);
    }
}
