//! Traces, metrics and logs of what the engine does, for operators.
//!
//! The engine tells an [`Observer`] what is durable. A worker folds that into spans (`builder.rs`: a pure fold of a run's
//! events, with ids that follow from names) and counts it. Nothing waits for telemetry: what does not fit is dropped and
//! counted, and a run of which something is missing is read from the store, so that its trace is whole after all. The same
//! holds for a run that a process left behind that is gone.

mod builder;
mod export;
pub mod logs;
mod metrics;
mod names;
mod observer;
mod page;
mod process;
mod runs;
mod span;
#[cfg(test)]
mod testing;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Timeout, timeout};
use tutti_adapters_grpc::GrpcTransport;
use tutti_core::ports::observer::{NoObserver, Observer};
use tutti_core::ports::query::RunQuery;
use tutti_engine::{Engine, Registry, Removed};

use self::export::SpanQueue;
use self::metrics::Metrics;
use self::observer::{Missed, Note, Queue};
use self::worker::Worker;
use crate::config::{OtlpEndpoint, TelemetryConfig};

/// How long each signal may take to be sent to its end when the process ends; they are sent side by side.
const FLUSH: Duration = Duration::from_secs(3);

/// What tells operators what happens. Nothing is told, and nothing costs anything, if nobody is there to hear it.
pub struct Telemetry(Option<Active>);

/// Who asks for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// A server shows them.
    Shown,
    /// Nobody can ask.
    None,
}

struct Active {
    metrics: Metrics,
    meters: SdkMeterProvider,
    registry: Option<prometheus::Registry>,
    logs: Option<SdkLoggerProvider>,
    under_way: Mutex<UnderWay>,
}

struct UnderWay {
    /// Until there is a task that has it.
    exporter: Option<SpanExporter>,
    notes: Option<mpsc::Sender<Note>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Telemetry {
    /// Makes what the configuration asks for. Must be called on a tokio runtime. A receiver that is not there is no error.
    ///
    /// # Errors
    /// An exporter that cannot be made, in words.
    pub fn start(config: &TelemetryConfig, page: Page) -> Result<Self, String> {
        let endpoint = config.otlp_endpoint.as_ref().map(OtlpEndpoint::as_str);
        let registry = (config.prometheus && page == Page::Shown).then(prometheus::Registry::new);
        let sends = endpoint.is_some() && (config.traces || config.metrics || config.logs);
        if !config.enabled || (!sends && registry.is_none()) {
            return Ok(Self(None));
        }
        let resource = resource(config);
        let mut meters = SdkMeterProvider::builder().with_resource(resource.clone());
        if let Some(registry) = &registry {
            let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
            let reader = exporter.scope_info_enabled(false).build().map_err(|error| error.to_string())?;
            meters = meters.with_reader(reader);
        }
        let (mut exporter, mut logs) = (None, None);
        if let Some(endpoint) = endpoint {
            warn_of_protocol();
            if config.metrics {
                meters = meters.with_periodic_exporter(metric_exporter(endpoint)?);
            }
            if config.traces {
                let mut spans = span_exporter(endpoint)?;
                spans.set_resource(&resource);
                exporter = Some(spans);
            }
            if config.logs {
                let provider = SdkLoggerProvider::builder().with_resource(resource).with_log_processor(logs::InTrace);
                let provider = provider.with_batch_exporter(log_exporter(endpoint)?).build();
                logs::send(&provider);
                logs = Some(provider);
            }
        }
        let meters = meters.build();
        let metrics = Metrics::new(meters.meter_with_scope(export::scope()));
        let under_way = Mutex::new(UnderWay { exporter, notes: None, tasks: Vec::new() });
        Ok(Self(Some(Active { metrics, meters, registry, logs, under_way })))
    }

    /// What an engine is to tell, whose runs are read by `query`. To be asked for once.
    pub fn observer(&self, query: Arc<dyn RunQuery>) -> Arc<dyn Observer> {
        let Some(active) = &self.0 else { return Arc::new(NoObserver) };
        let mut under_way = active.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = active.metrics.clone();
        let missed = Arc::new(Missed::default());
        let (notes, queue) = mpsc::channel(observer::QUEUE);
        let spans = under_way.exporter.take().map(|exporter| {
            let (spans, queue) = SpanQueue::new();
            under_way.tasks.push(tokio::spawn(export::run(exporter, queue, metrics.clone())));
            spans
        });
        let worker = Worker::new(query, metrics.clone(), spans, missed.clone(), observer::now());
        under_way.tasks.push(tokio::spawn(worker.run(queue)));
        under_way.notes = Some(notes.clone());
        Arc::new(Queue { notes, missed, metrics })
    }

    /// Tells how connections to agents are used.
    pub fn observe_agents(&self, transport: Arc<GrpcTransport>) {
        if let Some(active) = &self.0 {
            active.metrics.observe_connections(move || transport.stats());
        }
    }

    /// Tells how agents stand, and what waits for them.
    pub fn observe_dispatch(&self, registry: &Registry) {
        if let Some(active) = &self.0 {
            active.metrics.observe_dispatch(registry);
        }
    }

    /// Tells how many runs of an engine make no progress though they should.
    pub fn observe_stalled(&self, engine: &Engine) {
        if let Some(active) = &self.0 {
            active.metrics.observe_stalled(engine.clone());
        }
    }

    /// What is to be told of runs that are purged.
    pub fn removals(&self) -> impl Fn(Removed) + Send + Sync + 'static {
        let metrics = self.0.as_ref().map(|active| active.metrics.clone());
        move |removed| {
            if let Some(metrics) = &metrics {
                metrics.removed(removed);
            }
        }
    }

    /// The HTTP routes of a server: `GET /metrics`, if that is to be shown.
    pub fn routes(&self) -> Router {
        let registry = self.0.as_ref().and_then(|active| active.registry.clone());
        registry.map_or_else(Router::new, page::routes)
    }

    /// Sends what is not sent yet, as well as that can be done in a few seconds. The engine must have come to its end.
    pub async fn stop(self) {
        let Some(active) = self.0 else { return };
        let UnderWay { notes, tasks, .. } = active.under_way.into_inner().unwrap_or_else(PoisonError::into_inner);
        let told = timeout(FLUSH, async {
            let Some(notes) = notes else { return };
            let (done, told) = oneshot::channel();
            if notes.send(Note::Stop(done)).await.is_ok() {
                let _ = told.await;
            }
        });
        let is_told = told.await.is_ok();
        logs::close();
        let meters = aside(move || active.meters.shutdown_with_timeout(FLUSH));
        let logs = aside(move || active.logs.map_or(Ok(()), |logs| logs.shutdown_with_timeout(FLUSH)));
        let spans = timeout(FLUSH, async {
            for task in tasks {
                let _ = task.await;
            }
        });
        let (spans, meters, logs) = tokio::join!(spans, meters, logs);
        let are_sent = [meters, logs].into_iter().all(|sent| matches!(sent, Ok(Ok(Ok(())))));
        if !is_told || spans.is_err() || !are_sent {
            tracing::warn!("telemetry was not sent to its end: its receiver does not answer, or takes too long");
        }
    }
}

/// Does on a thread of its own what blocks, and may do so for longer than it was told to: the process does not wait for it.
fn aside(work: impl FnOnce() -> OTelSdkResult + Send + 'static) -> Timeout<oneshot::Receiver<OTelSdkResult>> {
    let (done, told) = oneshot::channel();
    // Without a thread nobody tells, and that is told at once.
    let _ = std::thread::Builder::new().spawn(move || done.send(work()));
    timeout(FLUSH, told)
}

/// Who tells. `OTEL_RESOURCE_ATTRIBUTES` is read by the SDK.
fn resource(config: &TelemetryConfig) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let name = config.service_name.clone().or_else(|| {
        let known = Resource::builder().build().get(&"service.name".into()).map(|name| name.to_string());
        known.filter(|name| !name.starts_with("unknown_service"))
    });
    let builder = Resource::builder().with_attribute(version);
    builder.with_service_name(name.unwrap_or_else(|| "tutti".to_owned())).build()
}

fn span_exporter(endpoint: &str) -> Result<SpanExporter, String> {
    let builder = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    let builder = if is_tls(endpoint) { builder.with_tls_config(tls()) } else { builder };
    builder.build().map_err(|error| error.to_string())
}

fn metric_exporter(endpoint: &str) -> Result<MetricExporter, String> {
    let builder = MetricExporter::builder().with_tonic().with_endpoint(endpoint);
    let builder = if is_tls(endpoint) { builder.with_tls_config(tls()) } else { builder };
    builder.build().map_err(|error| error.to_string())
}

fn log_exporter(endpoint: &str) -> Result<LogExporter, String> {
    let builder = LogExporter::builder().with_tonic().with_endpoint(endpoint);
    let builder = if is_tls(endpoint) { builder.with_tls_config(tls()) } else { builder };
    builder.build().map_err(|error| error.to_string())
}

fn is_tls(endpoint: &str) -> bool {
    endpoint.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

/// The public authorities, for a receiver by https.
fn tls() -> ClientTlsConfig {
    ClientTlsConfig::new().with_enabled_roots()
}

fn warn_of_protocol() {
    let protocol = std::env::var("OTEL_EXPORTER_OTLP_PROTOCOL").unwrap_or_default();
    if !protocol.is_empty() && protocol != "grpc" {
        tracing::warn!(protocol, "OTLP is spoken over gRPC only; the receiver's gRPC port must be named");
    }
}
