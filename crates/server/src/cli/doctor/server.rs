//! A server, as its callers see it.

use tutti_adapters_grpc::api::{ApiClient, ApiError};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::access::Role;
use tutti_core::ports::inbound::health::{FleetHealth, Lease};
use tutti_core::ports::inbound::runs::CommandRequest;
use tutti_core::ports::inbound::workflows::RegisterWorkflow;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::store::StoreError;
use tutti_core::run::{Command, Order, RunStatus};

use super::{About, Findings};
use crate::clock::SystemClock;
use crate::remote;

/// Asks a server how it is.
pub(super) async fn look(url: &str, namespace: &Namespace, findings: &mut Findings) {
    let client = match remote::client(url) {
        Ok(client) => client,
        Err(failure) => return findings.failed("server", &failure),
    };
    let health = match client.health().await {
        Ok(health) => health,
        Err(error) => return findings.failed("server", &remote::failure(url, error)),
    };
    let rate = health.success_rate().map(|rate| format!(", {:.0} % ended well", rate * 100.0)).unwrap_or_default();
    let attempts = health.completed_attempts + health.failed_attempts;
    findings.ok(
        "server",
        format!(
            "{url} answers: version {}, drives {} runs; {} attempts under way, {attempts} ended since it started{rate}",
            health.version, health.driven_runs, health.active_attempts
        ),
    );
    if health.stalled_runs > 0 {
        let detail = format!("{} runs make no progress though they should; its log says why", health.stalled_runs);
        findings.note("progress", detail, "tutti explain RUN");
    }
    if let Some(fleet) = &health.fleet {
        share(fleet, findings);
    }
    match role(&client, namespace).await {
        Ok(role) => findings.ok("caller", format!("may do what the role {role} allows")),
        Err(error) => findings.failed("caller", &remote::failure(url, error)),
    }
    runs(&client, url, namespace, findings).await;
}

/// How it shares its store with others.
fn share(fleet: &FleetHealth, findings: &mut Findings) {
    let FleetHealth { server, slots, servers, lease } = fleet;
    let next = "look into its log, and whether it reaches its database";
    match lease {
        Lease::Held if *slots == 0 => {
            findings.note("fleet", format!("{server} has no slots yet, as one of {servers} servers"), next);
        }
        Lease::Held => findings.ok("fleet", format!("{server} has {slots} of 1024 slots, as one of {servers} servers")),
        Lease::Lost => findings.wrong("fleet", format!("{server} could not renew its lease: it starts nothing"), next),
        Lease::Replaced => {
            let next = "give each server an id of its own: fleet.server_id";
            findings.wrong("fleet", format!("another server was started under the id {server}"), next);
        }
    }
    findings.about(About::default().server(server.as_str()));
}

/// What the caller may do: found out by asking for what changes nothing, whoever asks. Who may not is told so first.
async fn role(client: &ApiClient, namespace: &Namespace) -> Result<Role, ApiError> {
    let may = |answer: Result<(), ApiError>| match answer {
        Ok(()) | Err(ApiError::Refused(_)) => Ok(true),
        Err(ApiError::Denied(_)) => Ok(false),
        Err(error) => Err(error),
    };
    if may(client.list_tokens().await.map(drop))? {
        return Ok(Role::Admin);
    }
    let (namespace, request) = (namespace.clone(), SystemClock.request_id());
    // No file: refused whoever asks.
    let nothing = RegisterWorkflow { namespace: namespace.clone(), request, text: String::new(), by: String::new() };
    if may(client.register_workflow(nothing).await.map(drop))? {
        return Ok(Role::Author);
    }
    // No run has this id: its time is the beginning of 1970.
    let (run, order) =
        (RunId::new(0, [0; 10]), Order { by: String::new(), reason: "doctor".into(), request: Some(request) });
    let command = CommandRequest { namespace, run, command: Command::Resume, order };
    Ok(if may(client.command(command).await.map(drop))? { Role::Operator } else { Role::Reader })
}

/// How many runs there are, and whether some need somebody.
async fn runs(client: &ApiClient, url: &str, namespace: &Namespace, findings: &mut Findings) {
    let counts = match client.count(namespace, &RunFilter::default()).await {
        Ok(counts) => counts,
        Err(StoreError::Permanent(why)) => {
            return findings.failed("runs", &remote::failure(url, ApiError::Denied(why)));
        }
        Err(error) => return findings.failed("runs", &error.into()),
    };
    let told: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    findings.ok("runs", if told.is_empty() { "no runs".to_owned() } else { told.join(", ") });
    for state in [RunStatus::Quarantined, RunStatus::Stuck] {
        if let Some(count) = counts.get(&state) {
            let next = format!("tutti list --state {state} --server {url}");
            findings.wrong("runs", format!("{count} {state}: somebody must decide"), next);
        }
    }
    if let Some(count) = counts.get(&RunStatus::Waiting) {
        let next = format!("tutti list --state waiting --server {url}");
        findings.note("runs", format!("{count} wait for an answer"), next);
    }
}
