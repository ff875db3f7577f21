//! `tutti purge` and `tutti retention`: runs that have ended go, by hand and by rule, and who asks for one is told so.

use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tutti_api::v1;
use tutti_api::v1::run_service_client::RunServiceClient;

use crate::host::{AGENTS, CHAIN, Host};
use crate::support::{Place, until, workflow};

#[test]
fn runs_of_a_store_are_purged_by_hand() {
    let place = Place::new();
    place.tutti(&["run", &workflow(), "--progress", "quiet"]).expect(0);
    let run = place.tutti(&["list", "-o", "name"]).expect(0).stdout.trim().to_owned();
    let purge = |more: &[&str]| place.tutti(&[&["purge", "--older-than"], more].concat());
    assert!(purge(&["1h", "--dry-run"]).expect(0).stderr.contains("0 runs"), "it ended just now");
    let dry = purge(&["0s", "--dry-run", "-o", "json"]).expect(0).json();
    assert_eq!((&dry["dry_run"], dry["runs"].as_array().unwrap().len()), (&true.into(), 1), "{dry}");
    assert_eq!((&dry["runs"][0]["run_id"], &dry["runs"][0]["state"]), (&run.clone().into(), &"completed".into()));
    assert!(dry["events"].as_u64().unwrap() > 5 && dry["events"] == dry["runs"][0]["events"]);
    assert!(purge(&["0s", "-f", "state:failed", "--dry-run"]).expect(0).stderr.contains("0 runs"));
    let refused = purge(&["0s", "--reason", "test"]).expect(2);
    assert!(refused.stderr.contains("purge 1 run") && refused.stderr.contains("--yes"), "{}", refused.stderr);
    assert!(purge(&["0s", "--yes"]).expect(2).stderr.contains("--reason"));
    place.tutti(&["get", &run]).expect(0);

    let done = purge(&["0s", "--reason", "test", "--yes"]).expect(0);
    assert!(done.stdout.contains(&run) && done.stderr.contains("1 run with"), "{}", done.stderr);
    assert_eq!(place.tutti(&["list", "-o", "name"]).expect(0).stdout, "");
    for verb in ["get", "events", "data"] {
        let gone = place.tutti(&[verb, &run]).expect(2);
        assert!(gone.stderr.contains(&format!("there is no run {run} any more: it was purged at ")), "{}", gone.stderr);
    }
    assert!(purge(&["0s", "--reason", "test", "--yes"]).expect(0).stderr.contains("0 runs"));
    let db = rusqlite::Connection::open(place.path().join(".tutti/tutti.db")).unwrap();
    for table in ["run", "run_view", "event", "snapshot", "payload", "request"] {
        let left: u32 = db.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[test]
fn a_server_purges_by_the_rule_of_a_namespace() {
    let place = Place::new();
    place.write("agents.yaml", AGENTS);
    place.write("chain.yaml", CHAIN);
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    let host = Host::of(&place, command.env("TUTTI_RETENTION__INTERVAL_SECONDS", "1"));
    let run = host.submit(&place, &[]);
    host.follow(&place, &run);
    let rule = |more: &[&str]| host.tutti(&place, &[&["retention", "-o", "json"], more].concat());
    let shown = rule(&[]).expect(0).json();
    assert_eq!((&shown["keep_seconds"], &shown["own"]), (&serde_json::Value::Null, &false.into()), "{shown}");
    assert!(host.tutti(&place, &["list", "-o", "name"]).expect(0).stdout.contains(&run));
    assert!(rule(&["--keep", "soon", "--reason", "test"]).expect(2).stderr.contains("--keep 30d"));
    let own = rule(&["--keep", "1s", "--reason", "test"]).expect(0).json();
    assert_eq!((&own["keep_seconds"], &own["own"]), (&1.into(), &true.into()), "{own}");
    until("the run is purged", || {
        host.tutti(&place, &["list", "-o", "name"]).expect(0).stdout.is_empty().then_some(())
    });
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let channel = Endpoint::from_shared(host.url.clone()).unwrap().connect().await.unwrap();
        let asked = v1::GetRunRequest { run_id: run.clone(), ..Default::default() };
        RunServiceClient::new(channel).get_run(Request::new(asked)).await.unwrap_err()
    });
    assert_eq!(answer.code(), Code::NotFound);
    assert!(answer.message().contains(&format!("run {run} any more: it was purged at ")), "{}", answer.message());
    let back = rule(&["--keep", "default", "--reason", "test"]).expect(0).json();
    assert_eq!(back["own"], false);
    let again = host.submit(&place, &[]);
    host.follow(&place, &again);
    let purged = host.tutti(&place, &["purge", "--older-than", "0s", "--reason", "test", "--yes"]).expect(0);
    assert!(purged.stdout.contains(&again), "{}", purged.stdout);
}
