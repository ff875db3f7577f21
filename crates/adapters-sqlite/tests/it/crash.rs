//! A process that writes is killed at any moment, again and again: what it acknowledged is there.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ids::RunId;
use tutti_core::ports::payload::PayloadStore as _;
use tutti_core::ports::query::RunQuery as _;
use tutti_core::ports::store::{CommitOutcome, RunStore as _, StoreError};
use tutti_core::value::PayloadRef;
use tutti_testkit::given::{READS, commit, new_run, run_id};

/// Tells the test that it is the process to be killed, and where the file is.
const STORE: &str = "TUTTI_TEST_CRASH_STORE";

/// Runs that are written at once.
const RUNS: u64 = 8;

/// Events of each commit.
const EVENTS: u64 = 3;

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(path) = std::env::var_os(STORE) {
        write_until_killed(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let mut ledger = HashMap::new();
    for acknowledged in [1, 40, 200, 1_000, 7] {
        let (mut child, mut answers) = start(&path);
        for _ in 0..acknowledged {
            assert!(read(&mut answers, &mut ledger), "it was killed by nobody");
        }
        look_on(&path, &ledger);
        child.kill().unwrap();
        // What it said before it died counts as well.
        while read(&mut answers, &mut ledger) {}
        child.wait().unwrap();
        check(&path, &ledger);
    }
    assert_eq!(ledger.len() as u64, RUNS, "all of them were written to");
}

/// Writes to all runs at once and tells each acknowledged commit as `run last`.
fn write_until_killed(path: &Path) -> ! {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(Sqlite::open(path, OpenMode::Engine).unwrap());
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..RUNS {
            let store = store.clone();
            writers.spawn(async move {
                store.create(new_run(n)).await.unwrap();
                let claim = store.claim(run_id(n), READS).await.unwrap().claimed().unwrap();
                let mut last = claim.last_seq;
                loop {
                    let next = commit(run_id(n), claim.epoch, last, EVENTS);
                    last += EVENTS;
                    store.put(run_id(n), payload(last)).await.unwrap();
                    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
                    let mut out = std::io::stderr().lock();
                    writeln!(out, "{} {last}", run_id(n)).unwrap();
                }
            });
        }
        writers.join_next().await;
    });
    std::process::abort();
}

fn payload(last: u64) -> Bytes {
    Bytes::from(format!("{last}").repeat(1_000))
}

fn start(path: &Path) -> (Child, BufReader<ChildStderr>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::what_was_acknowledged_survives_a_kill", "--nocapture"])
        .env(STORE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let answers = BufReader::new(child.stderr.take().unwrap());
    (child, answers)
}

/// Notes one answer; false at the end.
fn read(answers: &mut BufReader<ChildStderr>, ledger: &mut HashMap<RunId, u64>) -> bool {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    let Some(line) = line.strip_suffix('\n') else { return false };
    let (run, last) = line.split_once(' ').unwrap_or_else(|| panic!("the writer says: {line}"));
    ledger.insert(run.parse().unwrap_or_else(|_| panic!("the writer says: {line}")), last.parse().unwrap());
    true
}

/// Reads beside the writer, from another process than its own.
fn look_on(path: &Path, ledger: &HashMap<RunId, u64>) {
    assert!(matches!(Sqlite::open(path, OpenMode::Engine), Err(StoreError::InUse(_))), "it is at work");
    tokio::runtime::Runtime::new().unwrap().block_on(check_histories(path, ledger));
}

/// Opens what the dead left.
fn check(path: &Path, ledger: &HashMap<RunId, u64>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(check_histories(path, ledger));
    let verdict: String = Connection::open(path)
        .unwrap()
        .query_row("SELECT group_concat(integrity_check) FROM pragma_integrity_check", (), |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    drop(Sqlite::open(path, OpenMode::Engine).expect("the lock died with its owner"));
    runtime.block_on(check_histories(path, ledger));
}

async fn check_histories(path: &Path, ledger: &HashMap<RunId, u64>) {
    let store = Sqlite::open(path, OpenMode::ReadOnly).unwrap();
    for (run, last) in ledger {
        let history = store.events(*run, 1, usize::MAX).await.unwrap();
        assert!(history.iter().zip(1..).all(|(stored, seq)| stored.event.seq == seq), "{run} has a gap");
        assert!(history.len() as u64 >= *last, "{run} has {} events, {last} were acknowledged", history.len());
        assert_eq!((history.len() as u64 - 2) % EVENTS, 0, "half a commit in {run}");
        let bytes = payload(*last);
        assert!(store.get(*run, PayloadRef::to(&bytes)).await == Ok(Some(bytes)), "a payload of {run}");
    }
}
