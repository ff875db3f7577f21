//! Everything a change must pass, in the order that fails soonest.

use crate::process::{Result, cargo, run as run_command};
use std::path::Path;
use std::time::{Duration, Instant};

struct Stage {
    name: &'static str,
    work: Work,
}

enum Work {
    /// A cargo command, with one environment variable where it needs one.
    Cargo(&'static [&'static str], Option<(&'static str, &'static str)>),
    /// A chore of this tool, under the stage's name.
    Chore(fn(&Path) -> Result<()>),
}

// `--locked` once is enough: a stale Cargo.lock fails the first stage that resolves dependencies.
const STAGES: &[Stage] = &[
    Stage { name: "fmt", work: Work::Cargo(&["fmt", "--all", "--check"], None) },
    Stage {
        name: "clippy",
        work: Work::Cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"], None),
    },
    Stage { name: "tidy", work: Work::Chore(crate::tidy::run) },
    Stage {
        name: "docs",
        work: Work::Cargo(&["doc", "--workspace", "--no-deps"], Some(("RUSTDOCFLAGS", "-D warnings"))),
    },
    Stage { name: "test", work: Work::Chore(|root| crate::test::run(root, &[])) },
    // What is promised in time is promised of a machine that has some; this one may have much else to do.
    Stage {
        name: "chaos",
        work: Work::Chore(|_| crate::chaos(&["--minutes", "1", "--patience", "4"].map(Into::into))),
    },
];

/// Runs every stage; stops at the first that fails and says how to repeat it.
pub fn run(root: &Path) -> Result<()> {
    let started = Instant::now();
    let mut summary = String::new();
    for stage in STAGES {
        println!("ci: {} …", stage.name);
        let stage_started = Instant::now();
        let done = stage.run(root);
        let line = summary_line(stage.name, stage_started.elapsed(), done.is_ok());
        summary.push_str(&line);
        if let Err(error) = done {
            println!("\n{summary}");
            return Err(format!("{} failed: {error}\nrepeat it by: {}", stage.name, stage.shown()).into());
        }
        print!("ci: {}", line.trim_start());
    }
    println!("\n{summary}{}", summary_line("all", started.elapsed(), true));
    Ok(())
}

impl Stage {
    fn run(&self, root: &Path) -> Result<()> {
        match self.work {
            Work::Cargo(args, env) => run_command(cargo(root).args(args).envs(env)),
            Work::Chore(chore) => chore(root),
        }
    }

    /// The command that repeats this stage alone.
    fn shown(&self) -> String {
        match self.work {
            Work::Cargo(args, None) => format!("cargo {}", args.join(" ")),
            Work::Cargo(args, Some((name, value))) => format!("{name}='{value}' cargo {}", args.join(" ")),
            Work::Chore(_) => format!("cargo xtask {}", self.name),
        }
    }
}

fn summary_line(name: &str, took: Duration, passed: bool) -> String {
    format!("  {name:<8}{:>8.1} s  {}\n", took.as_secs_f64(), if passed { "passed" } else { "FAILED" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_says_how_to_repeat_it() {
        let shown: Vec<String> = STAGES.iter().map(Stage::shown).collect();
        assert_eq!(shown[0], "cargo fmt --all --check");
        assert_eq!(shown[2], "cargo xtask tidy");
        assert_eq!(shown[3], "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps");
    }

    #[test]
    fn the_summary_lines_up() {
        assert_eq!(summary_line("fmt", Duration::from_millis(1240), true), "  fmt          1.2 s  passed\n");
        assert_eq!(summary_line("clippy", Duration::from_secs(100), false), "  clippy     100.0 s  FAILED\n");
    }
}
