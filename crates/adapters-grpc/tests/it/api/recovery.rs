//! Checkpoints, rollback and decisions over the wire.

use serde_json::json;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tutti_api::v1;
use tutti_api::v1::recovery_service_client::RecoveryServiceClient;
use tutti_api::v1::rollback_run_request::To;
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::query::RunQuery as _;
use tutti_core::run::{Command, Event, Point, RunStatus, Verdict, Work};
use tutti_core::value::{Json, Payload};

use super::runs::ordered;
use super::world::{World, fields, request_id, start};
use crate::support::until;

/// Two steps, the first of which can be undone; the second does as the inputs say.
const TRIP: &str = "
id: trip
inputs: {do: {default: echo}}
steps:
- {id: quote, capability: work, checkpoint: quoted}
- {id: book, capability: work, depends_on: [quote], compensate: {capability: work}}
- {id: pay, capability: work, depends_on: [book], input: {do: do}, retry: {max_attempts: 1}, on_error: escalate}
";

async fn service(world: &World) -> RecoveryServiceClient<Channel> {
    RecoveryServiceClient::new(world.channel().await)
}

async fn status(world: &World, run: RunId) -> RunStatus {
    world.client.find(&Namespace::default(), run).await.unwrap().unwrap().status
}

async fn described(world: &World, run: RunId) -> v1::Run {
    let request = v1::GetRunRequest { run_id: run.to_string(), ..v1::GetRunRequest::default() };
    RunServiceClient::new(world.channel().await).get_run(request).await.unwrap().into_inner().run.unwrap()
}

fn names(events: &[tutti_core::run::Recorded]) -> Vec<&'static str> {
    events.iter().map(|event| event.event.name()).collect()
}

#[tokio::test]
async fn a_run_goes_back_to_a_checkpoint_and_on_from_there() {
    let world = World::start().await;
    let run = world.client.start(start(TRIP, &json!({"do": "hold"}))).await.unwrap().run;
    until(|| async { described(&world, run).await.steps[2].state() == v1::StepState::Running }).await;
    world.client.command(ordered(run, Command::Checkpoint { name: "booked".into() })).await.unwrap();
    let mut service = service(&world).await;
    let list = |size, token: &str| v1::ListCheckpointsRequest {
        run_id: run.to_string(),
        page_size: size,
        page_token: token.to_owned(),
        ..v1::ListCheckpointsRequest::default()
    };
    let first = service.list_checkpoints(list(1, "")).await.unwrap().into_inner();
    let last = service.list_checkpoints(list(1, &first.next_page_token)).await.unwrap().into_inner();
    assert_eq!((first.checkpoints[0].name.as_str(), first.checkpoints[0].undone_count), ("booked", 0));
    assert_eq!(
        (last.checkpoints[0].name.as_str(), &last.checkpoints[0].undone_steps[..]),
        ("quoted", &["book".into()][..])
    );
    assert!(last.next_page_token.is_empty());

    let back = Command::Rollback { to: Point::Checkpoint("quoted".into()), compensate: true };
    world.client.command(ordered(run, back)).await.unwrap();
    world.release();
    let history = world.history(run).await;
    let names = names(&history);
    let at = |name| names.iter().position(|known| *known == name).unwrap();
    assert!(at("UndoStarted") < at("RunRewound") && at("RunRewound") < at("RunCompleted"), "{names:?}");
    let told = described(&world, run).await;
    assert_eq!((told.undos.len(), told.undos[0].id.as_str()), (1, "book"));
    assert_eq!((told.undos[0].state(), told.undone()), (v1::StepState::Completed, v1::Undone::Unspecified));
}

#[tokio::test]
async fn a_step_is_decided_as_far_as_that_makes_sense() {
    let world = World::start().await;
    let run = world.ran(TRIP, json!({"do": "fail"})).await;
    let told = described(&world, run).await;
    let step = &told.steps[2];
    let can: Vec<v1::Verdict> = step.verdicts().collect();
    assert_eq!(step.state(), v1::StepState::Waiting);
    assert_eq!(can, [v1::Verdict::Retry, v1::Verdict::Done, v1::Verdict::Skip, v1::Verdict::Fail]);
    let ask = Command::Decide { step: "pay".into(), verdict: Verdict::Ask, output: None };
    assert!(world.client.command(ordered(run, ask)).await.unwrap_err().to_string().contains("has answered"));
    let output = Some(Payload::Inline(Json::parse("{\"paid\":1.50}").unwrap()));
    let done = Command::Decide { step: "pay".into(), verdict: Verdict::Done, output };
    world.client.command(ordered(run, done)).await.unwrap();
    assert_eq!(status(&world, run).await, RunStatus::Completed);
    let paid = world.client.data(&Namespace::default(), run, Some("pay")).await.unwrap();
    assert_eq!(paid.as_str(), "{\"paid\":1.50}");
}

#[tokio::test]
async fn what_is_wrong_is_told_by_its_field_and_what_is_not_allowed_by_the_state() {
    let world = World::start().await;
    let run = world.ran(TRIP, json!({"do": "fail"})).await;
    let mut service = service(&world).await;
    let asked = |run: RunId| (run.to_string(), request_id().to_string(), "a test".to_owned());
    async fn checkpoint(service: &mut RecoveryServiceClient<Channel>, run: RunId, name: &str) -> Status {
        let request = v1::CheckpointRunRequest {
            run_id: run.to_string(),
            request_id: request_id().to_string(),
            reason: "a test".to_owned(),
            name: name.to_owned(),
            ..v1::CheckpointRunRequest::default()
        };
        service.checkpoint_run(request).await.unwrap_err()
    }
    for name in ["", "17", "before:x"] {
        assert_eq!(fields(&checkpoint(&mut service, run, name).await), ["name"]);
    }
    let rollback = |to: Option<To>| {
        let (run_id, request_id, reason) = asked(run);
        v1::RollbackRunRequest { run_id, request_id, reason, to, ..v1::RollbackRunRequest::default() }
    };
    for to in [None, Some(To::Seq(0)), Some(To::Seq(9_999)), Some(To::Checkpoint("x".into()))] {
        assert_eq!(fields(&service.rollback_run(rollback(to)).await.unwrap_err()), ["to"]);
    }
    let decide = |step: &str, verdict: v1::Verdict, output: &str| {
        let (run_id, request_id, reason) = asked(run);
        let (step, output_json) = (step.to_owned(), output.to_owned());
        let (namespace, requested_by) = (String::new(), String::new());
        let verdict = verdict.into();
        v1::DecideStepRequest { namespace, run_id, request_id, reason, requested_by, step, verdict, output_json }
    };
    for (field, request) in [
        ("verdict", decide("pay", v1::Verdict::Unspecified, "")),
        ("verdict", decide("pay", v1::Verdict::Ask, "")),
        ("verdict", decide("pay", v1::Verdict::Done, "")),
        ("output_json", decide("pay", v1::Verdict::Done, "{")),
        ("output_json", decide("pay", v1::Verdict::Skip, "{}")),
    ] {
        assert_eq!(fields(&service.decide_step(request).await.unwrap_err()), [field]);
    }
    let held = service.decide_step(decide("book", v1::Verdict::Skip, "")).await.unwrap_err();
    assert_eq!(held.code(), Code::FailedPrecondition);
    assert!(held.message().contains("these are held: pay"), "{held:?}");
    world.client.command(ordered(run, Command::Cancel)).await.unwrap();
    assert_eq!(checkpoint(&mut service, run, "late").await.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_paused_run_leaves_its_work_or_has_it_stopped() {
    let world = World::start().await;
    let run = world.client.start(start(TRIP, &json!({"do": "hold"}))).await.unwrap().run;
    until(|| async { described(&world, run).await.steps[2].state() == v1::StepState::Running }).await;
    world.client.command(ordered(run, Command::PauseWork { work: Work::Cancel })).await.unwrap();
    assert_eq!(described(&world, run).await.steps[2].state(), v1::StepState::Pending);
    world.release();
    world.client.command(ordered(run, Command::Resume)).await.unwrap();
    let history = world.history(run).await;
    let begun = history.iter().filter(|event| matches!(&event.event, Event::AttemptStarted(_))).count();
    assert_eq!((status(&world, run).await, begun), (RunStatus::Completed, 4));
}
