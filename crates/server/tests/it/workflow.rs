//! Registered workflows, at a server and in a store.

use crate::host::{AGENTS, CHAIN, Host};
use crate::support::{Done, Place};

/// Commands against a server, or against the store alone.
fn words(place: &Place, run: &dyn Fn(&[&str]) -> Done) {
    let applied = run(&["workflow", "apply", "chain.yaml"]).expect(0);
    assert_eq!(applied.stdout, "chain@1\n");
    let again = run(&["workflow", "apply", "chain.yaml", "-o", "json"]).expect(0).json();
    assert_eq!((&again["existed"], &again["latest"], &again["steps"]), (&true.into(), &true.into(), &3.into()));
    place.write("next.yaml", &CHAIN.replace("'1'", "'2'"));
    assert_eq!(run(&["workflow", "apply", "next.yaml"]).expect(0).stdout, "chain@2\n");
    // A version never changes.
    place.write("other.yaml", &CHAIN.replace("so_far: two", "so_far: one"));
    let refused = run(&["workflow", "apply", "other.yaml"]).expect(2).stderr;
    assert!(refused.contains("version \"1\" of workflow chain exists already"), "{refused}");
    place.write("bad.yaml", "id: w\nsteps:\n- {id: s}\n");
    let bad = run(&["workflow", "apply", "bad.yaml"]).expect(2).stderr;
    assert!(bad.contains("bad.yaml:3:3: error: step s: capability"), "{bad}");

    assert_eq!(run(&["workflow", "list", "-o", "name"]).expect(0).stdout, "chain@2\n");
    assert_eq!(run(&["workflow", "list", "chain", "-o", "name"]).expect(0).stdout, "chain@1\nchain@2\n");
    let page = run(&["workflow", "list", "--all", "--limit", "1", "-o", "json"]).expect(0).json();
    let next = page["next"].as_str().unwrap().to_owned();
    let rest = run(&["workflow", "list", "--all", "--limit", "1", "-o", "json", "--cursor", &next]).expect(0).json();
    assert_eq!((&rest["workflows"][0]["version"], &rest["next"]), (&"2".into(), &serde_json::Value::Null));
    assert!(run(&["workflow", "list"]).expect(0).stdout.starts_with("WORKFLOW"));

    assert_eq!(run(&["workflow", "show", "chain@1"]).expect(0).stdout, CHAIN, "as it was registered");
    assert!(run(&["workflow", "show", "chain"]).expect(0).stdout.contains("version: '2'"));
    run(&["workflow", "show", "chain@7"]).expect(2);
    run(&["workflow", "show", "a b"]).expect(2);

    assert!(run(&["workflow", "graph", "chain@1"]).expect(0).stdout.contains("Levels"));
    let drawn = run(&["workflow", "graph", "chain", "-o", "mermaid"]).expect(0).stdout;
    assert!(drawn.starts_with("flowchart"), "{drawn}");
    assert_eq!(run(&["workflow", "graph", "next.yaml", "-o", "mermaid"]).expect(0).stdout, drawn, "file or registered");
    assert!(run(&["workflow", "graph", "chain.yaml", "-o", "dot"]).expect(0).stdout.starts_with("digraph"));
    run(&["workflow", "graph", "nothing"]).expect(2);

    assert!(run(&["workflow", "lint", "chain.yaml"]).expect(0).stderr.contains("0 errors, 0 warnings"));
    assert!(run(&["workflow", "lint", "bad.yaml"]).expect(2).stdout.contains("bad.yaml:3:3: error"));
    place.write("unmet.yaml", &CHAIN.replace("log.count", "log.read"));
}

#[test]
fn a_store_keeps_workflows_and_its_server_runs_them_by_name() {
    let place = Place::new();
    place.write("agents.yaml", AGENTS);
    place.write("chain.yaml", CHAIN);
    words(&place, &|args| place.tutti(args));
    let host = Host::start(&place);
    let told = place.tutti(&["workflow", "apply", "chain.yaml"]).expect(69).stderr;
    assert!(told.contains("is in use"), "the server has the store: {told}");
    for (name, version) in [("chain", "2"), ("chain@1", "1")] {
        let run = host.tutti(&place, &["submit", name, "--wait", "-o", "json", "--label", "by=name"]).expect(0).json();
        assert_eq!((&run["state"], &run["version"]), (&"completed".into(), &version.into()), "{run:#}");
    }
    host.tutti(&place, &["submit", "nothing"]).expect(2);
    host.tutti(&place, &["submit", "nothing.yaml"]).expect(2);
}

#[test]
fn a_server_takes_the_same_words_and_checks_files_against_its_agents() {
    let place = Place::new();
    let host = Host::start(&place);
    words(&place, &|args| host.tutti(&place, args));
    let unmet = host.tutti(&place, &["workflow", "lint", "unmet.yaml"]).expect(0);
    assert!(unmet.stdout.contains("warning: step one: capability: no agent"), "{}", unmet.stdout);
    host.tutti(&place, &["workflow", "lint", "unmet.yaml", "--strict"]).expect(2);
}

#[test]
fn a_start_says_more_than_its_workflow() {
    let place = Place::with_delay(2_000);
    let host = Host::start(&place);
    let start = |more: &[&str]| host.tutti(&place, &[&["submit", "chain.yaml", "--key", "order/31"], more].concat());
    let run = start(&[]).expect(0).stdout;
    let refused = start(&[]).expect(2).stderr;
    assert!(refused.contains("a run with this key"), "{refused}");
    assert_eq!(start(&["--key-conflict", "use-existing"]).expect(0).stdout, run);
    let next = start(&["--key-conflict", "terminate-existing", "--timeout", "100ms"]).expect(0).stdout;
    assert_eq!(host.state(&place, run.trim()), "terminated");
    let end = host.follow(&place, next.trim());
    assert_eq!(end.last().unwrap()["event"], "RunFailed", "the time is up: {end:#?}");
    start(&["--key-reuse", "reject"]).expect(2);
    start(&["--key-reuse", "failed-only"]).expect(0);
    for wrong in [&["--label", "x"][..], &["--session", "a b"], &["--timeout", "soon"], &["--key-conflict", "fail"]] {
        host.tutti(&place, &[&["submit", "chain.yaml"], wrong].concat()).expect(2);
    }
}
