//! Runs that were changed behind the product's back: each is found, and named with what is wrong.

use tutti_core::run::SNAPSHOT_SCHEMA;

use super::{Store, found};
use crate::support::{Place, until};

/// Three steps that give back what they were given, which is too large for the history.
fn large() -> String {
    crate::host::CHAIN.replace("a INFO b", &"INFO ".repeat(3_000)).replace("id: chain", "id: large")
}

/// What is done to a run, and the invariant that is named. `{run}` stands for its id, `{end}` for its last event.
fn damages(store: &Store) -> Vec<(String, &'static str)> {
    let of = |table: &str, what: &str| format!("UPDATE {table} SET {what} WHERE run_id = {{run}}");
    let event = |which: &str, what: &str| format!("UPDATE event SET {what} WHERE run_id = {{run}} AND seq = {which}");
    let sixteen = store.bytes(&"00".repeat(16));
    let insert = |table: &str, values: &str| format!("INSERT INTO {table} VALUES ({{run}}, {values})");
    let other = "(SELECT o.blob FROM event o WHERE o.run_id = {run} AND o.kind = 60 ORDER BY o.seq LIMIT 1)";
    let second = "(SELECT max(o.seq) FROM event o WHERE o.run_id = {run} AND o.kind = 60)";
    vec![
        ("DELETE FROM event WHERE run_id = {run} AND seq = 3".into(), "history_is_contiguous"),
        ("DELETE FROM event WHERE run_id = {run} AND seq = {end}".into(), "guard_counts_the_events"),
        (of("run", "last_seq = last_seq + 1"), "guard_counts_the_events"),
        (event("3", "epoch = 0"), "epochs_never_fall"),
        (event(second, &format!("blob = {other}")), "results_are_recorded_once"),
        (
            insert("event", &format!("{{end}} + 1, 1, 1, 60, 1, {other}"))
                + "; "
                + &of("run", "last_seq = last_seq + 1"),
            "ended_runs_never_change",
        ),
        (event("3", "kind = 999"), "what_is_kept_can_be_read"),
        (event("3", &format!("blob = {sixteen}")), "what_is_kept_can_be_read"),
        (of("run_view", "status = 'failed'"), "fold_is_the_line"),
        (of("run_view", "completed = 1"), "fold_is_the_line"),
        (of("run_view", "status = 'asleep'"), "what_is_kept_can_be_read"),
        (of("run_view", "namespace = 'other'"), "guard_and_line_agree"),
        (of("run_view", "updated_at = 9000000000000000"), "clocks_agree"),
        ("DELETE FROM run_view WHERE run_id = {run}".into(), "guard_and_line_agree"),
        ("DELETE FROM run WHERE run_id = {run}".into(), "guard_and_line_agree"),
        (of("run", "slot = (slot + 1) % 1024"), "slot_follows_from_the_id"),
        (of("run", "wake_at = 0"), "ended_runs_sleep"),
        (of("run", &format!("definition = {}", store.bytes(&"ab".repeat(32)))), "definition_is_kept"),
        ("DELETE FROM payload WHERE run_id = {run}".into(), "payloads_are_kept"),
        (of("payload", &format!("body = {}", store.bytes("00000061"))), "payloads_are_kept"),
        (insert("snapshot", &format!("3, {SNAPSHOT_SCHEMA}, {sixteen}")), "snapshot_is_the_fold"),
        (insert("snapshot", &format!("{{end}} + 5, {SNAPSHOT_SCHEMA}, {sixteen}")), "snapshot_is_the_fold"),
    ]
}

fn every_damage_is_named(store: &Store) {
    let place = store.place();
    let host = store.serve("only");
    place.write("large.yaml", &large());
    let damages = damages(store);
    let runs: Vec<String> = damages.iter().map(|_| host.submit_file(place, "large.yaml", &[])).collect();
    let untouched = host.submit(place, &[]);
    let ends: Vec<usize> = runs.iter().map(|run| host.follow(place, run).len()).collect();
    host.follow(place, &untouched);
    drop(host);
    let well = store.doctor(&["--all"], 0);
    assert!(found(&well, "runs")[0].1.contains("keep what runs promise"), "{well:#}");
    let nobodys = store.doctor(&["--namespace", "nobody"], 0);
    assert!(found(&nobodys, "store")[0].1.ends_with("no runs"), "{nobodys:#}");
    for (((sql, _), run), end) in damages.iter().zip(&runs).zip(&ends) {
        store.sql(&sql.replace("{run}", &store.id(run)).replace("{end}", &end.to_string()));
    }

    let ill = store.doctor(&["--all"], 1);
    let about = |run: &str| {
        let findings = ill["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["run"] == run).map(serde_json::Value::to_string).collect::<Vec<_>>()
    };
    for ((sql, invariant), run) in damages.iter().zip(&runs) {
        let told = about(run);
        assert!(told.iter().any(|told| told.contains(&format!("{invariant}: "))), "{sql}: {told:#?}");
        assert!(told.iter().all(|told| told.contains("\"wrong\"") && told.contains("\"slots\"")), "{told:?}");
    }
    assert_eq!(about(&untouched), [""; 0], "what is sound is not told of");

    // At a glance, without the histories.
    let glance = store.doctor(&["--runs", "0"], 1);
    let wrong = glance["findings"].as_array().unwrap().iter().filter(|finding| finding["state"] == "wrong");
    let wrong: Vec<&str> = wrong.filter_map(|finding| finding["run"].as_str()).collect();
    let seen_at_once: Vec<&String> = runs.iter().filter(|run| wrong.contains(&run.as_str())).collect();
    assert!(seen_at_once.len() >= 9, "{glance:#}");

    // One run alone, also one that lists do not show any more.
    let lost = damages.iter().position(|(sql, _)| sql.starts_with("DELETE FROM run_view")).unwrap();
    store.doctor(&["--run", &runs[lost]], 1);
    let alone = store.doctor(&["--run", &untouched], 0);
    assert_eq!(found(&alone, "runs").len(), 1, "{alone:#}");
}

#[test]
fn every_damage_of_a_run_in_sqlite_is_named() {
    every_damage_is_named(&Store::sqlite());
}

#[test]
fn every_damage_of_a_run_in_postgresql_is_named() {
    every_damage_is_named(&Store::postgres());
}

/// Three runs whose server was killed while they were under way.
fn abandoned(store: &Store) -> Vec<String> {
    let host = store.serve("only");
    let runs: Vec<String> = (0..3).map(|_| host.submit(store.place(), &[])).collect();
    for run in &runs {
        until("the call of an agent", || {
            let events = host.tutti(store.place(), &["events", run, "-o", "jsonl"]).expect(0).stdout;
            events.contains("AttemptStarted").then_some(())
        });
    }
    runs
}

fn open_runs_that_nothing_moves_are_named(store: &Store) {
    let runs = abandoned(store);
    let set = |run: &str, wake: &str| {
        store.sql(&format!("UPDATE run SET wake_at = {wake} WHERE run_id = {}", store.id(run)));
    };
    if let Store::Postgres(_, database) = store {
        database.sql("UPDATE server SET lease_until = now()");
    }
    let well = store.doctor(&[], 0);
    assert_eq!(found(&well, "open"), [("note", "3 under way")], "{well:#}");
    set(&runs[0], "NULL");
    set(&runs[1], "-1");
    set(&runs[2], "1700000000000000");
    for flags in [["--runs", "0"], ["--runs", "9"]] {
        let ill = store.doctor(&flags, 1);
        let told = found(&ill, "runs");
        for run in &runs[..2] {
            let named = |(state, told): &(&str, &str)| {
                *state == "wrong" && told.contains(run) && told.contains("open_runs_are_woken")
            };
            assert!(told.iter().any(named), "{run}: {ill:#}");
        }
        let late = found(&ill, "late");
        assert!(late[0].0 == "note" && late[0].1.contains(&runs[2]), "without a server: {ill:#}");
    }
    // With a server it should have gone on.
    if let Store::Postgres(_, database) = store {
        database.sql("UPDATE server SET lease_until = now() + INTERVAL '1 day'");
        let ill = store.doctor(&[], 1);
        assert!(matches!(found(&ill, "late")[..], [("wrong", told), ..] if told.contains(&runs[2])), "{ill:#}");
    }
}

#[test]
fn open_runs_that_nothing_moves_are_named_in_sqlite() {
    open_runs_that_nothing_moves_are_named(&Store::Sqlite(Place::with_delay(60_000)));
}

#[test]
fn open_runs_that_nothing_moves_are_named_in_postgresql() {
    let Store::Postgres(_, database) = Store::postgres() else { unreachable!("it is one") };
    open_runs_that_nothing_moves_are_named(&Store::Postgres(Place::with_delay(60_000), database));
}
