//! What is done to every call, whatever serves it: bounds on how many, how long and how large; a panic is an answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use futures::FutureExt as _;
use http_body_util::Limited;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::limits::ServerLimits;

/// What gRPC's retries wait for (gRFC A6).
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// When a caller that was sent away may come again.
const PUSHBACK_DELAY: Duration = Duration::from_secs(1);
const PUSHBACK_MILLIS: HeaderValue = HeaderValue::from_static("1000");
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Answered under any load: a server that is busy is not one to be killed.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// What is served, and how many calls are under way.
pub(super) struct Calls {
    routes: Router,
    all: Semaphore,
    request_timeout: Duration,
    max_http_body_bytes: usize,
}

impl Calls {
    pub(super) fn new(routes: Router, limits: &ServerLimits) -> Self {
        Self {
            routes,
            all: Semaphore::new(limits.max_concurrent_calls),
            request_timeout: limits.request_timeout,
            max_http_body_bytes: limits.max_http_body_bytes,
        }
    }

    /// Answers one call of a connection; `connection` bounds that connection's calls.
    pub(super) async fn answer(self: Arc<Self>, connection: Arc<Semaphore>, request: Request<Body>) -> Response<Body> {
        let grpc = is_grpc(request.headers());
        let within = allowed(request.headers()).map_or(self.request_timeout, |asked| asked.min(self.request_timeout));
        let health = request.uri().path().starts_with(HEALTH);
        let permit = self.all.try_acquire();
        if permit.is_err() && !health {
            return busy(grpc);
        }
        let handled = async {
            // Closed by nobody.
            let _turn = connection.acquire().await;
            self.handle(grpc, request).await
        };
        match timeout(within, AssertUnwindSafe(handled).catch_unwind()).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => refusal(grpc, StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "the server has a fault"),
            Err(_) => refusal(
                grpc,
                StatusCode::SERVICE_UNAVAILABLE,
                Code::DeadlineExceeded,
                "the call was not answered within its time",
            ),
        }
    }

    async fn handle(&self, grpc: bool, request: Request<Body>) -> Response<Body> {
        let max = self.max_http_body_bytes;
        let request = if grpc {
            request
        } else {
            let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            if length.is_some_and(|length: u64| length > max as u64) {
                return refusal(false, StatusCode::PAYLOAD_TOO_LARGE, Code::OutOfRange, "the body is too large");
            }
            request.map(|body| Body::new(Limited::new(body, max)))
        };
        match self.routes.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Whether a call is to be answered as gRPC has it.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn busy(grpc: bool) -> Response<Body> {
    let why = "the server is busy; try again later";
    let mut response = if grpc {
        tutti_a2a::error::retry_after(Code::ResourceExhausted, why, PUSHBACK_DELAY).into_http()
    } else {
        refusal(false, StatusCode::SERVICE_UNAVAILABLE, Code::ResourceExhausted, why)
    };
    response.headers_mut().insert(PUSHBACK, PUSHBACK_MILLIS);
    response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    response
}

/// The answer to a call that is not served: gRPC's, or one of HTTP.
pub(crate) fn refusal(grpc: bool, status: StatusCode, code: Code, why: &str) -> Response<Body> {
    if grpc {
        return Status::new(code, why).into_http();
    }
    let mut response = Response::new(Body::from(format!("{why}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The caller's `grpc-timeout` (gRPC over HTTP/2, "Timeout"): at most eight digits and a unit.
pub(crate) fn allowed(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_eight_digits_and_a_unit() {
        let read = |text: &'static str| {
            allowed(&HeaderMap::from_iter([(HeaderName::from_static("grpc-timeout"), HeaderValue::from_static(text))]))
        };
        assert_eq!(read("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for wrong in ["", "S", "1", "123456789S", "+1S", "-1S", "1s", "1 S"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
