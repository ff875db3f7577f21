//! Stores of versions before are brought up to date, and their runs go on. What an older version wrote is kept as a dump in the
//! folder beside this file.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tutti_testkit::postgres::Database;

use crate::host::{AGENTS, Host};
use crate::support::Place;

const SQLITE: &str = include_str!("upgrade/sqlite-5.sql");
/// How long a step takes, in milliseconds: so that the command in the inbox comes before the end of its run.
const STEP: u64 = 1_000;

const POSTGRES: &str = include_str!("upgrade/postgres-3.sql");

#[test]
fn a_file_of_before_is_brought_up_to_date_and_its_runs_go_on() {
    let place = Place::with_delay(STEP);
    std::fs::create_dir(place.path().join(".tutti")).unwrap();
    let file = place.path().join(".tutti/tutti.db");
    let db = rusqlite::Connection::open(&file).unwrap();
    db.execute_batch(SQLITE).unwrap();
    let newest = db.query_row("SELECT max(at_us) FROM event", (), |row| row.get(0)).unwrap();
    db.execute_batch(&as_of_now(newest)).unwrap();
    drop(db);
    let refused = place.tutti(&["list"]).expect(69).stderr;
    assert!(refused.contains("version 5 of the tables"), "{refused}");
    go_on(&place, &Host::start(&place));
    let whole = place.tutti(&["doctor", "-o", "json"]).json();
    assert_eq!(wrong(&whole), Vec::<&Value>::new());
}

#[test]
fn a_database_of_before_is_brought_up_to_date_and_its_runs_go_on() {
    let (place, database) = (Place::with_delay(STEP), Database::fresh());
    database.sql(POSTGRES);
    database.sql(&as_of_now(database.sql("SELECT max(at_us) FROM event").parse().unwrap()));
    let store = database.url();
    place.write("agents.yaml", AGENTS);
    let refused = place.tutti(&["serve", "--listen", "127.0.0.1:0", "--store", &store]).expect(69).stderr;
    assert!(refused.contains("has version 3 of the tables") && refused.contains("tutti migrate"), "{refused}");
    let told = place.tutti(&["migrate", "--store", &store]).expect(0).stdout;
    assert!(told.contains("from version 3 of the tables"), "{told}");
    go_on(&place, &Host::with(&place, &["--store", &store]));
    let whole = place.tutti(&["doctor", "-o", "json", "--store", &store]).json();
    assert_eq!(wrong(&whole), Vec::<&Value>::new());
}

/// Times of the store as if it had been written just now: runs have an hour, and the dump is older.
fn as_of_now(newest: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let since = i64::try_from(now).unwrap() - newest;
    format!(
        "UPDATE event SET at_us = at_us + {since};
         UPDATE run_view SET created_at = created_at + {since}, updated_at = updated_at + {since},
            ended_at = ended_at + {since};"
    )
}

/// The runs of the dump go on at a server, each as its label says, and end with the data of any other run.
fn go_on(place: &Place, host: &Host) {
    let run = |label: &str| {
        let listed = host.tutti(place, &["list", "-o", "name", "-f", &format!("label.is={label}")]).expect(0).stdout;
        listed.trim().to_owned()
    };
    let state = |label: &str| host.state(place, &run(label));
    let ended = |label: &str| host.follow(place, &run(label)).last().unwrap()["event"].as_str().unwrap().to_owned();
    assert_eq!(ended("under-way"), "RunCompleted");
    assert_eq!(ended("large"), "RunCompleted");
    assert_eq!([state("done"), state("held")], ["completed", "paused"]);
    // The command that waited in the inbox.
    crate::support::until("the command of before", || (state("asked") == "paused").then_some(()));
    for label in ["asked", "held"] {
        host.tutti(place, &["resume", &run(label), "--reason", "upgraded"]).expect(0);
        assert_eq!(ended(label), "RunCompleted");
    }
    let data = |label: &str| host.tutti(place, &["data", &run(label)]).expect(0).json();
    let expected = host.submit(place, &["--label", "is=new"]);
    assert_eq!(host.follow(place, &expected).last().unwrap()["event"], "RunCompleted");
    for label in ["done", "under-way", "asked", "held"] {
        assert_eq!(data(label), data("new"), "{label}");
    }
    assert_eq!(data("large")["lines"].as_array().map(Vec::len), Some(200));
    let key = host.tutti(place, &["list", "-o", "name", "-f", "key:order/31 session:s-1"]).expect(0).stdout;
    assert_eq!(key.trim(), run("large"));
}

fn wrong(doctor: &Value) -> Vec<&Value> {
    doctor["findings"].as_array().unwrap().iter().filter(|finding| finding["state"] == "wrong").collect()
}
