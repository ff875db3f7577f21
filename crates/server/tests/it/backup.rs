//! Copies of stores in use, made by the tools that the docs name: what was acknowledged is in them, nothing is wrong with them,
//! and their runs go on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tutti_testkit::postgres::{Database, Server, run_tool, tool};

use crate::host::Host;
use crate::support::{Place, until};

/// A place whose agents take a while, with a store.
fn place(store: &str) -> Place {
    let place = Place::with_delay(100);
    place.write("tutti.toml", &format!("[store]\nurl = \"{store}\"\n[fleet]\nserver_id = \"only\"\n"));
    place
}

/// Starts runs without end, and does something as soon as some of them are over: which runs had been acknowledged before that.
fn under_load(place: &Place, copy: impl FnOnce()) -> Vec<String> {
    let host = Host::start(place);
    let (started, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let before = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // On a busy machine a server may be without its database for a moment.
                    let done = host.tutti(place, &["submit", "chain.yaml"]);
                    if done.code == Some(0) {
                        started.lock().unwrap().push(done.stdout.trim().to_owned());
                    }
                }
            });
        }
        until("runs that are over", || (states(place, "completed").len() >= 3).then_some(()));
        let before = started.lock().unwrap().clone();
        copy();
        over.store(true, Ordering::Relaxed);
        before
    });
    assert!(!before.is_empty());
    before
}

/// The runs of a state.
fn states(place: &Place, state: &str) -> Vec<String> {
    let listed = place.tutti(&["list", "--state", state, "--limit", "1000", "-o", "name"]).expect(0).stdout;
    listed.lines().map(str::to_owned).collect()
}

/// A restored store: nothing is wrong with it, the runs are in it, and those that are open go on to their ends.
fn goes_on(place: &Place, runs: &[String]) {
    let told: Value = place.tutti(&["doctor", "--all", "-o", "json"]).expect(0).json();
    assert_eq!(told["ok"], true, "{told:#}");
    let mut known = states(place, "completed");
    let open: Vec<String> = ["pending", "running"].iter().flat_map(|state| states(place, state)).collect();
    assert!(!open.is_empty(), "the copy was made while runs were under way");
    known.extend(open.iter().cloned());
    assert!(runs.iter().all(|run| known.contains(run)), "what was acknowledged before the copy is in it");
    let host = Host::start(place);
    for run in &open {
        let events = host.follow(place, run);
        assert_eq!(events.last().unwrap()["event"], "RunCompleted");
    }
    drop(host);
    // The agents that answered before the copy was made are not asked again.
    let asked = place.calls();
    assert!(asked.iter().all(|call| open.iter().any(|run| call.starts_with(run.as_str()))), "{asked:?}");
    place.tutti(&["doctor", "--all", "-o", "json"]).expect(0);
}

#[test]
fn a_file_is_copied_while_a_server_writes_to_it() {
    let here = place("sqlite:.tutti/tutti.db");
    let there = place("sqlite:.tutti/tutti.db");
    fs::create_dir(there.path().join(".tutti")).unwrap();
    let copy = there.path().join(".tutti/tutti.db").display().to_string();
    let runs = under_load(&here, || {
        let told = here.tutti(&["backup", &copy]).expect(0).stdout;
        assert!(told.contains("runs in"), "{told}");
    });
    let again = here.tutti(&["backup", &copy]).expect(2);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    assert!(!Path::new(&format!("{copy}.partial")).exists());
    goes_on(&there, &runs);
}

#[test]
fn a_database_is_dumped_while_a_server_writes_to_it() {
    let (from, to) = (Database::fresh(), Database::fresh());
    let (here, there) = (place(&from.url()), place(&to.url()));
    here.tutti(&["migrate"]).expect(0);
    let refused = here.tutti(&["backup", "copy.db"]).expect(2);
    assert!(refused.stderr.contains("pg_dump"), "{}", refused.stderr);
    let mut dump = Vec::new();
    let runs =
        under_load(&here, || dump = run_tool(tool("pg_dump").args(["--format=custom", "--dbname", &from.url()])));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), dump).unwrap();
    run_tool(
        tool("pg_restore").args(["--exit-on-error", "--no-owner", "--dbname", &to.url()]).stdin(file.reopen().unwrap()),
    );
    goes_on(&there, &runs);
}

#[test]
fn a_database_server_is_brought_back_from_a_base_backup_and_its_log() {
    // A folder that the user of the server can write to, too.
    let kept = tempfile::TempDir::new().unwrap();
    fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (base, log) = (kept.path().join("base"), kept.path().display());
    let server = Server::start(&["archive_mode=on", &format!("archive_command=cp %p {log}/%f")]);
    let database = Database::fresh_in(&server.url());
    let here = place(&database.url());
    here.tutti(&["migrate"]).expect(0);
    let mut after = Vec::new();
    let mut runs = under_load(&here, || {
        run_tool(tool("pg_basebackup").args(["--checkpoint=fast", "--dbname", &server.url(), "--pgdata"]).arg(&base));
        let then = states(&here, "completed").len();
        until("runs that end after the copy", || (states(&here, "completed").len() > then + 3).then_some(()));
        after = states(&here, "completed");
        let file = database.sql("SELECT pg_walfile_name(pg_switch_wal())");
        until("its log", || kept.path().join(&file).exists().then_some(()));
    });
    runs.extend(after);
    let restored = Server::start_on(&[&format!("restore_command=cp {log}/%f %p")], |data| {
        run_tool(Command::new("cp").arg("-a").arg(&base).arg(data));
        fs::write(data.join("recovery.signal"), "").unwrap();
    });
    let there = place(
        &database.url().replace(&server.folder().display().to_string(), &restored.folder().display().to_string()),
    );
    // It only reads until it has read its log to the end.
    until("the end of the recovery", || {
        (there.tutti(&["token", "create", "--name", "x", "--role", "reader"]).code == Some(0)).then_some(())
    });
    goes_on(&there, &runs);
}
