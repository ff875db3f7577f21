//! Traces, metrics and logs as a real receiver gets them from the real binary.

mod agent;
mod receiver;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::process::Signal;
use serde_json::Value;
use tonic::Request;
use tutti_api::v1;
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_core::ids::RunId;
use tutti_core::trace::{RunTrace, span_id};

use self::agent::Agent;
use self::receiver::{Receiver, number, text};
use crate::host::Host;
use crate::support::{EXAMPLE, Place, about, until, workflow};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A server on a free port that tells the receiver everything.
fn serve(place: &Place, agents: &str, receiver: &Receiver) -> Host {
    Host::of(place, telling(&mut place.command(&["serve", "--listen", "127.0.0.1:0", "--agents", agents]), receiver))
}

fn telling<'c>(command: &'c mut Command, receiver: &Receiver) -> &'c mut Command {
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url).env("OTEL_METRIC_EXPORT_INTERVAL", "200")
}

fn find<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    found[0]
}

/// The spans of a run once that of the run is among them.
fn trace_of(receiver: &Receiver, run: &str) -> Vec<Span> {
    until("the span of the run", || {
        let spans: Vec<Span> =
            receiver.spans().into_iter().filter(|span| text(&span.attributes, "tutti.run.id") == Some(run)).collect();
        spans.iter().any(|span| span.name.starts_with("run ")).then_some(spans)
    })
}

/// Checks that the spans are those of the events: one for each step and attempt, with the right parents.
fn check_tree(spans: &[Span], events: &[Value], run: &str) {
    let whole = spans.iter().find(|span| span.name.starts_with("run ")).unwrap();
    assert_eq!(whole.span_id, span_id(run));
    assert_eq!(find(spans, "plan").parent_span_id, whole.span_id);
    let mut steps = BTreeMap::new();
    for event in events.iter().filter(|event| event["event"] == "AttemptStarted") {
        steps
            .entry(event["step"].as_str().unwrap())
            .or_insert_with(Vec::new)
            .push(event["data"]["attempt"].as_u64().unwrap());
    }
    assert!(!steps.is_empty());
    for (step, attempts) in steps {
        let span = find(spans, &format!("step {step}"));
        assert_eq!((&*span.span_id, &span.parent_span_id), (&span_id(&format!("{run}/0/{step}"))[..], &whole.span_id));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        for attempt in attempts {
            let id = span_id(&format!("{run}/0/{step}/{attempt}"));
            let found = spans.iter().find(|span| *span.span_id == id).expect("every attempt has a span");
            assert_eq!(found.parent_span_id, span.span_id);
        }
    }
    let commits: Vec<&Span> = spans.iter().filter(|span| span.name == "commit").collect();
    assert!(!commits.is_empty() && commits.iter().all(|span| span.parent_span_id == whole.span_id));
    assert!(spans.iter().all(|span| span.trace_id == whole.trace_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_caller_through_the_run_to_the_agent() {
    let (place, receiver, agent) = (Place::new(), Receiver::start().await, Agent::start().await);
    let agents = format!("agents: [{{name: witness, url: '{}', capabilities: [see]}}]", agent.url);
    let agents = place.write("agents.yaml", &agents);
    let server = serve(&place, &agents, &receiver);

    let workflow = "id: seen\nsteps: [{id: a, capability: see}, {id: b, capability: see, depends_on: [a]}]";
    let mut request = Request::new(v1::StartRunRequest {
        request_id: "0b54a9c8-3c8c-4f0e-9a55-6c7d1b6f0002".to_owned(),
        source: Some(v1::start_run_request::Source::Workflow(workflow.to_owned())),
        ..v1::StartRunRequest::default()
    });
    request.metadata_mut().insert("traceparent", CALLER.parse().unwrap());
    let mut client = RunServiceClient::connect(server.url.clone()).await.unwrap();
    let run = client.start_run(request).await.unwrap().into_inner().run_id;
    let events = server.follow(&place, &run);
    let spans = trace_of(&receiver, &run);
    check_tree(&spans, &events, &run);

    let caller = RunTrace::parse(CALLER).unwrap();
    let whole = find(&spans, "run seen");
    assert_eq!((&*whole.trace_id, &*whole.parent_span_id), (&caller.trace[..], &caller.parent.unwrap()[..]));
    let step = find(&spans, "step a");
    assert_eq!(text(&step.attributes, "tutti.step.capability"), Some("see"));
    for (step, (message, trace)) in ["a", "b"].iter().zip(agent.asked()) {
        assert_eq!(message, format!("{run}/0/{step}/1"));
        let asked = RunTrace::parse(&trace).expect("the agent was asked in a trace");
        let attempt = spans.iter().find(|span| *span.span_id == asked.parent.unwrap()).expect("its parent was told");
        assert_eq!((attempt.name.as_str(), asked.trace), ("attempt witness", caller.trace));
        assert_eq!(attempt.parent_span_id, find(&spans, &format!("step {step}")).span_id);
        assert_eq!(text(&attempt.attributes, "tutti.agent.task.id"), Some(&*format!("task of {message}")));
    }
    assert_eq!(server.end_by(Signal::TERM), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_every_step_of_the_run_has_its_span() {
    let (place, receiver) = (Place::with_delay(300), Receiver::start().await);
    let agents = format!("{EXAMPLE}/agents.yaml");
    let server = serve(&place, &agents, &receiver);
    let run = server.submit_file(&place, &workflow(), &[]);
    until("the middle", || (!about(&place.events(), "StepCompleted", "generate-a").is_empty()).then_some(()));
    assert_eq!(server.end_by(Signal::KILL), None);

    let server = serve(&place, &agents, &receiver);
    let events = server.follow(&place, &run);
    assert_eq!(events.last().unwrap()["event"], "RunCompleted");
    let spans = trace_of(&receiver, &run);
    check_tree(&spans, &events, &run);
    assert_eq!(spans.iter().filter(|span| span.name.starts_with("step ")).count(), 8);
    let report = place.tutti(&["get", &run, "-o", "json"]).expect(0).json();
    let whole = find(&spans, "run data-science");
    let share = number(&whole.attributes, "tutti.run.parallel_efficiency").expect("it is told of completed runs");
    assert!((share - report["totals"]["parallel_efficiency"].as_f64().unwrap()).abs() < 1e-9, "as the report says");
    let own = run.parse::<RunId>().unwrap().as_uuid();
    assert_eq!(*spans[0].trace_id, own.as_bytes()[..], "a run without a caller's trace begins its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_from_the_command_line_is_sent_with_failures_metrics_and_the_name_of_the_service() {
    let (place, receiver) = (Place::new(), Receiver::start().await);
    let agents = "agents: [{name: broken, command: ['{self}', example-agent, reporter, --port, '{port}'], \
                  capabilities: [break]}]";
    place.write("agents.yaml", agents);
    let workflow = place.write("w.yaml", "id: w\nsteps: [{id: a, capability: break, retry: {max_attempts: 1}}]");
    let mut command = place.command(&["run", &workflow, "-o", "json"]);
    let command = telling(&mut command, &receiver).env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test");
    let done = command.env("OTEL_SERVICE_NAME", "trial").output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));

    // The command waited until all of it was sent.
    let spans = receiver.spans();
    let run = spans.iter().find(|span| span.name == "run w").expect("it was sent before the command ended");
    assert_eq!(text(&run.attributes, "tutti.run.state"), Some("failed"));
    let attempt = find(&spans, "attempt broken");
    assert!(text(&attempt.attributes, "error.type").is_some());
    assert_eq!(attempt.status.as_ref().unwrap().code, 2, "ERROR");
    assert!(receiver.services().iter().all(|name| name == "trial"));
    let metrics = receiver.metrics();
    let ended = metrics.iter().rfind(|metric| metric.name == "tutti.runs.ended").expect("metrics are flushed");
    let Some(Data::Sum(sum)) = &ended.data else { panic!("a counter") };
    assert_eq!(text(&sum.data_points[0].attributes, "tutti.run.state"), Some("failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_in_the_trace_of_the_run() {
    let (place, receiver, agent) = (Place::new(), Receiver::start().await, Agent::start().await);
    place.write("agents.yaml", &format!("agents: [{{name: witness, url: '{}', capabilities: [see]}}]", agent.url));
    // An input field without a value is left out, and the log says so.
    let workflow = "id: w\nsteps:\n  - {id: a, capability: see, output: {'*': seen}}\n  - id: b\n    capability: see\n    depends_on: [a]\n    \
                    input: {x: {from: seen.none}}\n";
    let workflow = place.write("w.yaml", workflow);
    let mut command = place.command(&["run", &workflow, "--log", "warn", "-o", "json"]);
    let command = telling(&mut command, &receiver).env("TUTTI_TELEMETRY__LOG_FORMAT", "json");
    let done = command.output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(0), "{stderr}");
    let lines = stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.into_iter().find(|line| line["attempt"].is_string()).unwrap_or_else(|| panic!("{stderr}"));
    let trace = RunTrace::parse(&agent.asked()[0].1).unwrap().trace;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(line["trace_id"], hex(&trace));
    let sent = receiver.logs();
    let record = sent.iter().find(|record| text(&record.attributes, "attempt").is_some()).expect("it was sent");
    assert_eq!((&*record.trace_id, hex(&record.span_id)), (&trace[..], line["span_id"].as_str().unwrap().to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_shows_its_metrics_to_prometheus_unless_it_is_told_not_to() {
    let place = Place::new();
    let agents = format!("{EXAMPLE}/agents.yaml");
    let server = Host::with(&place, &["--agents", &agents]);
    let run = server.submit_file(&place, &workflow(), &[]);
    server.follow(&place, &run);
    let page = until("the end of the run", || {
        let page = get(&server.url, "/metrics");
        page.contains("tutti_runs_ended_total{").then_some(page)
    });
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    for line in [
        "tutti_runs_started_total{tutti_workflow_id=\"data-science\"} 1",
        "tutti_runs_ended_total{tutti_run_state=\"completed\",tutti_workflow_id=\"data-science\"} 1",
        "tutti_runs_active 0",
        "tutti_attempts_in_flight 0",
        "tutti_steps_ended_total{tutti_result=\"completed\",tutti_step_capability=\"data.generate\"} 3",
        "tutti_attempt_duration_seconds_count{tutti_agent_id=\"analyzer\",tutti_result=\"completed\"} 1",
        "tutti_run_duration_seconds_count{",
        "tutti_run_parallel_efficiency_ratio_count{",
        "tutti_plan_decisions_total{",
        "tutti_commit_duration_seconds_count{tutti_result=\"completed\"}",
        "tutti_commit_events_total",
        "tutti_commit_size_bytes_total",
        "tutti_agent_connections_opened_total",
        "process_cpu_time_seconds_total",
        "process_memory_usage_bytes",
    ] {
        assert!(page.lines().any(|found| found.starts_with(line)), "{line} in\n{page}");
    }
    drop(server);
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--agents", &agents]);
    let server = Host::of(&place, command.env("ENABLE_OBSERVABILITY", "false"));
    assert!(!get(&server.url, "/metrics").contains("tutti_"));
}

#[test]
fn a_receiver_that_does_not_answer_holds_nothing_up() {
    let place = Place::new();
    let agents = "agents: [{name: counter, command: ['{self}', example-agent, log-counter, --port, '{port}']}]";
    place.write("agents.yaml", agents);
    let workflow = "id: w\nsteps: [{id: a, capability: log.count, input: {lines: {value: [1 INFO x]}}}]";
    let workflow = place.write("w.yaml", workflow);
    // It takes connections, and says nothing on them.
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hole.local_addr().unwrap());
    let mut command = place.command(&["run", &workflow, "--log", "warn"]);
    let began = Instant::now();
    let done = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url).output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(0), "{told}");
    assert!(told.contains("telemetry was not sent to its end"), "{told}");
    // Three seconds are waited for; the rest is for a machine with much else to do.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn where_callers_are_checked_metrics_are_for_readers_of_all_namespaces() {
    let place = Place::new();
    let all = place.token(&["--role", "reader"]);
    let one = place.token(&["--role", "reader", "--namespace", "default"]);
    let agents = format!("{EXAMPLE}/agents.yaml");
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--agents", &agents]);
    let server = Host::of(&place, command.env("TUTTI_AUTH__ENABLED", "true"));
    let status = |token: &str| get_as(&server.url, "/metrics", token)[9..12].to_owned();
    assert_eq!([status(""), status("nonsense"), status(&one), status(&all)], ["401", "401", "403", "200"]);
}

pub fn get(url: &str, path: &str) -> String {
    get_as(url, path, "")
}

/// The answer to an HTTP/1.1 request, with its head.
fn get_as(url: &str, path: &str, token: &str) -> String {
    use std::io::{Read as _, Write as _};
    let authority = url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(authority).unwrap();
    let bearer = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {authority}\r\n{bearer}connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
