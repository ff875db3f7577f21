//! Clients in another language: Python over gRPC, beside the `tutti` command.

mod guide;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;
use serde_json::Value;

use crate::host::{Host, said};
use crate::support::{Place, jsonl, python, root, until};

/// Longest that the Python side of a test may take, in seconds; only a failing test comes near it.
const PATIENCE: &str = "180";

/// The folder of the example whose runs are many: four steps on three levels, two agents.
const DIAMOND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/diamond");

/// How many runs are under way when their server is killed, and how many steps each has.
const RUNS: usize = 50;
const STEPS: usize = 4;

/// A Python program of the folder `clients`, under way. Killed with its test.
struct Python {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Python {
    fn program(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name)
    }

    fn start(folder: &Path, program: &str, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(python());
        // Nothing is written beside the sources.
        command.arg("-B").arg(Self::program(program)).args(args).current_dir(folder).envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// The next line that it says: empty if it ends instead, and has told stderr why.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Ends the wait for a line.
    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Waits for its end, which must be a good one: the lines that were left.
    fn end(mut self) -> Vec<Value> {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        jsonl(&rest)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine whose port is free and stays so for a while: it lies below those that the system gives to
/// whoever asks for any, so that nobody gets it while its server is dead.
fn lasting_address() -> String {
    /// Tests of one process begin to look at different ports, as those of several do.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(16).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let first = 20_000 + u16::try_from(begin % 10_000).unwrap();
    let ports = (first..30_000).chain(20_000..first);
    let free = ports.map(|port| format!("127.0.0.1:{port}")).find(|address| TcpListener::bind(address).is_ok());
    free.expect("one of ten thousand ports is free")
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_else(|| panic!("{member}: {value}"))
}

/// State of every run by its id, as the store or the server at `asked` tells it.
fn states(place: &Place, asked: &[&str]) -> BTreeMap<String, String> {
    let page = place.tutti(&[&["list", "-o", "json", "--limit", "1000"], asked].concat()).expect(0).json();
    let state = |run: &Value| (text(run, "run_id").to_owned(), text(run, "state").to_owned());
    page["runs"].as_array().unwrap().iter().map(state).collect()
}

#[test]
fn killed_with_fifty_runs_under_way_every_watcher_goes_on_and_every_run_completes() {
    let place = Place::with_delay(3_000);
    let workflow = format!("{DIAMOND}/workflow.yaml");
    let (address, agents) = (lasting_address(), format!("{DIAMOND}/agents.yaml"));
    let options = ["--listen", &*address, "--agents", &*agents];
    let server = Host::with(&place, &options);
    let url = format!("http://{address}");
    let remote = ["--server", &*url];

    // The command starts some of the runs and follows one; Python starts the rest and follows all.
    let requests: Vec<String> = (0..5).map(|n| format!("0b54a9c8-3c8c-4f0e-9a55-6c7d1b6f00{n:02}")).collect();
    let submit = |request: &String| {
        let done = place.tutti(&[&["submit", &*workflow, "--request-id", request], &remote[..]].concat()).expect(0);
        done.stdout.trim().to_owned()
    };
    let submitted: Vec<String> = requests.iter().map(submit).collect();
    let follow = ["events", &submitted[0], "--follow", "-o", "jsonl"];
    let follower = place.start(&[&follow, &remote[..]].concat());
    let (root, runs) = (root().display().to_string(), RUNS.to_string());
    let mut args = vec!["--root", &root, "--address", &address, "--workflow", &workflow, "--runs", &runs];
    args.extend(["--patience", PATIENCE]);
    args.extend(submitted.iter().flat_map(|run| ["--watch", run]));
    let mut watchers = Python::start(place.path(), "watchers.py", &args, &[]);
    assert_eq!(watchers.line(), format!("{{\"under_way\": {RUNS}}}\n"), "{}", said(&place));

    assert_eq!(server.end_by(Signal::KILL), None, "ended by the signal");
    let before = states(&place, &[]);
    assert_eq!(before.len(), RUNS);
    assert!(before.values().all(|state| state == "running"), "{before:?}");
    let followed = jsonl(&follower.end().expect(69).stdout);
    assert!(!followed.is_empty(), "the follower saw the beginning");

    let server = Host::with(&place, &options);
    let next = (followed.len() + 1).to_string();
    let followed_on = place.tutti(&[&follow[..], &["--from", &*next], &remote].concat()).expect(0);
    let followed = [followed, jsonl(&followed_on.stdout)].concat();
    let seen = watchers.end();

    // Python checked each number as it came; here it is seen that nobody was spared and that all runs are the same ones.
    assert_eq!(seen.len(), RUNS);
    let by_run: BTreeMap<&str, &Value> = seen.iter().map(|watcher| (text(watcher, "run"), watcher)).collect();
    assert!(by_run.keys().copied().eq(before.keys().map(String::as_str)), "one request, one run");
    for (request, run) in requests.iter().zip(&submitted) {
        assert_eq!(&submit(request), run, "one request, one run, after the crash too");
    }
    let after = states(&place, &remote);
    assert_eq!(after.len(), RUNS);
    assert!(after.values().all(|state| state == "completed"), "{after:?}");
    for (run, watcher) in &by_run {
        assert!(!watcher["breaks"].as_array().unwrap().is_empty(), "{run} was not interrupted");
        let events = jsonl(&place.tutti(&["events", run, "-o", "jsonl"]).expect(0).stdout);
        assert!(
            events.iter().map(|event| &event["seq"]).eq(&(1..=events.len()).map(Value::from).collect::<Vec<_>>()),
            "{run}"
        );
        assert!(events.iter().map(|event| &event["event"]).eq(watcher["events"].as_array().unwrap()), "{run}");
        let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
        assert_eq!((of("AttemptStarted"), of("StepCompleted"), of("RunCompleted")), (STEPS, STEPS, 1), "{run}");
        if *run == submitted[0] {
            assert_eq!(events, followed, "the command's watcher saw the same");
        }
    }
    assert_effects(&place, &by_run.keys().copied().collect());

    assert_eq!(server.end_by(Signal::TERM), Some(0), "drained");
    until("the agents' end", || (!place.agents_folder().exists()).then_some(()));
}

/// Agents began to work once for each step of each run: what was done was not asked for again, what was under way was
/// found again, and a message that came a second time was known.
fn assert_effects(place: &Place, runs: &BTreeSet<&str>) {
    let mut counts = BTreeMap::new();
    for call in place.calls() {
        *counts.entry(call).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "{counts:#?}");
    assert_eq!(counts.len(), RUNS * STEPS, "{counts:#?}");
    for run in runs {
        let of_run: Vec<&String> = counts.keys().filter(|call| call.contains(run)).collect();
        assert_eq!(of_run.len(), STEPS, "{run}: {of_run:?}");
    }
}
