//! The log: lines on stderr and records by OTLP, both with the trace of the run that they are about.

use std::fmt::{self, Debug};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::logs::{AnyValue, LogRecord as _};
use opentelemetry::trace::{SpanId, TraceFlags, TraceId};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord, SdkLogger, SdkLoggerProvider};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::runs::{self, Place};
use crate::config::{LogFormat, TelemetryConfig};

/// What is sent by OTLP: nothing of those who send it, or each record would make the next one.
const SENT: &str = "info,opentelemetry=off,hyper=off,tonic=off,tower=off,h2=off";

/// What the SDK says of itself is for those who ask for it.
const QUIET: &str = "opentelemetry=warn";

/// The fields of an entry that name what it is about: a run, or an attempt by its message id.
const NAMES: [&str; 2] = ["attempt", "run"];

/// Where records go once there is an exporter.
static BRIDGE: OnceLock<OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>> = OnceLock::new();

/// Whether they do not go there any more.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Begins to log: on stderr if a level or filter is named, and into what is sent later if that is configured. The first
/// call counts.
///
/// # Errors
/// A filter that is none, in words.
pub fn start(filter: Option<&str>, config: &TelemetryConfig) -> Result<(), String> {
    let quiet = |text: &str| if text.contains("opentelemetry") { text.to_owned() } else { format!("{text},{QUIET}") };
    let filter = filter.map(|text| EnvFilter::try_new(quiet(text))).transpose().map_err(|error| error.to_string())?;
    let lines = filter.map(|filter| lines(config.log_format, std::io::stderr).with_filter(filter));
    let is_sent = config.enabled && config.logs && config.otlp_endpoint.is_some();
    let sent = is_sent.then(|| Sent.with_filter(EnvFilter::new(SENT)));
    if lines.is_some() || sent.is_some() {
        // Whoever was first has the log.
        let _ = tracing_subscriber::registry().with(lines).with(sent).try_init();
    }
    Ok(())
}

/// Sends what is logged from now on. The first call counts.
pub fn send(provider: &SdkLoggerProvider) {
    let _ = BRIDGE.set(OpenTelemetryTracingBridge::new(provider));
}

/// Sends nothing of what is logged from now on.
pub fn close() {
    CLOSED.store(true, Ordering::Relaxed);
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

fn lines(format: LogFormat, to: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) -> Lines {
    let layer = tracing_subscriber::fmt::layer().with_writer(to);
    match format {
        LogFormat::Human => layer.event_format(WithTrace { format: Format::default(), end: human }).boxed(),
        LogFormat::Json => {
            let format = Format::default().json().flatten_event(true).with_current_span(false).with_span_list(false);
            let fields = tracing_subscriber::fmt::format::JsonFields::new();
            layer.fmt_fields(fields).event_format(WithTrace { format, end: json }).boxed()
        }
    }
}

/// The lines of another format, with the trace of the run that they are about.
struct WithTrace<F> {
    format: F,
    end: fn(&str, Place) -> String,
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut about = About::default();
        event.record(&mut about);
        let Some(place) = about.0 else { return self.format.format_event(context, to, event) };
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        to.write_str(&(self.end)(line.trim_end_matches('\n'), place))?;
        to.write_char('\n')
    }
}

fn human(line: &str, place: Place) -> String {
    let (trace, span) = ids(place);
    format!("{line} trace_id={trace} span_id={span}")
}

fn json(line: &str, place: Place) -> String {
    let (trace, span) = ids(place);
    let open = line.strip_suffix('}').unwrap_or(line);
    format!("{open},\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"}}")
}

fn ids(place: Place) -> (TraceId, SpanId) {
    (TraceId::from_bytes(place.trace), SpanId::from_bytes(place.span))
}

/// Finds out which run an entry is about.
#[derive(Default)]
struct About(Option<Place>);

impl Visit for About {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.0.is_none() && NAMES.contains(&field.name()) {
            self.0 = runs::place(&format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.0.is_none() && NAMES.contains(&field.name()) {
            self.0 = runs::place(value);
        }
    }
}

/// Hands entries to the exporter, once there is one.
struct Sent;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Sent {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(bridge) = BRIDGE.get()
            && !CLOSED.load(Ordering::Relaxed)
        {
            bridge.on_event(event, context);
        }
    }
}

/// Puts records into the trace of the run that they are about.
#[derive(Debug)]
pub struct InTrace;

impl LogProcessor for InTrace {
    fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
        let name = |(key, value): &(opentelemetry::Key, AnyValue)| match value {
            AnyValue::String(text) if NAMES.contains(&key.as_str()) => runs::place(text.as_str()),
            _ => None,
        };
        let Some(place) = record.attributes_iter().find_map(name) else { return };
        let flags = if place.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        let (trace, span) = ids(place);
        record.set_trace_context(trace, span, Some(flags));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tutti_core::ids::RunId;
    use tutti_core::trace::{RunTrace, span_id};

    use super::super::testing::created;
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Sink {
        type Writer = Self;
        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    fn logged(format: LogFormat, run: RunId) -> String {
        let sink = Sink::default();
        let subscriber = tracing_subscriber::registry().with(lines(format, sink.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(%run, n = 3, "it \"happened\"");
            tracing::warn!(attempt = %format!("{run}/0/a/1"), "an attempt");
            tracing::warn!("about nothing");
        });
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_about_a_run_name_its_trace_and_the_span() {
        let run = RunId::new(5, [9; 10]);
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        runs::begin(&created(run, Some(parent)));
        let trace = TraceId::from_bytes(RunTrace::parse(parent).unwrap().trace).to_string();
        let span = SpanId::from_bytes(span_id(&format!("{run}/0/a/1"))).to_string();

        let text = logged(LogFormat::Json, run);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["run"], &lines[0]["n"]), (&run.to_string().into(), &3.into()));
        assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&"WARN".into(), &"it \"happened\"".into()));
        assert_eq!((&lines[0]["trace_id"], &lines[1]["trace_id"]), (&trace.as_str().into(), &trace.as_str().into()));
        assert_eq!(lines[1]["span_id"], span);
        assert!(lines[2].get("trace_id").is_none());

        let text = logged(LogFormat::Human, run);
        assert!(text.lines().next().unwrap().contains(&format!("trace_id={trace}")), "{text}");
        assert!(!logged(LogFormat::Human, RunId::new(6, [9; 10])).contains("trace_id"), "a run that is not known");
    }
}
