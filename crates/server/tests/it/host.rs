//! A server for tests, with agents that count the lines of logs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::support::{Done, Place, jsonl, until};

/// The agents.
pub const AGENTS: &str =
    "agents:\n  - {name: log-counter, command: ['{self}', example-agent, log-counter, --port, '{port}']}\n";

/// Three steps after one another, each of which counts what is given as `lines`.
pub const CHAIN: &str = "id: chain\nversion: '1'\nexecutor: basic\ninputs: {lines: {default: [a INFO b]}}\nsteps:\n\
    - {id: one, capability: log.count, input: {lines: lines}, output: {'*': one}}\n\
    - {id: two, capability: log.count, input: {lines: lines, so_far: one}, output: {'*': two}, depends_on: [one]}\n\
    - {id: three, capability: log.count, input: {lines: lines, so_far: two}, output: {'*': three}, depends_on: [two]}\n";

/// A server under way; killed with its test.
pub struct Host {
    child: Child,
    pub url: String,
    _stdout: BufReader<ChildStdout>,
}

impl Host {
    /// A server on a free port with the agents; `chain.yaml` is there.
    pub fn start(place: &Place) -> Self {
        Self::with(place, &[])
    }

    /// The same, with more flags. Those that name an agents file stand for the agents and `chain.yaml`.
    pub fn with(place: &Place, more: &[&str]) -> Self {
        if !more.contains(&"--agents") {
            if !place.path().join("agents.yaml").exists() {
                place.write("agents.yaml", AGENTS);
            }
            place.write("chain.yaml", CHAIN);
        }
        let listen = if more.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        Self::of(place, &mut place.command(&[&["serve"], listen, more].concat()))
    }

    /// A server by its whole command, once it listens. What it says is added to `serve.log`.
    pub fn of(place: &Place, command: &mut Command) -> Self {
        let log = File::options().create(true).append(true).open(place.path().join("serve.log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ");
        let url = url.unwrap_or_else(|| panic!("{line}{}", said(place))).to_owned();
        Self { child, url, _stdout: stdout }
    }

    /// Kills this server, and starts one where it was.
    pub fn again(self, place: &Place) -> Self {
        self.again_with(place, &[])
    }

    /// The same, with more flags.
    pub fn again_with(self, place: &Place, more: &[&str]) -> Self {
        let address = self.address().to_owned();
        drop(self);
        Self::with(place, &[&["--listen", &address], more].concat())
    }

    /// Where it listens: `HOST:PORT`.
    pub fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end: the exit code.
    pub fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Sends a signal and waits for the end: the exit code.
    pub fn end_by(mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.end()
    }

    pub fn tutti(&self, place: &Place, args: &[&str]) -> Done {
        place.tutti(&[args, &["--server", &self.url]].concat())
    }

    /// Starts a command whose words can be read while it goes on.
    pub fn start_tutti(&self, place: &Place, args: &[&str]) -> Talking {
        Talking::start(place, &[args, &["--server", &self.url]].concat())
    }

    /// Starts a run of the chain.
    pub fn submit(&self, place: &Place, more: &[&str]) -> String {
        self.submit_file(place, "chain.yaml", more)
    }

    /// Starts a run of a workflow file.
    pub fn submit_file(&self, place: &Place, file: &str, more: &[&str]) -> String {
        self.tutti(place, &[&["submit", file], more].concat()).expect(0).stdout.trim().to_owned()
    }

    /// The state of a run.
    pub fn state(&self, place: &Place, run: &str) -> String {
        let shown = self.tutti(place, &["get", run, "-o", "json"]).expect(0).json();
        shown["state"].as_str().unwrap().to_owned()
    }

    /// Follows a run to its end: its events.
    pub fn follow(&self, place: &Place, run: &str) -> Vec<Value> {
        self.follow_from(place, run, 1)
    }

    /// The same, from an event on.
    pub fn follow_from(&self, place: &Place, run: &str, from: usize) -> Vec<Value> {
        let from = from.to_string();
        jsonl(&self.tutti(place, &["events", run, "--follow", "--from", &from, "-o", "jsonl"]).expect(0).stdout)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command under way whose words can be read while it goes on; killed with its test.
pub struct Talking {
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
}

impl Talking {
    pub fn start(place: &Place, args: &[&str]) -> Self {
        let (stdout, stderr) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
        let mut command = place.command(args);
        command.stdout(stdout.reopen().unwrap()).stderr(stderr.reopen().unwrap());
        Self { child: command.spawn().unwrap(), stdout, stderr }
    }

    /// Waits until it has answered so.
    pub fn answers(&self, words: &[&str]) {
        says(&self.stdout, words);
    }

    /// Waits until it has said so.
    pub fn says(&self, words: &[&str]) {
        says(&self.stderr, words);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    pub fn end(mut self) -> Done {
        let code = self.child.wait().unwrap().code();
        let text = |file: &NamedTempFile| std::fs::read_to_string(file.path()).unwrap();
        Done { code, stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a line that has all of the words.
fn says(file: &NamedTempFile, words: &[&str]) {
    let has = |line: &str| words.iter().all(|word| line.contains(word));
    until(&format!("{words:?}"), || std::fs::read_to_string(file.path()).unwrap().lines().any(has).then_some(()));
}

/// What the servers of a place said.
pub fn said(place: &Place) -> String {
    std::fs::read_to_string(place.path().join("serve.log")).unwrap_or_default()
}

/// Lines of JSON; others are left out.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
