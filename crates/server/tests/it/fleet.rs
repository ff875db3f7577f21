//! Several `tutti serve` on one PostgreSQL database: real processes, one of which is killed.

use rustix::process::Signal;
use tutti_testkit::postgres::Database;

use crate::host::Host;
use crate::support::{Place, seqs};

/// A database with its tables.
fn database(place: &Place) -> Database {
    let database = Database::fresh();
    place.tutti(&["migrate", "--store", &database.url()]).expect(0);
    database
}

fn server(place: &Place, id: &str, database: &Database) -> Host {
    place.write("fleet.toml", &format!("[fleet]\nserver_id = \"{id}\"\nlease_seconds = 1\n"));
    Host::with(place, &["--config", "fleet.toml", "--store", &database.url()])
}

#[test]
fn any_server_of_a_database_answers_and_the_runs_of_one_that_is_killed_go_on() {
    // Each server has a folder of its own, as on a machine of its own.
    let (here, there) = (Place::with_delay(1_200), Place::with_delay(1_200));
    let database = database(&here);
    let (one, two) = (server(&here, "one", &database), server(&there, "two", &database));
    let mut runs = vec![one.submit(&here, &[])];
    runs.extend((0..9).map(|_| one.submit(&here, &[])));
    // Run and command at different servers.
    let far = one.submit(&here, &[]);
    two.tutti(&there, &["cancel", &far, "--reason", "not needed", "--yes"]).expect(0);
    assert_eq!(one.state(&here, &far), "cancelled");
    let refused = two.tutti(&there, &["resume", &far]).expect(2);
    assert!(refused.stderr.contains("cancelled"), "{}", refused.stderr);

    one.signal(Signal::KILL);
    for run in &runs {
        let events = two.follow(&there, run);
        assert!(seqs(&events).into_iter().eq(1..=events.len() as u64), "no gap, no duplicate");
        assert_eq!(events.last().unwrap()["event"], "RunCompleted");
    }
    // A command without a server, beside those that have the database.
    let last = two.submit(&there, &[]);
    there.tutti(&["cancel", &last, "--reason", "enough", "--yes", "--store", &database.url()]).expect(0);
    assert_eq!(two.state(&there, &last), "cancelled");
}

#[test]
fn a_server_whose_id_another_takes_ends() {
    let (here, there) = (Place::new(), Place::new());
    let database = database(&here);
    let mut old = server(&here, "same", &database);
    let _new = server(&there, "same", &database);
    assert_eq!(old.end(), Some(69));
    let said = std::fs::read_to_string(here.path().join("serve.log")).unwrap();
    assert!(said.contains("another server was started under the id same"), "{said}");
}
