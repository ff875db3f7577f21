//! Several `tutti serve` on one PostgreSQL database: real processes, one of which is killed.

use rustix::process::Signal;
use serde_json::Value;
use tutti_api::v1;
use tutti_api::v1::agent_service_client::AgentServiceClient;
use tutti_testkit::postgres::Database;

use crate::host::Host;
use crate::support::{Done, Place, seqs, until};

/// A database with its tables.
fn database(place: &Place) -> Database {
    let database = Database::fresh();
    place.tutti(&["migrate", "--store", &database.url()]).expect(0);
    database
}

fn server(place: &Place, id: &str, database: &Database) -> Host {
    configured(place, id, database, "")
}

/// A server with more in its configuration.
fn configured(place: &Place, id: &str, database: &Database, more: &str) -> Host {
    place.write("fleet.toml", &format!("[fleet]\nserver_id = \"{id}\"\nlease_seconds = 1\n{more}"));
    Host::with(place, &["--config", "fleet.toml", "--store", &database.url()])
}

/// An agent as a server sees it, if it knows it.
fn agent(server: &Host, place: &Place, id: &str) -> Option<Value> {
    let listed = server.tutti(place, &["agent", "list", "-o", "json"]).expect(0).json();
    listed["agents"].as_array().unwrap().iter().find(|agent| agent["id"] == id).cloned()
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

#[tokio::test]
async fn an_agent_that_one_server_registers_works_for_all_until_it_is_silent_or_taken_out() {
    let (here, there) = (Place::new(), Place::new());
    // Agents of its own has the first alone.
    there.write("agents.yaml", "agents: []\n");
    let database = database(&here);
    let policy = "[agents.policy]\nallow_loopback = true\n";
    let one = configured(&here, "one", &database, policy);
    let two = configured(&there, "two", &database, policy);
    let at_one = || agent(&one, &here, "copy");
    let at_two = || agent(&two, &there, "copy");

    let url = agent(&one, &here, "log-counter").unwrap()["url"].as_str().unwrap().to_owned();
    one.tutti(&here, &["agent", "add", "copy", &url]).expect(0);
    until("the agent at the other server", at_two);
    let run = two.submit(&there, &[]);
    let events = two.follow(&there, &run);
    assert_eq!(events.last().unwrap()["event"], "RunCompleted", "{events:?}");
    assert!(events.iter().any(|event| event["data"]["agent"] == "copy"), "{events:?}");

    // Registered anew at the other: from now on it is to give signs of life, and gives none.
    two.tutti(&there, &["agent", "add", "copy", &url, "--heartbeat", "1s"]).expect(0);
    let is_healthy = |agent: Option<Value>| agent.unwrap()["healthy"].as_bool().unwrap();
    until("its silence", || (!is_healthy(at_one()) && !is_healthy(at_two())).then_some(()));
    let mut client = AgentServiceClient::connect(two.url.clone()).await.unwrap();
    client.heartbeat(v1::AgentHeartbeatRequest { agent_id: "copy".to_owned(), ..Default::default() }).await.unwrap();
    until("its sign of life at the other server", || is_healthy(at_one()).then_some(()));

    one.tutti(&here, &["agent", "remove", "copy", "--yes"]).expect(0);
    until("its end at the other server", || at_two().is_none().then_some(()));
    assert!(agent(&one, &here, "log-counter").is_some(), "what stands in an agents file stays");
}

#[test]
fn what_one_server_says_of_callers_holds_at_all() {
    let (here, there) = (Place::new(), Place::new());
    let database = database(&here);
    let root = here.token(&["--role", "admin", "--name", "root", "--store", &database.url()]);
    let auth = "[auth]\nenabled = true\n";
    let one = configured(&here, "one", &database, auth);
    let two = configured(&there, "two", &database, auth);
    let by = |server: &Host, token: &str, args: &[&str]| {
        let mut command = here.command(&[args, &["--server", &server.url]].concat());
        Done::of(command.env("TUTTI_TOKEN", token).output().unwrap())
    };
    let token = by(&one, &root, &["token", "create", "--role", "reader", "--name", "looker"]).expect(0);
    let token = token.stdout.trim();
    for server in [&two, &one] {
        by(server, token, &["list"]).expect(0);
    }
    let listed = by(&two, &root, &["token", "list", "-o", "json"]).expect(0).json();
    let looker = listed["tokens"].as_array().unwrap().iter().find(|token| token["name"] == "looker").cloned();
    by(&two, &root, &["token", "revoke", looker.unwrap()["id"].as_str().unwrap(), "--yes"]).expect(0);
    by(&two, token, &["list"]).expect(77);
    until("the refusal of the other server", || (by(&one, token, &["list"]).code == Some(77)).then_some(()));
}
