//! Servers while their database is away, only reads, or moves to its standby: real processes on real databases.

use std::path::Path;
use std::time::{Duration, Instant};

use tutti_testkit::postgres::{Database, Server as Postgres};

use crate::host::{CHAIN, Host, Talking};
use crate::support::{Place, seqs, until};

/// The database of servers that are reached by the sockets in these folders.
fn url(folders: &[&Path]) -> String {
    let hosts: Vec<String> = folders.iter().map(|folder| folder.display().to_string().replace('/', "%2F")).collect();
    format!("postgres://postgres@{}/postgres", hosts.join(","))
}

/// A server on a database. Its runs take a while.
fn server(place: &Place, url: &str) -> Host {
    server_of(place, "one", url)
}

/// The same, under an id.
fn server_of(place: &Place, id: &str, url: &str) -> Host {
    place.write("fleet.toml", &format!("[fleet]\nserver_id = \"{id}\"\nlease_seconds = 2\n"));
    Host::with(place, &["--config", "fleet.toml", "--store", url])
}

/// Everything that a run recorded, once it has ended as it should.
fn check(host: &Host, place: &Place, runs: &[String]) {
    for run in runs {
        let events = host.follow(place, run);
        assert!(seqs(&events).into_iter().eq(1..=events.len() as u64), "no gap, no duplicate");
        assert_eq!(events.last().unwrap()["event"], "RunCompleted");
    }
}

#[test]
fn a_server_waits_for_its_database_follows_it_to_its_standby_and_loses_nothing() {
    let place = Place::with_delay(300);
    let mut first = Postgres::start(&[]);
    place.tutti(&["migrate", "--store", &first.url()]).expect(0);
    let second = first.standby();
    let both = url(&[first.folder(), second.folder()]);

    // Away while the server starts.
    first.crash();
    place.write("agents.yaml", crate::host::AGENTS);
    let early = Talking::start(&place, &["serve", "--listen", "127.0.0.1:0", "--store", &both]);
    early.says(&["waiting for the store, 60 s at most", "it is a standby"]);
    first.restart();
    early.answers(&["listening on"]);
    early.signal(rustix::process::Signal::TERM);
    assert_eq!(early.end().code, Some(0));

    let host = server(&place, &both);
    let mut runs: Vec<String> = (0..4).map(|_| host.submit(&place, &[])).collect();
    first.crash();
    let refused = host.tutti(&place, &["submit", "chain.yaml", "--patience", "1"]);
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    second.promote();
    // In the place of the one that was refused: as soon as it can be.
    let again = until("runs can be started again", || {
        let done = host.tutti(&place, &["submit", "chain.yaml"]);
        (done.code == Some(0)).then(|| done.stdout.trim().to_owned())
    });
    runs.push(again);
    check(&host, &place, &runs);
}

#[test]
fn servers_go_on_from_what_a_lagging_standby_has() {
    let (here, there) = (Place::with_delay(300), Place::with_delay(300));
    let mut first = Postgres::start(&[]);
    here.tutti(&["migrate", "--store", &first.url()]).expect(0);
    let second = first.asynchronous_standby();
    let both = url(&[first.folder(), second.folder()]);
    let one = server_of(&here, "one", &both);
    let before = one.submit(&here, &[]);
    check(&one, &here, std::slice::from_ref(&before));
    let under_way: Vec<String> = (0..4).map(|_| one.submit(&here, &[])).collect();
    until("some steps are complete", || {
        let completed = "SELECT count(DISTINCT run_id) > 4 FROM history WHERE kind = 'StepCompleted'";
        (first.sql(completed).as_deref() == Ok("t")).then_some(())
    });

    // What happens from here on is lost: ends of runs, new runs and their workflow, a server.
    second.stop_following(&first);
    check(&one, &here, &under_way);
    let calls = here.calls().len();
    let two = server_of(&there, "two", &both);
    there.write("other.yaml", &CHAIN.replace("id: chain", "id: other"));
    let lost = [one.submit(&here, &[]), two.submit_file(&there, "other.yaml", &[])];
    check(&two, &there, &lost[1..]);
    first.crash();
    second.promote();

    // Each goes on where the standby had it: once more to its end, without a gap.
    let mut runs = under_way.clone();
    for (host, place, file) in [(&one, &here, "chain.yaml"), (&two, &there, "other.yaml")] {
        runs.push(until("runs can be started again", || {
            let done = host.tutti(place, &["submit", file]);
            (done.code == Some(0)).then(|| done.stdout.trim().to_owned())
        }));
    }
    runs.push(before);
    check(&two, &there, &runs);
    assert!(here.calls().len() + there.calls().len() > calls, "steps whose ends were lost are asked for again");
    for run in &lost {
        let unknown = one.tutti(&here, &["get", run]).expect(2);
        assert!(unknown.stderr.contains("there is no run"), "{}", unknown.stderr);
    }
    here.tutti(&["doctor", "--all", "--store", &both]).expect(0);
    let shares = "SELECT string_agg(DISTINCT server, ' ' ORDER BY server) FROM slot";
    until("both have their share", || (second.sql(shares).as_deref() == Ok("one two")).then_some(()));
    for host in [one, two] {
        assert_eq!(host.end_by(rustix::process::Signal::TERM), Some(0));
    }
}

#[test]
fn a_server_whose_database_only_reads_refuses_and_goes_on_when_it_can_write() {
    let place = Place::with_delay(300);
    let database = Postgres::start(&[]);
    place.tutti(&["migrate", "--store", &database.url()]).expect(0);
    let host = server(&place, &database.url());
    let mut runs: Vec<String> = (0..4).map(|_| host.submit(&place, &[])).collect();
    database.set("default_transaction_read_only", "on");
    let listed = host.tutti(&place, &["list"]).expect(0);
    assert!(runs.iter().all(|run| listed.stdout.contains(&run[..8])), "what is there can be read");
    let began = Instant::now();
    let refused = until("it refuses new runs", || {
        let done = host.tutti(&place, &["submit", "chain.yaml"]);
        (done.code != Some(0)).then_some(done)
    });
    assert_eq!(refused.code, Some(69), "{}", refused.stderr);
    assert!(began.elapsed() < Duration::from_secs(25), "without a long wait");
    database.set("default_transaction_read_only", "off");
    runs.push(until("runs can be started again", || {
        let done = host.tutti(&place, &["submit", "chain.yaml"]);
        (done.code == Some(0)).then(|| done.stdout.trim().to_owned())
    }));
    check(&host, &place, &runs);
}

/// Gives up a tenth of the commits, for a serialization failure or a deadlock, and counts them.
const TROUBLE: &str = "CREATE SEQUENCE struck;
    CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF random() < 0.1 THEN
            PERFORM nextval('struck');
            RAISE 'injected' USING ERRCODE = CASE WHEN random() < 0.5 THEN '40001' ELSE '40P01' END;
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER trouble AFTER INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION trouble()";

const END_SOME: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name LIKE 'tutti%' AND datname = current_database() AND random() < 0.2";

#[test]
fn runs_end_though_commits_are_given_up_and_sessions_ended_at_random() {
    let place = Place::with_delay(20);
    let database = Database::fresh();
    place.tutti(&["migrate", "--store", &database.url()]).expect(0);
    database.sql(TROUBLE);
    let host = server(&place, &database.url());
    let mut runs: Vec<String> = Vec::new();
    let mut ended = 0;
    let mut end_some = || ended += database.sql(END_SOME).parse::<u32>().unwrap();
    while runs.len() < 15 {
        end_some();
        // A call that reads by a session that has ended may be refused.
        let done = host.tutti(&place, &["submit", "chain.yaml"]);
        if done.code == Some(0) {
            runs.push(done.stdout.trim().to_owned());
        }
    }
    until("everything has ended", || {
        end_some();
        let open = "SELECT count(*) FROM run_view WHERE status NOT IN ('completed')";
        (database.sql(open) == "0").then_some(())
    });
    assert!(ended > 10, "{ended} sessions were ended");
    let struck = database.sql("SELECT last_value FROM struck WHERE is_called");
    assert!(struck.parse::<u32>().is_ok_and(|struck| struck > 0), "commits were given up");
    check(&host, &place, &runs);
}
