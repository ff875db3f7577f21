//! Hands spans to the OTLP exporter, in batches.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tutti_core::time::Timestamp;

use super::metrics::Metrics;
use super::span::{About, Outcome, Span, Value};

/// Spans that wait for being exported.
const QUEUE: usize = 32_768;

/// Most spans in one request.
const BATCH: usize = 512;

/// How long a request that is not full waits for more spans.
const DELAY: Duration = Duration::from_millis(200);

/// Takes spans to be exported.
#[derive(Debug, Clone)]
pub struct SpanQueue(mpsc::Sender<Span>);

impl SpanQueue {
    /// A queue, and where it ends.
    pub fn new() -> (Self, mpsc::Receiver<Span>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// False if there is no room.
    pub fn push(&self, span: Span) -> bool {
        self.0.try_send(span).is_ok()
    }
}

/// Exports what comes until the queue is gone. What the receiver does not take after the exporter's own repetitions is lost,
/// and counted.
pub async fn run(exporter: impl SpanExporter, mut spans: mpsc::Receiver<Span>, metrics: Metrics) {
    let scope = scope();
    let mut batch = Vec::with_capacity(BATCH);
    let mut fails = false;
    while spans.recv_many(&mut batch, BATCH).await > 0 {
        let count = batch.len();
        let data = batch.drain(..).map(|span| data(span, &scope)).collect();
        match exporter.export(data).await {
            Ok(()) => {
                metrics.spans_exported(count as u64);
                fails = false;
            }
            Err(error) => {
                metrics.dropped("span", count as u64);
                if !std::mem::replace(&mut fails, true) {
                    tracing::warn!(%error, "spans cannot be exported; they are lost until that changes");
                }
            }
        }
        if count < BATCH && !spans.is_closed() {
            sleep(DELAY).await;
        }
    }
}

/// What all telemetry of this program says of its origin.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("tutti").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// A span as the exporter wants it.
fn data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let trace = TraceId::from_bytes(span.trace);
    let context =
        SpanContext::new(trace, SpanId::from_bytes(span.id), TraceFlags::SAMPLED, false, TraceState::default());
    let attributes = span.attributes.into_iter().map(|(key, value)| match value {
        Value::Text(text) => KeyValue::new(key, text),
        Value::Number(number) => KeyValue::new(key, number),
        Value::Share(share) => KeyValue::new(key, share),
    });
    let mut events = SpanEvents::default();
    events.events = span.moments.into_iter().map(|(name, at)| Event::new(name, time(at), Vec::new(), 0)).collect();
    SpanData {
        span_context: context,
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: span.is_remote && span.parent.is_some(),
        span_kind: match span.about {
            About::Attempt { .. } => SpanKind::Client,
            _ => SpanKind::Internal,
        },
        name: span.name.into(),
        start_time: time(span.start),
        end_time: time(span.end),
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        status: match span.outcome {
            Outcome::Completed => Status::Ok,
            Outcome::Failed(failure) => Status::error(failure.to_string()),
            Outcome::Cancelled => Status::Unset,
        },
        instrumentation_scope: scope.clone(),
    }
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or_default())
}
