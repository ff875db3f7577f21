//! Reading agent cards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tutti_a2a::CARD_PATH;
use tutti_adapters_grpc::{GrpcConfig, GrpcTransport};
use tutti_core::ports::agent::{AgentErrorKind, AgentTransport as _};

use crate::support::{call, serve, transport};

fn card(binding: &str) -> String {
    json!({
        "name": "a", "version": "1",
        "supportedInterfaces": [{"url": "127.0.0.1:9", "protocolBinding": binding, "protocolVersion": "1.0"}],
        "skills": [{"id": "train"}, {"id": "no capability"}]
    })
    .to_string()
}

async fn serve_card(answer: impl IntoResponse + Clone + Send + Sync + 'static) -> String {
    serve(Router::new().route(CARD_PATH, get(async move || answer.clone()))).await
}

async fn failure(url: &str) -> AgentErrorKind {
    transport().describe(&call(url, &json!({})).agent).await.unwrap_err().kind
}

#[tokio::test]
async fn a_card_that_did_not_change_is_not_sent_again() {
    let (sent, spared) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&sent), Arc::clone(&spared));
    let url = serve(Router::new().route(
        CARD_PATH,
        get(async move |headers: HeaderMap| -> Response {
            if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"v1\"") {
                counters.1.fetch_add(1, Ordering::Relaxed);
                return StatusCode::NOT_MODIFIED.into_response();
            }
            counters.0.fetch_add(1, Ordering::Relaxed);
            ([(header::ETAG, "\"v1\"")], card("GRPC")).into_response()
        }),
    ))
    .await;
    let (transport, agent) = (transport(), call(&url, &json!({})).agent);
    let first = transport.describe(&agent).await.unwrap();
    assert_eq!(first.capabilities, ["train".parse().unwrap()]);
    assert_eq!(transport.describe(&agent).await.unwrap(), first);
    assert_eq!((sent.load(Ordering::Relaxed), spared.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test]
async fn what_is_no_usable_card_is_told_from_what_is_not_there() {
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(1024 * 1024));
    for useless in ["<html>".to_owned(), "[]".to_owned(), "{}".to_owned(), card("JSONRPC"), large] {
        assert_eq!(failure(&serve_card(useless).await).await, AgentErrorKind::Unsupported);
    }
    for (status, kind) in [
        (StatusCode::NOT_FOUND, AgentErrorKind::Unsupported),
        (StatusCode::FOUND, AgentErrorKind::Unsupported),
        (StatusCode::UNAUTHORIZED, AgentErrorKind::Unauthorized),
        (StatusCode::SERVICE_UNAVAILABLE, AgentErrorKind::Unavailable),
        (StatusCode::TOO_MANY_REQUESTS, AgentErrorKind::RateLimited),
        (StatusCode::NOT_MODIFIED, AgentErrorKind::Unsupported),
    ] {
        assert_eq!(failure(&serve_card(status).await).await, kind, "{status}");
    }
    assert_eq!(failure("https://127.0.0.1:9").await, AgentErrorKind::Unavailable);
    assert_eq!(failure("http://no url").await, AgentErrorKind::Unsupported);
    assert_eq!(failure("http://127.0.0.1:9").await, AgentErrorKind::Unavailable);
}

#[tokio::test]
async fn a_busy_server_of_a_card_says_when_to_come_back() {
    let busy = (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "7")]);
    let url = serve_card(busy).await;
    let error = transport().describe(&call(&url, &json!({})).agent).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (AgentErrorKind::RateLimited, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn a_card_that_never_comes_is_not_waited_for() {
    let url = serve(Router::new().route(CARD_PATH, get(std::future::pending::<()>))).await;
    let config = GrpcConfig { request_timeout: Duration::from_millis(50), ..GrpcConfig::default() };
    let error = GrpcTransport::new(config).describe(&call(&url, &json!({})).agent).await.unwrap_err();
    assert_eq!(error.kind, AgentErrorKind::Unavailable);
    assert!(error.message.contains("no card within 50ms"), "{error}");
}
