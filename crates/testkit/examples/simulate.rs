//! Simulates many seeds, or one with everything that happened: `simulate --seeds N [--from S]`, `simulate --seed S`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to a terminal")]

use std::process::ExitCode;

use tutti_testkit::sim::{Fault, Faults, simulate};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse::<u64>().ok()
    };
    if let Some(seed) = number("--seed") {
        return one(seed);
    }
    match number("--seeds") {
        Some(seeds) => many(number("--from").unwrap_or(0), seeds),
        None => {
            eprintln!("usage: simulate --seeds N [--from S] | --seed S");
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64) -> ExitCode {
    match simulate(seed) {
        Ok(seen) => {
            println!("seed {seed}: {} runs, {} messages, trace {}", seen.runs, seen.messages, seen.trace);
            ExitCode::SUCCESS
        }
        Err(failed) => {
            failed.trace.iter().for_each(|line| println!("{line}"));
            println!("seed {seed}: {}", failed.violation);
            ExitCode::FAILURE
        }
    }
}

fn many(from: u64, seeds: u64) -> ExitCode {
    let mut faults = Faults::default();
    let (mut runs, mut compared, mut messages, mut failures) = (0, 0, 0, 0);
    for seed in from..from.saturating_add(seeds) {
        match simulate(seed) {
            Ok(seen) => {
                faults.add(&seen.faults);
                runs += seen.runs;
                compared += seen.compared;
                messages += seen.messages;
            }
            Err(failed) => {
                failures += 1;
                println!("seed {seed}: {}; repeat it by --seed {seed}", failed.violation);
            }
        }
    }
    println!("{seeds} seeds, {runs} runs, {compared} compared with an uninterrupted run, {messages} messages");
    for fault in Fault::ALL {
        println!("  {:>8}  {fault:?}", faults.count(*fault));
    }
    println!("{} seeds passed, {failures} failed", seeds - failures);
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
