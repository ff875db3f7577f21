//! What stands around the runs: servers, slots, commands that wait, tables, settings, transactions.

use tutti_testkit::postgres::{Database, Server};

use super::{Store, found};
use crate::support::Place;

#[test]
fn slots_without_a_server_and_commands_that_nobody_takes_are_named() {
    let store = Store::postgres();
    let host = store.serve("alive");
    let run = host.submit(store.place(), &[]);
    host.follow(store.place(), &run);
    store.doctor(&[], 0);
    drop(host);
    // A server that renews its lease, but takes no slot.
    store.sql("UPDATE server SET lease_until = now() + INTERVAL '1 day', lease_us = 500000");
    store.sql("INSERT INTO server VALUES ('dead', 1, now() - INTERVAL '1 minute', 1000000)");
    store.sql("UPDATE slot SET server = CASE slot WHEN 7 THEN NULL WHEN 8 THEN 'dead' ELSE 'alive' END");
    store.sql("DELETE FROM slot WHERE slot = 9");
    let id = store.id(&run);
    store.sql(&format!("INSERT INTO inbox VALUES ({id}, gen_random_uuid(), 7, 1, '\\x00000061')"));
    store.sql(&format!("INSERT INTO inbox_outcome VALUES ({id}, gen_random_uuid(), 1, '\\x00000061')"));
    let ill = store.doctor(&["--quick"], 1);
    let slots = found(&ill, "slots");
    let says =
        |words: &[&str]| slots.iter().any(|(state, told)| *state == "wrong" && words.iter().all(|w| told.contains(w)));
    assert!(says(&["nobody holds slot 7"]) && says(&["dead", "slot 8"]) && says(&["no row", "slot 9"]), "{ill:#}");
    let about: Vec<_> = ill["findings"].as_array().unwrap().iter().filter(|f| f["slots"][0] == 8).collect();
    assert_eq!(about[0]["server"], "dead");
    let inbox = found(&ill, "inbox");
    assert!(inbox[0].0 == "wrong" && inbox[0].1.contains(&run), "{ill:#}");
    assert!(inbox[1].0 == "note" && inbox[1].1.contains("1970-01-01"), "{ill:#}");
    // Without any server the store is at rest, and nothing is wrong with that.
    store.sql("INSERT INTO slot (slot) VALUES (9)");
    store.sql("UPDATE server SET lease_until = now() - INTERVAL '1 minute'");
    let rest = store.doctor(&["--quick"], 0);
    assert_eq!(found(&rest, "inbox")[0].0, "note");
    assert!(found(&rest, "servers").iter().all(|(state, told)| *state == "note" && told.contains("its lease is over")));
}

#[test]
fn tables_and_indexes_that_are_missing_or_unusable_are_named() {
    let store = Store::postgres();
    store.doctor(&[], 0);
    store.sql("DROP INDEX inbox_slot");
    store.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'run_view_status'::regclass");
    let ill = store.doctor(&[], 1);
    let tables = found(&ill, "tables");
    assert!(tables.iter().any(|(_, told)| *told == "inbox_slot is not there"), "{ill:#}");
    assert!(tables.iter().any(|(_, told)| *told == "index run_view_status cannot be used"), "{ill:#}");

    let file = Store::sqlite();
    file.place().tutti(&["run", &crate::support::workflow(), "--progress", "quiet"]).expect(0);
    file.doctor(&[], 0);
    file.sql("DROP INDEX inbox_time");
    let ill = file.doctor(&[], 1);
    assert!(matches!(found(&ill, "tables")[..], [("wrong", told)] if told.starts_with("inbox_time")), "{ill:#}");
}

#[test]
fn settings_that_do_harm_are_named() {
    let server = Server::start(&["fsync=off", "autovacuum=off"]);
    let database = Database::fresh_in(&server.url());
    let (place, url) = (Place::new(), database.url());
    let allowed = format!("{url}&unsafe_durability=true");
    place.tutti(&["migrate", "--store", &allowed]).expect(0);
    let store = Store::Postgres(place, database);
    let ill = store.doctor(&["--quick"], 1);
    let settings = found(&ill, "settings");
    assert!(
        matches!(settings[..], [("wrong", one), ("wrong", two)] if one.contains("fsync") && two.contains("autovacuum"))
    );
    let known = super::doctor(store.place(), &["--store", &allowed, "--quick"], 1);
    assert_eq!(found(&known, "settings")[0].0, "note");
}
