//! Following many runs, and what becomes of streams when the server stops.

use serde_json::json;
use tutti_adapters_grpc::api::{ApiError, ChangeStream, RunsNews};
use tutti_api::v1;
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_core::ids::Namespace;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::views::RunChange;
use tutti_core::ports::query::RunQuery as _;
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;

use super::world::{WORK, World, fields, request_id, soon, start};
use crate::support::{PATIENCE, until};

const DEFAULT: fn() -> Namespace = Namespace::default;

fn filter(text: &str) -> RunFilter {
    RunFilter::parse(text, Timestamp::default()).unwrap()
}

/// Follows until a change is told that is looked for.
async fn until_told(stream: &mut ChangeStream, wanted: impl Fn(&RunChange) -> bool) -> RunChange {
    let search = async {
        loop {
            match stream.next().await.unwrap().expect("the stream goes on") {
                RunsNews::Existing(page) => panic!("{page:?}"),
                RunsNews::Changed(changes) => {
                    if let Some(found) = changes.into_iter().find(&wanted) {
                        return found;
                    }
                }
            }
        }
    };
    soon(search).await
}

#[tokio::test]
async fn runs_are_followed_from_those_that_are_there_on() {
    let world = World::start().await;
    let old = world.ran(WORK, json!({})).await;
    let mut stream = world.client.watch_runs(&DEFAULT(), &RunFilter::default(), true).await.unwrap();
    let Some(RunsNews::Existing(page)) = stream.next().await.unwrap() else {
        panic!("those that are there come first")
    };
    assert_eq!((page.runs.len(), page.runs[0].run, page.next), (1, old, None));
    let new = world.run(json!({"do": "hold"})).await;
    let running = |change: &RunChange| change.run.run == new && change.run.status == RunStatus::Running;
    assert!(until_told(&mut stream, running).await.matches);
    world.release();
    let completed = |change: &RunChange| change.run.run == new && change.run.status == RunStatus::Completed;
    let told = until_told(&mut stream, completed).await;
    assert_eq!((told.matches, told.run.completed), (true, 1));
}

#[tokio::test]
async fn a_run_that_leaves_the_filter_is_told_and_others_are_not() {
    let world = World::start().await;
    let mut stream = world.client.watch_runs(&DEFAULT(), &filter("state:running label.team=red"), false).await.unwrap();
    let run = async |team: &str| {
        let mut request = start(WORK, &json!({"do": "hold"}));
        request.options.labels.insert("team".parse().unwrap(), team.to_owned());
        world.client.start(request).await.unwrap().run
    };
    let (blue, red) = (run("blue").await, run("red").await);
    let of_red = |change: &RunChange| {
        assert_ne!(change.run.run, blue);
        change.run.run == red
    };
    assert!(until_told(&mut stream, of_red).await.matches);
    world.release();
    let left = until_told(&mut stream, |change| of_red(change) && !change.matches).await;
    assert_eq!(left.run.status, RunStatus::Completed);
    let mut service = RunServiceClient::new(world.channel().await);
    let wrong = v1::WatchRunsRequest { filter: "state:x".into(), ..v1::WatchRunsRequest::default() };
    assert_eq!(fields(&service.watch_runs(wrong).await.unwrap_err()), ["filter"]);
}

#[tokio::test]
async fn streams_and_those_who_wait_are_told_that_the_server_stops() {
    let mut world = World::start().await;
    let run = world.run(json!({"do": "hold"})).await;
    let mut changes = world.client.watch_runs(&DEFAULT(), &RunFilter::default(), true).await.unwrap();
    assert!(matches!(changes.next().await.unwrap(), Some(RunsNews::Existing(_))));
    let mut events = world.client.watch(&DEFAULT(), run, 1).await.unwrap();
    events.next().await.unwrap();
    let execute = v1::ExecuteStreamRequest {
        request_id: request_id().to_string(),
        query: WORK.to_owned(),
        inputs_json: json!({"do": "hold"}).to_string(),
        ..v1::ExecuteStreamRequest::default()
    };
    let mut execution = world.client.execute(execute).await.unwrap();
    execution.next().await.unwrap().unwrap();
    let client = world.client.clone();
    let mut request = start(WORK, &json!({"do": "hold"}));
    request.options.session = Some("waits".parse().unwrap());
    let waiting = tokio::spawn(async move { client.start_and_wait(request, PATIENCE).await });
    let begun = filter("session:waits");
    until(|| async { !world.client.count(&DEFAULT(), &begun).await.unwrap().is_empty() }).await;
    world.stop();
    let stopped =
        |error: ApiError| assert!(matches!(error, ApiError::Unavailable(why) if why.contains("server stops")));
    macro_rules! end {
        ($stream:ident) => {
            soon(async {
                loop {
                    if let Err(error) = $stream.next().await {
                        break error;
                    }
                }
            })
            .await
        };
    }
    stopped(end!(changes));
    stopped(end!(events));
    stopped(end!(execution));
    stopped(soon(waiting).await.unwrap().unwrap_err());
}
