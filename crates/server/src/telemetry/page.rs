//! The metrics as Prometheus reads them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tutti_core::ports::inbound::access::Caller;

/// `GET /metrics`.
pub fn routes(registry: Registry) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(registry)
}

/// The figures are those of all namespaces: whoever may see one of them only may not see them.
async fn metrics(State(registry): State<Registry>, caller: Option<Extension<Caller>>) -> Response {
    if caller.is_some_and(|Extension(caller)| caller.namespace.is_some()) {
        return (StatusCode::FORBIDDEN, "metrics tell of all namespaces; the caller is for one\n").into_response();
    }
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
