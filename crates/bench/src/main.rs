//! Measures the engine over its stores with agents in the same process that do nothing, or wait for a given time.
//!
//! `tutti-bench [--quick] [--only W1,W3] [--store memory,sqlite,postgres] [--in-flight 1,256] [--json FILE]
//! [--against FILE]`: a table on standard output, the same as JSON in FILE, and ratios to an earlier FILE. Run it by `cargo xtask bench`.
//! `api` measures a server as its clients see it, `purge` how runs that have ended are removed beside live ones, `open-runs` how
//! a server comes up over very many open ones, `chaos` breaks servers and checks what they promise, `upgrade` does so while
//! servers are replaced by those of another version.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to a terminal")]

mod api;
mod chaos;
mod figures;
mod open_runs;
mod purge;
mod table;
mod workloads;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use table::Row;
use workloads::WORKLOADS;
use world::StoreKind;

/// What to measure.
struct Options {
    quick: bool,
    only: Option<Vec<String>>,
    stores: Vec<StoreKind>,
    /// Runs at once in W1, instead of the usual ones.
    in_flight: Option<Vec<usize>>,
    json: Option<String>,
    against: Option<String>,
}

const USAGE: &str = "\
usage: [--quick] [--only W1,W3] [--store memory,sqlite,postgres] [--in-flight 1,256] [--json FILE] [--against FILE]
       figures [--quick]
       api [--quick] [--json FILE]
       purge [--events N] [--store sqlite,postgres]
       open-runs [--runs N] [--live N] [--seconds N] [--store sqlite,postgres]
       chaos [--minutes N] [--seed S] [--patience TIMES]
       upgrade OLD [--seed S]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["figures"] => block_on(figures::check(figures::Mode::Strict)),
        ["figures", "--quick"] => block_on(figures::check(figures::Mode::Quick)),
        ["figures", ..] => return wrong("figures takes --quick and nothing else"),
        ["api"] => block_on(api::measure(false, None)),
        ["api", "--quick"] => block_on(api::measure(true, None)),
        ["api", "--json", file] => block_on(api::measure(false, Some(file))),
        ["api", ..] => return wrong("api takes --quick or --json FILE"),
        ["purge", ref rest @ ..] => match purge::options(rest) {
            Ok(options) => block_on(purge::measure(&options)),
            Err(reason) => return wrong(&reason),
        },
        ["open-runs", "fill", store, runs] => block_on(open_runs::fill(store, runs)),
        ["open-runs", ref rest @ ..] => match open_runs::options(rest) {
            Ok(options) => block_on(open_runs::measure(&options)),
            Err(reason) => return wrong(&reason),
        },
        ["chaos", ref rest @ ..] => match chaos_options(rest) {
            Ok(options) => block_on(chaos::run(options)),
            Err(reason) => return wrong(&reason),
        },
        ["upgrade", old, ref rest @ ..] => match chaos_options(rest) {
            Ok(options) => {
                block_on(chaos::upgrade::run(chaos::upgrade::Options { old: old.into(), seed: options.seed }))
            }
            Err(reason) => return wrong(&reason),
        },
        _ => match parse(args.into_iter()) {
            Ok(options) => block_on(measure(&options)),
            Err(reason) => return wrong(&reason),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(work)
}

fn wrong(reason: &str) -> ExitCode {
    eprintln!("{reason}\n{USAGE}");
    ExitCode::from(2)
}

fn chaos_options(args: &[&str]) -> Result<chaos::Options, String> {
    let mut options =
        chaos::Options { span: Duration::from_secs(60), seed: u64::from(std::process::id()), patience: 1 };
    for pair in args.chunks(2) {
        let number = |text: &str| text.parse::<f64>().map_err(|_| format!("{text} is not a number"));
        match pair {
            ["--minutes", minutes] => {
                let span = Duration::try_from_secs_f64(number(minutes)? * 60.0);
                options.span = span.map_err(|e| format!("{minutes}: {e}"))?;
            }
            ["--seed", seed] => options.seed = seed.parse().map_err(|_| format!("{seed} is not a whole number"))?,
            ["--patience", times] => {
                let times = times.parse().ok().filter(|times| *times > 0);
                options.patience = times.ok_or("--patience takes a whole number from 1 on")?;
            }
            _ => return Err("chaos takes --minutes N, --seed S and --patience TIMES".into()),
        }
    }
    Ok(options)
}

async fn measure(options: &Options) -> Result<(), String> {
    let earlier = match &options.against {
        Some(file) => table::read(file)?,
        None => Vec::new(),
    };
    let mut rows: Vec<Row> = Vec::new();
    table::print_head();
    for workload in WORKLOADS {
        if options.only.as_ref().is_some_and(|only| !only.iter().any(|name| name.eq_ignore_ascii_case(workload.name))) {
            continue;
        }
        for store in &options.stores {
            for row in workload.run(*store, options).await? {
                table::print(&row, &earlier);
                rows.push(row);
            }
        }
    }
    match &options.json {
        Some(file) => table::write(file, &rows),
        None => Ok(()),
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        quick: false,
        only: None,
        stores: vec![StoreKind::Memory, StoreKind::Sqlite],
        in_flight: None,
        json: None,
        against: None,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--quick" => options.quick = true,
            "--only" => options.only = Some(value()?.split(',').map(str::to_owned).collect()),
            "--store" => options.stores = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--in-flight" => {
                let count = |text: &str| text.parse().map_err(|_| format!("{text} is not a number of runs"));
                options.in_flight = Some(value()?.split(',').map(count).collect::<Result<_, _>>()?);
            }
            "--json" => options.json = Some(value()?),
            "--against" => options.against = Some(value()?),
            _ => return Err(format!("{arg} is not an option")),
        }
    }
    Ok(options)
}
