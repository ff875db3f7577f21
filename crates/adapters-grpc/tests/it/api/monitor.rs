//! How runs and the server do, and what the server says of itself.

use serde_json::{Value, json};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tutti_api::v1;
use tutti_api::v1::monitor_service_client::MonitorServiceClient;
use tutti_core::ids::Namespace;
use tutti_core::report::{Aspect, Finding, OutputReport, Reason};
use tutti_core::run::{RunStatus, StepStatus};
use tutti_core::workflow::Executor;

use super::world::{DIAMOND, WORK, World, fields, start};
use crate::support::{PATIENCE, until};

const DEFAULT: fn() -> Namespace = Namespace::default;

#[tokio::test]
async fn a_run_is_monitored_on_its_way_and_at_its_end() {
    let world = World::start().await;
    let held = world.run(json!({"do": "hold"})).await;
    let current = || async { world.client.monitor(&DEFAULT(), held, false).await.unwrap().0.current_step.is_some() };
    until(current).await;
    let (monitor, outputs) = world.client.monitor(&DEFAULT(), held, true).await.unwrap();
    assert_eq!((monitor.status, monitor.total_steps, monitor.completed_steps), (RunStatus::Running, 1, 0));
    assert_eq!((monitor.performance_metrics.in_flight, monitor.estimated_completion_seconds), (1, None));
    assert!(outputs.is_empty() && monitor.started_at.is_some());

    let run = world.ran(DIAMOND, json!({})).await;
    let (monitor, outputs) = world.client.monitor(&DEFAULT(), run, true).await.unwrap();
    assert_eq!((monitor.progress_percentage, monitor.completed_steps), (100.0, 4));
    assert_eq!((monitor.performance_metrics.attempts, monitor.performance_metrics.success_rate), (4, Some(1.0)));
    assert_eq!((outputs.len(), monitor.estimated_completion_seconds), (4, Some(0.0)));
    let OutputReport::Inline(output) = &outputs["a"] else { panic!("{outputs:?}") };
    assert_eq!(serde_json::from_str::<Value>(output.as_str()).unwrap(), json!({"n": 1}));
    let large = world.ran(WORK, json!({"do": "large"})).await;
    let (_, outputs) = world.client.monitor(&DEFAULT(), large, true).await.unwrap();
    assert!(matches!(outputs["first"], OutputReport::Stored { payload } if payload.len > 20_000));

    let failed = world.ran(WORK, json!({"do": "fail"})).await;
    let (monitor, _) = world.client.monitor(&DEFAULT(), failed, false).await.unwrap();
    assert!(monitor.error.unwrap().contains("the grapes are sour"));
    let mut service = MonitorServiceClient::new(world.channel().await);
    let ask = |run_id: &str| v1::GetRunMonitorRequest { run_id: run_id.into(), ..v1::GetRunMonitorRequest::default() };
    assert_eq!(fields(&service.get_run_monitor(ask("x")).await.unwrap_err()), ["run_id"]);
    let nobody = "01890000-0000-7000-8000-000000000000";
    assert_eq!(service.get_run_monitor(ask(nobody)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn the_health_of_the_server_counts_what_it_did() {
    let world = World::start().await;
    let before = world.client.health().await.unwrap();
    assert_eq!((before.strategy, before.success_rate(), before.active_attempts), (None, None, 0));
    let mut request = start(WORK, &json!({}));
    request.options.executor = Some(Executor::Basic);
    world.client.start_and_wait(request, PATIENCE).await.unwrap();
    world.ran(WORK, json!({"do": "fail"})).await;
    let after = || async {
        let health = world.client.health().await.unwrap();
        health.completed_attempts == 1 && health.failed_attempts == 1
    };
    until(after).await;
    let health = world.client.health().await.unwrap();
    assert_eq!((health.strategy, health.success_rate()), (Some(Executor::Parallel), Some(0.5)));
    assert!(health.average_response.is_some() && health.decided_at.is_some());
}

#[tokio::test]
async fn every_service_says_that_it_serves() {
    let world = World::start().await;
    let mut health = HealthClient::new(world.channel().await);
    for service in ["", "RunService", "WorkflowService", "MonitorService", "AgentService", "AccessService"] {
        let service = if service.is_empty() { String::new() } else { format!("tutti.v1.{service}") };
        let answer = health.check(HealthCheckRequest { service: service.clone() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "x".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn services_describe_themselves_only_if_they_are_to() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let list = || {
        let message_request = Some(MessageRequest::ListServices(String::new()));
        tokio_stream::once(ServerReflectionRequest { host: String::new(), message_request })
    };
    let world = World::with(|api| api.reflection(true)).await;
    let mut client = ServerReflectionClient::new(world.channel().await);
    let answer = client.server_reflection_info(list()).await.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else { panic!("{answer:?}") };
    let names: Vec<&str> = services.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["tutti.v1.RunService", "tutti.v1.MonitorService", "tutti.v1.AccessService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let world = World::start().await;
    let mut client = ServerReflectionClient::new(world.channel().await);
    assert_eq!(client.server_reflection_info(list()).await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_run_explains_itself() {
    let world = World::start().await;
    let held = world.run(json!({"do": "hold"})).await;
    let explain = async |run, step| world.client.explain(&DEFAULT(), run, step).await;
    let has = |findings: &[Finding], reason, words: &str| {
        findings.iter().any(|finding| finding.reason == reason && finding.text.contains(words))
    };
    until(|| async { explain(held, None).await.unwrap().steps.iter().any(|step| step.state == StepStatus::Running) })
        .await;
    let explained = explain(held, None).await.unwrap();
    assert_eq!((explained.run_id, explained.state, explained.steps.len()), (held, RunStatus::Running, 1));
    assert!(has(&explained.findings, Reason::Progress, "0 of 1 steps are complete, 1 under way"), "{explained:?}");
    let step = &explained.steps[0];
    assert_eq!((step.step.as_str(), step.state), ("first", StepStatus::Running));
    assert!(has(&step.findings, Reason::Working, "Attempt 1 is under way at worker"), "{step:?}");
    let timeout = step.findings.iter().find(|finding| finding.reason == Reason::AttemptTimeout).unwrap();
    assert!(timeout.aspect == Aspect::Next && timeout.at.is_some());

    let failed = world.ran(WORK, json!({"do": "fail"})).await;
    let explained = explain(failed, Some("first")).await.unwrap();
    assert!(has(&explained.findings, Reason::Ended, "the grapes are sour"), "{explained:?}");
    assert!(has(&explained.steps[0].findings, Reason::AttemptFailed, "Attempt 1 at worker failed"), "{explained:?}");
    let error = explain(failed, Some("nobody")).await.unwrap_err();
    assert!(error.to_string().contains("step \"nobody\""), "{error}");
}
