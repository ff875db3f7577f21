//! The documents: what they show works, and what is made from the product is as the product is now.

mod generate;
mod page;
mod states;

use std::path::Path;
use std::process::{Command, Stdio};

use tutti_core::plan::Plan;
use tutti_core::report::Reason;
use tutti_core::workflow::{Document, PlanPatch, Problem, parse, unresolved};

use self::page::{Block, Page, pages};
use crate::support::{Place, python, root};

/// Set by `cargo xtask docs`: generated parts are written instead of compared.
const WRITE: &str = "TUTTI_WRITE_DOCS";

#[test]
fn generated_parts_are_as_the_product_is() {
    for page in pages() {
        let fresh = page.filled(generate::part);
        if fresh == page.text {
            continue;
        }
        assert!(
            std::env::var_os(WRITE).is_some(),
            "{} is out of date; write it anew by: cargo xtask docs",
            page.path.display()
        );
        std::fs::write(&page.path, fresh).unwrap();
    }
}

#[test]
fn every_exit_code_is_told() {
    let help = Place::new().tutti(&["--help"]).expect(0).stdout;
    let list = help.split("Exit codes: ").nth(1).unwrap().split(".\n").next().unwrap();
    let page = std::fs::read_to_string(root().join("docs/cli.md")).unwrap();
    for code in list.split(',').map(|entry| entry.split_whitespace().next().unwrap()) {
        assert!(
            page.contains(&format!("| {code} |")) || page.contains(&format!("; {code} is")),
            "{code} in docs/cli.md"
        );
    }
}

#[test]
fn every_reason_of_an_explanation_is_told() {
    let page = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for reason in Reason::ALL.iter().filter(|reason| **reason != Reason::Other) {
        assert!(page.contains(&format!("`{reason}`")), "{reason} in docs/operations.md");
    }
}

#[test]
fn every_yaml_example_is_sound() {
    let mut workflows = 0;
    for (page, block) in pages().iter().flat_map(|page| page.blocks.iter().map(move |block| (page, block))) {
        if block.language != "yaml" {
            continue;
        }
        let place = format!("{}:{}", page.path.display(), block.line);
        let has = |key: &str| block.text.lines().any(|line| line.starts_with(key));
        let told = |problems: Vec<Problem>| problems.iter().map(|p| format!("\n{p}")).collect::<String>();
        if has("steps:") {
            let read = parse(&block.text).unwrap_or_else(|problems| panic!("{place}: {}", told(problems)));
            // What others stand for is known when a run starts.
            if unresolved(&read.workflow).is_empty() {
                Plan::new(read.workflow).unwrap_or_else(|problems| panic!("{place}: {}", told(problems)));
            }
            workflows += 1;
        } else if has("add:") {
            PlanPatch::parse(&block.text).unwrap_or_else(|problems| panic!("{place}: {}", told(problems)));
        } else if has("tasks:") {
            let folder = Place::new();
            let tasks = folder.write("tasks.yaml", &block.text);
            folder.tutti(&["plan", &tasks]).expect(0);
        } else if block.text.lines().any(|line| line.trim_start().starts_with("skills:")) {
            let folder = Place::new();
            let stubs = folder.write("stubs.yaml", &block.text);
            folder.tutti(&["agent", "stub", &stubs, "--check"]).expect(0);
        } else if has("agents:") {
            Document::read(&block.text).unwrap_or_else(|problems| panic!("{place}: {}", told(problems)));
            let folder = Place::new();
            let agents = folder.write("agents.yaml", &block.text);
            let workflow = folder.write("w.yaml", "id: w\nsteps: [{id: s, capability: c}]\n");
            let done = folder.tutti(&["lint", &workflow, "--agents", &agents]);
            assert_eq!(done.code, Some(0), "{place}: {}", done.stderr);
        } else {
            panic!("{place}: neither a workflow nor an agents file; show a part of one as ```text");
        }
    }
    assert!(workflows > 3, "{workflows} workflows");
}

#[test]
fn every_command_shown_works() {
    let mut commands = 0;
    for page in pages() {
        let place = Place::new();
        std::os::unix::fs::symlink(root().join("examples"), place.path().join("examples")).unwrap();
        for block in &page.blocks {
            if let Some(name) = block.file() {
                let path = place.path().join(name);
                let folder = path.parent().unwrap();
                std::fs::create_dir_all(folder).unwrap();
                std::fs::write(&path, &block.text).unwrap();
                // The page says how to make it; here it is made already.
                if path.extension().is_some_and(|e| e == "py") && !folder.join(".venv").exists() {
                    std::os::unix::fs::symlink(python().parent().unwrap().parent().unwrap(), folder.join(".venv"))
                        .unwrap();
                }
            } else if block.language == "console" && !block.text.contains("cargo ") {
                run(&place, &page, block);
                commands += block.text.lines().filter(|line| line.starts_with("tutti ")).count();
            }
        }
    }
    assert!(commands > 20, "{commands} commands");
}

/// Runs a block in a shell that ends at the first command that fails.
fn run(place: &Place, page: &Page, block: &Block) {
    let binaries = Path::new(env!("CARGO_BIN_EXE_tutti")).parent().unwrap().display().to_string();
    let path = format!("{binaries}:{}", std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", &block.text]).current_dir(place.path()).stdin(Stdio::null()).env("PATH", path);
    for name in [
        "TUTTI_CONFIG",
        "TUTTI_STORE",
        "TUTTI_SERVER",
        "TUTTI_TOKEN",
        "TUTTI_LOG",
        "ORCHESTRATION_MODE",
        "ENABLE_PARALLEL_EXECUTION",
        "PARALLEL_THRESHOLD",
    ] {
        shell.env_remove(name);
    }
    let done = shell.output().unwrap();
    assert!(
        done.status.success(),
        "{}:{}: {}\n{}\n{}",
        page.path.display(),
        block.line,
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}
