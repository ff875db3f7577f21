//! Runs and workflows of one namespace, which are not there for those who ask in another.

use crate::host::{AGENTS, CHAIN, Host};
use crate::support::{Done, Place};

/// Everything that the commands say of a run and its workflow is said in its namespace, and nothing in another.
fn belongs_to_red(tutti: &dyn Fn(&[&str]) -> Done, run: &str) {
    let red = |args: &[&str]| tutti(&[args, &["--namespace", "red"]].concat());
    for args in [
        &["get", run][..],
        &["get", "latest"],
        &["events", run, "--follow"],
        &["watch", run, "--progress", "quiet"],
        &["data", run],
        &["artifacts", run],
        &["workflow", "show", "chain"],
    ] {
        red(args).expect(0);
        let missing = tutti(args).expect(2).stderr;
        assert!(
            ["no run", "not found", "no workflow", "workflow chain"].iter().any(|word| missing.contains(word)),
            "{missing}"
        );
    }
    for args in [&["list", "-o", "name"][..], &["workflow", "list", "-o", "name"]] {
        assert_eq!(red(args).expect(0).stdout.lines().count(), 1, "{args:?}");
        assert_eq!(tutti(args).expect(0).stdout, "", "{args:?}");
    }
    assert_eq!(red(&["list", "--count", "-o", "json"]).expect(0).json()["total"], 1);
    assert_eq!(tutti(&["list", "--count", "-o", "json"]).expect(0).json()["total"], 0);
    for verb in ["pause", "cancel", "terminate", "retry"] {
        tutti(&[verb, run, "--reason", "not mine", "--yes"]).expect(2);
    }
    tutti(&["signal", run, "yes"]).expect(2);
    let none = red(&["cancel", "-f", "state:completed", "--reason", "over", "--yes"]).expect(0);
    assert!(none.stderr.contains("no runs"), "{none:?}");
}

#[test]
fn a_store_tells_of_a_run_in_its_namespace_alone() {
    let place = Place::new();
    place.write("agents.yaml", AGENTS);
    place.write("chain.yaml", CHAIN);
    let wrong = place.tutti(&["list", "--namespace", "a b"]).expect(2);
    assert!(wrong.stderr.contains("--namespace"), "{wrong:?}");
    let ran = place.command(&["run", "chain.yaml", "-o", "json"]).env("TUTTI_NAMESPACE", "red").output().unwrap();
    let ran = Done::of(ran).expect(0).json();
    place.tutti(&["workflow", "apply", "chain.yaml", "--namespace", "red"]).expect(0);
    belongs_to_red(&|args| place.tutti(args), ran["run_id"].as_str().unwrap());
}

#[test]
fn a_server_tells_of_a_run_in_its_namespace_alone() {
    let place = Place::new();
    let host = Host::start(&place);
    let tutti = |args: &[&str]| host.tutti(&place, args);
    tutti(&["workflow", "apply", "chain.yaml", "--namespace", "red"]).expect(0);
    tutti(&["submit", "chain"]).expect(2);
    let run = tutti(&["submit", "chain", "--namespace", "red", "--wait", "-o", "json"]).expect(0).json();
    belongs_to_red(&tutti, run["run_id"].as_str().unwrap());
    tutti(&["agent", "list", "--namespace", "red"]).expect(0);
}
