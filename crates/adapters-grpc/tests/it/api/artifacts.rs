//! What agents produced beside outputs: listed by pages, downloaded in pieces.

use serde_json::json;
use tonic::Code;
use tutti_api::v1;
use tutti_api::v1::download_artifact_response::Message;
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_core::ids::Namespace;
use tutti_core::value::Digest;

use super::world::{DIAMOND, LARGE, WORK, World, fields};

const DEFAULT: fn() -> Namespace = Namespace::default;

#[tokio::test]
async fn artifacts_are_listed_and_downloaded_whole() {
    let world = World::start().await;
    let run = world.ran(WORK, json!({"do": "make"})).await;
    let artifacts = world.client.artifacts(&DEFAULT(), run, None).await.unwrap();
    let told: Vec<_> = artifacts.iter().map(|a| (a.artifact.as_str(), a.name.as_str(), a.content.len)).collect();
    assert_eq!(told, [("1", "report.md", LARGE as u64), ("2", "chart.png", 3), ("3", "chart.png", 1)]);
    assert_eq!(artifacts[0].media_type.as_deref(), Some("text/markdown"));
    assert_eq!(artifacts[2].media_type, None);
    assert_eq!(world.client.artifacts(&DEFAULT(), run, Some("first")).await.unwrap(), artifacts);
    for artifact in &artifacts {
        let content = world.client.download(&DEFAULT(), run, artifact, 0).await.unwrap().all().await.unwrap();
        assert_eq!(Digest::of(&content), artifact.content.hash);
    }
}

#[tokio::test]
async fn a_download_comes_in_pieces_and_goes_on_at_an_offset() {
    let world = World::start().await;
    let run = world.ran(WORK, json!({"do": "make"})).await;
    let report = world.client.artifacts(&DEFAULT(), run, None).await.unwrap().remove(0);
    let mut whole = Vec::new();
    let mut download = world.client.download(&DEFAULT(), run, &report, 0).await.unwrap();
    assert_eq!(download.artifact, report, "told before its content");
    while let Some(piece) = download.next().await.unwrap() {
        assert!(piece.len() <= 64 * 1024);
        whole.extend_from_slice(&piece);
    }
    assert_eq!(whole.len(), LARGE);
    for offset in [70_000, LARGE] {
        let mut rest = Vec::new();
        let mut download = world.client.download(&DEFAULT(), run, &report, offset as u64).await.unwrap();
        while let Some(piece) = download.next().await.unwrap() {
            rest.extend_from_slice(&piece);
        }
        assert_eq!(rest, whole[offset..]);
    }
}

#[tokio::test]
async fn an_artifact_is_named_so_that_one_fits() {
    let world = World::start().await;
    let two = "
id: two
steps:
- {id: a, capability: work, input: {do: {value: make}, n: {value: 1}}}
- {id: b, capability: work, input: {do: {value: make}, n: {value: 1}}}
";
    let run = world.ran(two, json!({})).await;
    let mut service = RunServiceClient::new(world.channel().await);
    let ask = |step: &str, id: &str, name: &str| v1::DownloadArtifactRequest {
        run_id: run.to_string(),
        step: step.to_owned(),
        artifact_id: id.to_owned(),
        name: name.to_owned(),
        ..v1::DownloadArtifactRequest::default()
    };
    for (request, field) in [
        (ask("", "", ""), "name"),
        (ask("", "", "report.md"), "step"),
        (ask("a", "", "chart.png"), "artifact_id"),
        (ask("x", "1", ""), "step"),
    ] {
        assert_eq!(fields(&service.download_artifact(request).await.unwrap_err()), [field]);
    }
    assert_eq!(service.download_artifact(ask("a", "", "nothing")).await.unwrap_err().code(), Code::NotFound);
    let mut beyond = ask("a", "2", "");
    beyond.offset_bytes = 4;
    assert_eq!(service.download_artifact(beyond).await.unwrap_err().code(), Code::OutOfRange);
    let mut stream = service.download_artifact(ask("b", "3", "chart.png")).await.unwrap().into_inner();
    let Some(Message::Artifact(head)) = stream.message().await.unwrap().unwrap().message else { panic!("no head") };
    assert_eq!((head.step.as_str(), head.size_bytes, head.attempt), ("b", 1, 1));
    let Some(Message::Chunk(chunk)) = stream.message().await.unwrap().unwrap().message else { panic!("no chunk") };
    assert_eq!((&chunk[..], stream.message().await.unwrap()), (&[4][..], None));
}

#[tokio::test]
async fn pages_of_artifacts_follow_one_another() {
    let world = World::start().await;
    let run = world.ran(DIAMOND, json!({})).await.to_string();
    let mut service = RunServiceClient::new(world.channel().await);
    let ask = |token: &str, step: &str| v1::ListArtifactsRequest {
        run_id: run.clone(),
        step: step.to_owned(),
        page_size: 2,
        page_token: token.to_owned(),
        ..v1::ListArtifactsRequest::default()
    };
    let first = service.list_artifacts(ask("", "")).await.unwrap().into_inner();
    let second = service.list_artifacts(ask(&first.next_page_token, "")).await.unwrap().into_inner();
    let ids: Vec<_> = first.artifacts.iter().chain(&second.artifacts).map(|a| a.artifact_id.as_str()).collect();
    assert_eq!((ids.as_slice(), second.next_page_token.as_str()), (&["1", "2", "3"][..], ""));
    assert!(service.list_artifacts(ask("", "b")).await.unwrap().into_inner().artifacts.is_empty());
    for request in [ask("x", ""), ask(&first.next_page_token, "a")] {
        assert_eq!(fields(&service.list_artifacts(request).await.unwrap_err()), ["page_token"]);
    }
    assert_eq!(fields(&service.list_artifacts(ask("", "z")).await.unwrap_err()), ["step"]);
}
