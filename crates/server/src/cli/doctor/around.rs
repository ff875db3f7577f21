//! What stands around a store: clock, certificates, agents.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;
use tutti_adapters_grpc::GrpcTransport;
use tutti_core::ids::Capability;
use tutti_core::ports::agent::{AgentEndpoint, AgentTransport};
use tutti_core::ports::clock::Clock;
use tutti_core::report::rfc3339;
use tutti_core::time::Timestamp;
use x509_parser::pem::Pem;

use super::Findings;
use crate::agents::AgentsFile;
use crate::agents::file::{AgentEntry, Origin};
use crate::cli::Global;
use crate::clock::SystemClock;
use crate::config::Config;

/// How long before its end a certificate is told of.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long an agent may take to show its card.
const CARD: Duration = Duration::from_secs(10);

/// When this was written: a clock that says an earlier time is wrong.
const WRITTEN: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// Whether the clock of this machine can be right.
pub(super) fn clock(findings: &mut Findings) {
    let now = SystemClock.now();
    let told = format!("it is {}", rfc3339(now));
    if now < WRITTEN {
        return findings.wrong("clock", told, "set the clock of this machine by a time server");
    }
    findings.ok("clock", told);
}

/// Whether the certificates of the server can be served, and for how long.
pub(super) fn certificates(config: &Config, findings: &mut Findings) {
    let Some(options) = config.server.options(&config.tls).tls else {
        return findings.ok("tls", "the server speaks plain text: no certificate is configured");
    };
    if let Err(error) = options.check() {
        return findings.wrong("tls", error.to_string(), "put tls.cert, tls.key and tls.client_ca right");
    }
    let before = findings.findings.len();
    for path in [Some(&options.cert), options.client_ca.as_ref()].into_iter().flatten() {
        validity(path, SystemClock.now(), findings);
    }
    if findings.findings.len() == before {
        findings.ok("tls", format!("{} can be served", options.cert.display()));
    }
}

/// Tells of certificates of a PEM file that do not count now, or soon do not any more.
fn validity(path: &PathBuf, now: Timestamp, findings: &mut Findings) {
    const NEXT: &str = "get a new certificate and put it in place of the old one; a server takes it while it runs";
    let shown = path.display();
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) => return findings.wrong("tls", format!("{shown} cannot be read: {error}"), NEXT),
    };
    for pem in Pem::iter_from_buffer(&content).flatten() {
        let Ok(certificate) = pem.parse_x509() else { continue };
        let moment = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
        let from = moment(certificate.validity().not_before.timestamp());
        let until = moment(certificate.validity().not_after.timestamp());
        let subject = certificate.subject();
        if until <= now {
            findings.wrong("tls", format!("{shown}: {subject} expired at {}", rfc3339(until)), NEXT);
        } else if now < from {
            findings.wrong("tls", format!("{shown}: {subject} counts from {} on", rfc3339(from)), NEXT);
        } else if until.since(now) < SOON {
            findings.note("tls", format!("{shown}: {subject} expires at {}", rfc3339(until)), NEXT);
        }
    }
}

/// Whether the agents of the agents file can be reached, and can do what it says.
pub(super) async fn agents(given: Option<&Path>, global: &Global, findings: &mut Findings) {
    let given = given.or(global.config.agents.file.as_deref());
    let file = match AgentsFile::find(given, "workflow.yaml".as_ref()) {
        Ok(Some(file)) => file,
        Ok(None) => return findings.ok("agents", "there is no agents file here"),
        Err(failure) => return findings.failed("agents", &failure),
    };
    let transport = GrpcTransport::new(global.config.agents.transport());
    let looks = file.agents.iter().map(|entry| look(entry, file.folder(), &transport));
    for (entry, found) in file.agents.iter().zip(join_all(looks).await) {
        let check = "agents";
        match found {
            Ok(told) => findings.ok(check, format!("{}: {told}", entry.name)),
            Err((told, next)) => findings.wrong(check, format!("{}: {told}", entry.name), next),
        }
    }
}

/// Looks at one agent: what can be said of it, or what is wrong and what to do.
async fn look(entry: &AgentEntry, folder: &Path, transport: &GrpcTransport) -> Result<String, (String, String)> {
    let url = match &entry.origin {
        Origin::Url(url) => url.clone(),
        Origin::Command(command) => {
            let program = command.line.first().map(String::as_str).unwrap_or_default();
            if is_program(program, folder) {
                return Ok(format!("is started by {program}; tutti agent check starts it to look at it"));
            }
            let next = "install it, or put its `command` in the agents file right";
            return Err((format!("there is no program \"{}\"", program.escape_debug()), next.to_owned()));
        }
    };
    let endpoint = AgentEndpoint { id: entry.name.clone(), url: url.clone(), access: entry.access.clone() };
    let card = match timeout(CARD, transport.describe(&endpoint)).await {
        Ok(Ok(card)) => card,
        Ok(Err(error)) => {
            return Err((
                format!("{url} does not show its card: {error}"),
                "start it, or put its `url` right".to_owned(),
            ));
        }
        Err(_) => return Err((format!("{url} does not answer"), "start it, or put its `url` right".to_owned())),
    };
    let missing: Vec<&str> = entry
        .capabilities
        .iter()
        .flatten()
        .filter(|wanted| !card.capabilities.contains(wanted))
        .map(Capability::as_str)
        .collect();
    if !missing.is_empty() {
        let told = format!("the card at {url} does not name {}", missing.join(", "));
        return Err((told, "put its `capabilities` in the agents file right".to_owned()));
    }
    let able = entry.capabilities.as_ref().unwrap_or(&card.capabilities);
    let names: Vec<&str> = able.iter().map(Capability::as_str).collect();
    Ok(format!("{url} answers: {}", names.join(", ")))
}

/// Whether a command of an agents file has a program to start; placeholders stand for what is there.
fn is_program(program: &str, folder: &Path) -> bool {
    let filled = program.replace("{dir}", &folder.display().to_string());
    if filled.contains('{') {
        return true;
    }
    if filled.contains('/') {
        return Path::new(&filled).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(&filled).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_as_a_shell_does() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("agent.sh"), "").unwrap();
        assert!(is_program("sh", folder.path()) && is_program("{self}", folder.path()));
        assert!(is_program("{dir}/agent.sh", folder.path()));
        assert!(!is_program("{dir}/other.sh", folder.path()) && !is_program("no-such-program-here", folder.path()));
    }

    #[test]
    fn certificates_are_told_of_before_they_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2026, 3, 1));
        std::fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
        let states = |day: &str| {
            let now = tutti_core::report::parse_rfc3339(&format!("{day}T00:00:00Z")).unwrap();
            let mut findings = Findings::default();
            validity(&path, now, &mut findings);
            findings.findings.into_iter().map(|finding| finding.state).collect::<Vec<_>>()
        };
        use super::super::State::{Note, Wrong};
        assert_eq!(states("2026-01-15"), []);
        assert_eq!(states("2026-02-15"), [Note]);
        assert_eq!((states("2026-03-01"), states("2025-12-31")), (vec![Wrong], vec![Wrong]));
    }
}
