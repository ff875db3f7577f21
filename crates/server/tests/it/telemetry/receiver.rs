//! A receiver of OTLP over gRPC, as a collector is one: keeps all that it gets.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What came. Serves until the test ends.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    got: Arc<Mutex<Got>>,
}

#[derive(Default)]
struct Got {
    spans: Vec<Span>,
    metrics: Vec<Metric>,
    logs: Vec<LogRecord>,
    /// `service.name` of everything that came.
    services: Vec<String>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Self { url, got: Arc::default() };
        let server = Server::builder()
            .add_service(TraceServiceServer::new(receiver.clone()))
            .add_service(MetricsServiceServer::new(receiver.clone()))
            .add_service(LogsServiceServer::new(receiver.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        receiver
    }

    /// The spans so far, each once: what is told again must be told as before.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for span in &self.got.lock().unwrap().spans {
            match spans.iter().find(|known| known.span_id == span.span_id) {
                Some(known) => assert_eq!(known, span, "told again, and otherwise"),
                None => spans.push(span.clone()),
            }
        }
        spans
    }

    pub fn metrics(&self) -> Vec<Metric> {
        self.got.lock().unwrap().metrics.clone()
    }

    pub fn logs(&self) -> Vec<LogRecord> {
        self.got.lock().unwrap().logs.clone()
    }

    pub fn services(&self) -> Vec<String> {
        self.got.lock().unwrap().services.clone()
    }

    fn take(&self, take: impl FnOnce(&mut Got)) {
        take(&mut self.got.lock().unwrap());
    }
}

/// The text of an attribute.
pub fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| attribute.key == key).and_then(|attribute| plain(attribute.value.as_ref()?))
}

/// The number of an attribute.
pub fn number(attributes: &[KeyValue], key: &str) -> Option<f64> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    if let Value::DoubleValue(number) = value { Some(*number) } else { None }
}

fn plain(value: &AnyValue) -> Option<&str> {
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn service<'a>(attributes: impl Iterator<Item = &'a [KeyValue]>) -> Vec<String> {
    attributes.map(|attributes| text(attributes, "service.name").unwrap().to_owned()).collect()
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        self.take(|got| {
            got.services.extend(service(resources.iter().map(|r| &*r.resource.as_ref().unwrap().attributes)));
            got.spans.extend(resources.into_iter().flat_map(|r| r.scope_spans).flat_map(|scope| scope.spans));
        });
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let resources = request.into_inner().resource_metrics;
        self.take(|got| {
            got.services.extend(service(resources.iter().map(|r| &*r.resource.as_ref().unwrap().attributes)));
            got.metrics.extend(resources.into_iter().flat_map(|r| r.scope_metrics).flat_map(|scope| scope.metrics));
        });
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let resources = request.into_inner().resource_logs;
        self.take(|got| {
            got.services.extend(service(resources.iter().map(|r| &*r.resource.as_ref().unwrap().attributes)));
            got.logs.extend(resources.into_iter().flat_map(|r| r.scope_logs).flat_map(|scope| scope.log_records));
        });
        Ok(Response::new(Default::default()))
    }
}
