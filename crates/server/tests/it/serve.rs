//! `tutti serve` and the commands and callers that use it: real processes, real agents, a port of their own.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tutti_api::v1;
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_api::v1::watch_run_response::Message;

use crate::host::{Host, said};
use crate::support::{EXAMPLE, Place, about, jsonl, seqs, until, workflow};

/// A server with the agents of the example.
fn serve(place: &Place) -> Host {
    Host::with(place, &["--agents", &format!("{EXAMPLE}/agents.yaml")])
}

/// Starts a run of the example.
fn submit(server: &Host, place: &Place, more: &[&str]) -> String {
    server.submit_file(place, &workflow(), more)
}

async fn client(server: &Host) -> RunServiceClient<Channel> {
    RunServiceClient::connect(server.url.clone()).await.unwrap()
}

fn states(place: &Place, server: &Host) -> Vec<String> {
    let page = server.tutti(place, &["list", "-o", "json"]).expect(0).json();
    page["runs"].as_array().unwrap().iter().map(|run| run["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_is_submitted_followed_and_shown_as_locally() {
    let place = Place::with_delay(50);
    let server = serve(&place);
    let request = "0b54a9c8-3c8c-4f0e-9a55-6c7d1b6f0001";
    let run = submit(&server, &place, &["--request-id", request]);
    assert_eq!(submit(&server, &place, &["--request-id", request]), run, "one request, one run");
    let all = server.follow(&place, &run);
    assert!(seqs(&all).into_iter().eq(1..=all.len() as u64), "no gap, no duplicate");
    assert_eq!(all.last().unwrap()["event"], "RunCompleted");
    assert_eq!(server.follow_from(&place, &run, 7), all[6..], "from any number");

    // The server's answers are those of its store.
    for args in [
        &["get", &run, "-o", "json"][..],
        &["get", &run],
        &["list", "-o", "json"],
        &["list", "-o", "name", "--state", "completed"],
        &["events", &run[..13]],
        &["data", "latest"],
        &["artifacts", &run],
    ] {
        let (remote, local) = (server.tutti(&place, args).expect(0), place.tutti(args).expect(0));
        assert_eq!(remote.stdout, local.stdout, "{args:?}");
    }

    let others: Vec<String> = (0..3).map(|_| submit(&server, &place, &[])).collect();
    let first = server.tutti(&place, &["list", "-o", "json", "--limit", "3"]).expect(0).json();
    let next = first["next"].as_str().unwrap();
    let second = server.tutti(&place, &["list", "-o", "json", "--limit", "3", "--cursor", next]).expect(0).json();
    let ids: Vec<&str> = [&first, &second]
        .iter()
        .flat_map(|page| page["runs"].as_array().unwrap())
        .map(|run| run["run_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [&others[2], &others[1], &others[0], &run].map(String::as_str));
    assert_eq!(server.tutti(&place, &["list", "--cursor", "x"]).code, Some(2));
}

#[test]
fn a_run_is_held_and_goes_on_and_a_terminated_one_does_not() {
    let place = Place::with_delay(300);
    let server = serve(&place);
    let run = submit(&server, &place, &[]);
    let pause = ["pause", &run, "--reason", "the audit", "--request-id", "0b54a9c8-3c8c-4f0e-9a55-6c7d1b6f0002"];
    assert!(server.tutti(&place, &pause).expect(0).stderr.contains("is paused"));
    assert_eq!(states(&place, &server), ["paused"]);
    assert!(server.tutti(&place, &["resume", &run]).expect(0).stderr.contains("goes on"));
    // A late copy of the request does not hold it again.
    server.tutti(&place, &pause).expect(0);
    let events = server.follow(&place, &run);
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((of("RunPaused"), of("RunResumed"), of("RunCompleted")), (1, 1, 1));
    server.tutti(&place, &["retry", &run, "--reason", "x"]).expect(2);
    let run = submit(&server, &place, &[]);
    server.tutti(&place, &["terminate", &run, "--reason", "not needed", "--yes"]).expect(0);
    assert_eq!(server.follow(&place, &run).last().unwrap()["event"], "RunTerminated");
    server.tutti(&place, &["resume", &run]).expect(2);
}

#[test]
fn commands_beside_a_server_reach_it_through_the_store() {
    let place = Place::with_delay(300);
    let server = serve(&place);
    let run = submit(&server, &place, &[]);
    assert!(place.tutti(&["pause", &run, "--reason", "the audit", "--yes"]).expect(0).stderr.contains("is paused"));
    assert_eq!(states(&place, &server), ["paused"]);
    let refused = place.tutti(&["retry", &run, "--reason", "x", "--yes"]).expect(2);
    assert!(refused.stderr.contains("paused"), "{}", refused.stderr);
    assert!(place.tutti(&["resume", &run]).expect(0).stderr.contains("goes on"));
    let driven = place.tutti(&["resume", &run]).expect(69);
    assert!(driven.stderr.contains("is in use") && driven.stderr.contains("--server URL"), "{}", driven.stderr);
    place.tutti(&["cancel", &run, "--reason", "enough", "--yes"]).expect(0);
    assert_eq!(server.follow(&place, &run).last().unwrap()["data"]["reason"], "enough");
}

#[test]
fn a_run_is_cancelled_and_what_is_not_there_is_said() {
    let place = Place::with_delay(2_000);
    let server = serve(&place);
    let run = submit(&server, &place, &[]);
    let refused = server.tutti(&place, &["cancel", &run, "--reason", "x"]).expect(2);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    let cancel = ["cancel", &run, "--reason", "wrong data", "--yes"];
    assert!(server.tutti(&place, &cancel).expect(0).stderr.contains("is cancelled"));
    assert!(server.tutti(&place, &cancel).expect(0).stderr.contains("is cancelled, as before"));
    let events = server.follow(&place, &run);
    assert_eq!(events.last().unwrap()["data"]["reason"], "wrong data");
    assert_eq!(states(&place, &server), ["cancelled"]);
    server.tutti(&place, &["cancel", "ffff", "--reason", "x", "--yes"]).expect(2);
    let url = server.url.clone();
    assert_eq!(server.end_by(Signal::TERM), Some(0), "drained");
    let gone = place.tutti(&["list", "--server", &url]).expect(69);
    assert!(gone.stderr.contains("tutti serve"), "{}", gone.stderr);
    place.tutti(&["list", "--server", "nonsense"]).expect(2);
    assert!(!place.agents_folder().exists(), "no agent is left");
}

#[test]
fn a_public_address_needs_a_word() {
    let place = Place::new();
    let agents = format!("{EXAMPLE}/agents.yaml");
    let done = place.tutti(&["serve", "--listen", "0.0.0.0:0", "--agents", &agents]).expect(2);
    assert!(done.stderr.contains("--insecure-public"), "{}", done.stderr);
}

#[test]
fn killed_in_the_middle_of_runs_a_new_server_finishes_them_and_watchers_miss_nothing() {
    let place = Place::with_delay(300);
    let server = serve(&place);
    let runs: Vec<String> = (0..3).map(|_| submit(&server, &place, &[])).collect();
    until("the middle", || (!about(&place.events(), "StepCompleted", "generate-a").is_empty()).then_some(()));
    let before: Vec<Vec<Value>> =
        runs.iter().map(|run| jsonl(&server.tutti(&place, &["events", run, "-o", "jsonl"]).expect(0).stdout)).collect();
    assert_eq!(server.end_by(Signal::KILL), None);

    let server = serve(&place);
    for (run, before) in runs.iter().zip(before) {
        let next = before.len() + 1;
        let after = server.follow_from(&place, run, next);
        assert!(seqs(&after).into_iter().eq(next as u64..next as u64 + after.len() as u64), "on from where it was");
        assert_eq!(after.last().unwrap()["event"], "RunCompleted");
    }
    assert_eq!(states(&place, &server), ["completed"; 3]);
}

#[tokio::test]
async fn a_server_that_listens_is_healthy() {
    let place = Place::new();
    let server = serve(&place);
    let channel = Channel::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    for service in ["", "tutti.v1.RunService"] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(asked).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
}

#[tokio::test]
async fn callers_are_told_which_field_is_wrong() {
    let place = Place::new();
    let server = serve(&place);
    let mut client = client(&server).await;
    let good = v1::StartRunRequest {
        request_id: "0b54a9c8-3c8c-4f0e-9a55-6c7d1b6f0002".to_owned(),
        source: Some(v1::start_run_request::Source::Workflow(
            "id: w\nsteps: [{id: s, capability: c, depends_on: [x]}]".to_owned(),
        )),
        ..v1::StartRunRequest::default()
    };
    let fields = |status: tonic::Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        tutti_a2a::error::violations(&status).into_iter().map(|(field, _)| field).collect::<Vec<_>>()
    };
    let refused = client.start_run(good.clone()).await.unwrap_err();
    assert_eq!(fields(refused), ["workflow.steps[s].depends_on[0]"]);
    for (request, field) in [
        (v1::StartRunRequest { request_id: String::new(), ..good.clone() }, "request_id"),
        (v1::StartRunRequest { namespace: "a b".to_owned(), ..good.clone() }, "namespace"),
        (v1::StartRunRequest { executor: 77, ..good.clone() }, "executor"),
    ] {
        assert_eq!(fields(client.start_run(request).await.unwrap_err()), [field]);
    }
    let nobody = "00000000-0000-7000-8000-000000000000".to_owned();
    let get = v1::GetRunRequest { run_id: nobody.clone(), ..v1::GetRunRequest::default() };
    assert_eq!(client.get_run(get).await.unwrap_err().code(), Code::NotFound);
    let watch = v1::WatchRunRequest { run_id: nobody, ..v1::WatchRunRequest::default() };
    assert_eq!(client.watch_run(watch).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_watch_and_a_description_say_the_same_and_a_stopping_server_says_so() {
    let place = Place::with_delay(300);
    let mut server = serve(&place);
    let run = submit(&server, &place, &[]);
    let mut client = client(&server).await;
    let watch = |from_seq| v1::WatchRunRequest { run_id: run.clone(), from_seq, ..v1::WatchRunRequest::default() };
    assert_eq!(client.watch_run(watch(1_000)).await.unwrap_err().code(), Code::OutOfRange);
    let mut stream = client.watch_run(watch(0)).await.unwrap().into_inner();
    let mut last = 0;
    while let Some(response) = stream.message().await.unwrap() {
        if let Some(Message::Event(event)) = response.message {
            assert_eq!(event.seq, last + 1);
            last = event.seq;
            serde_json::from_str::<Value>(&event.body_json).unwrap();
        }
    }
    let get = v1::GetRunRequest { run_id: run.clone(), ..v1::GetRunRequest::default() };
    let described = client.get_run(get).await.unwrap().into_inner().run.unwrap();
    assert_eq!((described.last_seq, described.progress_percent), (last, 100.0));
    assert!(described.steps.iter().all(|step| step.state() == v1::StepState::Completed && step.attempts == 1));
    assert_eq!(described.summary.unwrap().state(), v1::RunState::Completed);

    let open = submit(&server, &place, &[]);
    let watch = v1::WatchRunRequest { run_id: open.clone(), ..v1::WatchRunRequest::default() };
    let mut stream = client.watch_run(watch).await.unwrap().into_inner();
    server.signal(Signal::TERM);
    let end = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended as if the run had"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    assert_eq!(server.end(), Some(0));

    let next = serve(&place);
    assert_eq!(next.follow(&place, &open).last().unwrap()["event"], "RunCompleted");
}

#[test]
fn a_second_signal_stops_at_once_and_nothing_is_lost() {
    let place = Place::with_delay(60_000);
    // An agent that works for a minute, and does not let go when it is asked to.
    let stubborn = "agents:\n  - name: all\n    command: [bash, -c, \"trap '' TERM; exec -a agent '{self}' example-agent log-counter --port {port}\"]\n    capabilities: [log.count]\n";
    place.write("agents.yaml", stubborn);
    place.write("tutti.toml", "[server]\ndrain_seconds = 60\n");
    let mut host = Host::start(&place);
    let run = host.submit(&place, &[]);
    until("the first step", || (!about(&place.events(), "TaskAssigned", "one").is_empty()).then_some(()));
    let watching = host.start_tutti(&place, &["watch", "-f", "state:running", "--progress", "json"]);
    watching.answers(&[&run]);
    host.signal(Signal::TERM);
    until("the farewell", || said(&place).contains("stopping: ").then_some(()));
    let asked = Instant::now();
    host.signal(Signal::INT);
    assert_eq!(host.end(), Some(130));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(said(&place).contains("stopped at once"), "{}", said(&place));
    // The run stands where it stood, and a server goes on with it, by the agent that works on it.
    assert_eq!(place.tutti(&["list", "-o", "name", "-f", "state:running"]).expect(0).stdout.trim(), run);
    assert_eq!(place.agent_pids().len(), 1);
    let host = host.again(&place);
    until("the run that was under way", || said(&place).contains("runs that go on: 1").then_some(()));
    host.tutti(&place, &["terminate", &run, "--reason", "seen", "--yes"]).expect(0);
}

#[test]
fn the_threshold_of_the_configuration_counts_for_files_that_do_not_say() {
    let place = Place::new();
    place.write("tutti.toml", "[execution]\nparallel_threshold = 2\n");
    let host = Host::start(&place);
    let step = |id: &str| format!("- {{id: {id}, capability: log.count, input: {{lines: lines}}}}\n");
    let file = |head: &str| {
        format!("id: two\n{head}inputs: {{lines: {{default: [a INFO b]}}}}\nsteps:\n{}{}", step("a"), step("b"))
    };
    for (head, executor) in [("", "parallel"), ("parallel_threshold: 3\n", "basic")] {
        place.write("two.yaml", &file(head));
        let report = host.tutti(&place, &["submit", "two.yaml", "--wait", "-o", "json"]).expect(0).json();
        assert_eq!(report["executor"], executor, "{head}");
    }
}
