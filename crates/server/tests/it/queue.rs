//! More runs than a server drives at once: they wait in the store, and who brings too many is sent away.

use std::time::Duration;

use tonic::Code;
use tutti_api::v1;
use tutti_api::v1::run_service_client::RunServiceClient;
use uuid::Uuid;

use crate::host::{CHAIN, Host};
use crate::support::{Place, until};

/// A server that drives two runs, and three more may wait of each namespace.
const FEW: &str = "[execution]\nmax_live_runs = 2\nmax_queued_runs = 3\n";

fn states(place: &Place, server: &Host, filter: &str) -> Vec<String> {
    let names = server.tutti(place, &["list", "-o", "name", "-f", filter]).expect(0).stdout;
    names.lines().map(str::to_owned).collect()
}

#[test]
fn runs_beyond_the_room_wait_in_the_store_and_go_on_by_priority() {
    let place = Place::with_delay(700);
    // Room for one alone: of two that leave the queue together, either may be the first.
    place.write("tutti.toml", "[execution]\nmax_live_runs = 1\n");
    let server = Host::start(&place);
    let first = server.submit(&place, &[]);
    let low = server.submit(&place, &["--priority", "low"]);
    place.write("urgent.yaml", &format!("priority: high\n{CHAIN}"));
    let high = server.submit_file(&place, "urgent.yaml", &[]);
    assert_eq!(states(&place, &server, "state:pending"), [high.clone(), low.clone()], "newest first");
    // The queue outlives the server.
    let server = server.again(&place);
    let events = server.follow(&place, &high);
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["RunCreated", "RunAdmitted", "AttemptStarted"], "{names:?}");
    for run in [&first, &low] {
        assert_eq!(server.follow(&place, run).last().unwrap()["event"], "RunCompleted");
    }
    let admitted = |run| server.follow(&place, run)[1]["at"].as_str().unwrap().to_owned();
    assert!(admitted(&high) < admitted(&low));
}

#[test]
fn a_full_queue_is_told_with_the_time_to_come_again() {
    let place = Place::with_delay(3_000);
    place.write("tutti.toml", FEW);
    let server = Host::start(&place);
    let runs: Vec<String> = (0..5).map(|_| server.submit(&place, &[])).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(async {
        let mut client = RunServiceClient::connect(server.url.clone()).await.unwrap();
        let source = Some(v1::start_run_request::Source::Workflow(CHAIN.to_owned()));
        let request_id = Uuid::from_u128(0x5a5a).to_string();
        client.start_run(v1::StartRunRequest { request_id, source, ..Default::default() }).await.unwrap_err()
    });
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.message(), "3 runs of namespace default wait for room already; ask again in 5 s");
    assert_eq!(tutti_a2a::error::retry_delay(&refused), Some(Duration::from_secs(5)));
    let said = server.tutti(&place, &["submit", "chain.yaml"]);
    assert_ne!(said.code, Some(0));
    assert!(said.stderr.contains("wait for room already"), "{}", said.stderr);
    // Another namespace has a queue of its own.
    let other = server.submit(&place, &["--namespace", "other"]);
    server.tutti(&place, &["cancel", &other, "--namespace", "other", "--reason", "seen", "--yes"]).expect(0);
    for run in &runs[..4] {
        server.tutti(&place, &["terminate", run, "--reason", "seen", "--yes"]).expect(0);
    }
    // There is room again, for the last one and for a new one.
    until("room", || (server.tutti(&place, &["submit", "chain.yaml"]).code == Some(0)).then_some(()));
    assert_eq!(server.follow(&place, &runs[4]).last().unwrap()["event"], "RunCompleted");
}
