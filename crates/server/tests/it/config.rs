//! What is configured: the file, the environment and the flags, and `tutti config` that tells of them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tutti_api::v1::ExecuteStreamRequest;
use tutti_api::v1::monitor_service_client::MonitorServiceClient;

use crate::host::Host;
use crate::support::{Done, EXAMPLE, Place, workflow};

const FILE: &str = "tutti.toml";

/// A key as `tutti config show` tells it.
fn setting(place: &Place, key: &str, variables: &[(&str, &str)]) -> (Value, String) {
    let output =
        place.command(&["config", "show", "-o", "json"]).envs(variables.iter().copied()).output().unwrap().stdout;
    let shown: Value = serde_json::from_slice(&output).unwrap();
    let settings = shown["settings"].as_array().unwrap();
    let setting = settings.iter().find(|setting| setting["key"] == key).unwrap();
    (setting["value"].clone(), setting["source"].as_str().unwrap().to_owned())
}

fn refused(place: &Place, args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = place.command(args).envs(variables.iter().copied()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    told
}

#[test]
fn the_environment_beats_the_file_beats_the_default() {
    let place = Place::new();
    let key = "agents.connection_pool_size";
    assert_eq!(setting(&place, key, &[]), (json!(20), "default".into()));
    place.write(FILE, "[agents]\nconnection_pool_size = 7\n");
    assert_eq!(setting(&place, key, &[]), (json!(7), "file tutti.toml".into()));
    let short = ("CONNECTION_POOL_SIZE", "8");
    assert_eq!(setting(&place, key, &[short]), (json!(8), "environment CONNECTION_POOL_SIZE".into()));
    let full = ("TUTTI_AGENTS__CONNECTION_POOL_SIZE", "9");
    assert_eq!(setting(&place, key, &[short, full]), (json!(9), format!("environment {}", full.0)));

    let other = place.write("other.toml", "[agents]\nconnection_pool_size = 5\n");
    assert_eq!(setting(&place, key, &[("TUTTI_CONFIG", &other)]).0, json!(5));
    let text = place.tutti(&["config", "show", "--config", &other]).expect(0).stdout;
    assert!(text.contains(&format!("{key} = 5  (file {other})\n")), "{text}");
}

#[test]
fn a_run_goes_by_the_file_the_environment_and_the_flags_each_above_the_one_before() {
    let place = Place::new();
    let ran = |variables: &[(&str, &str)], flags: &[&str]| {
        let workflow = workflow();
        let mut command = place.command(&[&["run", &workflow, "-o", "json"], flags].concat());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["executor"].as_str().unwrap().to_owned()
    };
    place.write(FILE, "[execution]\nparallel = false\n[store]\nurl = \"sqlite:of-the-file.db\"\n");
    assert_eq!(ran(&[], &[]), "basic");
    assert!(place.path().join("of-the-file.db").exists());

    let variables = [("TUTTI_STORE", "sqlite:of-the-environment.db"), ("ENABLE_PARALLEL_EXECUTION", "true")];
    assert_eq!(ran(&variables, &[]), "parallel");
    assert!(place.path().join("of-the-environment.db").exists());

    assert_eq!(ran(&variables, &["--store", "sqlite:of-the-flag.db", "--executor", "basic"]), "basic");
    assert!(place.path().join("of-the-flag.db").exists() && !place.path().join(".tutti").exists());
}

#[test]
fn the_agents_file_may_be_configured() {
    let place = Place::new();
    let agents = place.write("team.yaml", "agents: [{name: a, url: 'http://127.0.0.1:1', capabilities: [other]}]\n");
    let file = place.write("w.yaml", "id: w\nsteps: [{id: s, capability: c}]\n");
    place.tutti(&["lint", &file, "--strict"]).expect(0);
    place.write(FILE, &format!("[agents]\nfile = {agents:?}\n"));
    let told = place.tutti(&["lint", &file, "--strict"]);
    assert_ne!(told.code, Some(0), "the agents of the configured file cannot do the step");
}

#[test]
fn what_is_wrong_is_told_with_what_is_right_and_nothing_starts() {
    let place = Place::new();
    let workflow = workflow();
    place.write(FILE, "[server]\nlisen = \"127.0.0.1:1\"\n[execution]\nmode = \"fast\"\n");
    for args in [&["config", "check"][..], &["config", "show"], &["run", &workflow], &["serve"], &["list"]] {
        let told = refused(&place, args, &[]);
        assert!(
            told.contains("file tutti.toml: server.lisen is not a known key; did you mean server.listen?"),
            "{told}"
        );
        assert!(told.contains("execution.mode is \"fast\"; it takes one of basic, enhanced, parallel"), "{told}");
    }
    assert!(!place.path().join(".tutti").exists() && place.calls().is_empty());
    // What needs no configuration works without a sound one.
    for args in [&["version"][..], &["schema"], &["config", "schema"], &["completion", "bash"]] {
        place.tutti(args).expect(0);
    }

    place.write(FILE, "[execution]\nlanes = 0\n[agents]\nidle_timeout_seconds = \"long\"\n");
    let told = refused(&place, &["config", "check"], &[("TUTTI_SERVER__LISEN", "127.0.0.1:1")]);
    assert!(told.contains("lanes is 0; it takes a whole number from 1 to 1024"), "{told}");
    assert!(told.contains("idle_timeout_seconds is \"long\"; it takes a whole number"), "{told}");
    assert!(told.contains("environment TUTTI_SERVER__LISEN: there is no such setting; did you mean"), "{told}");

    let broken = place.write("broken.toml", "[server\n");
    assert!(refused(&place, &["config", "check", &broken], &[]).contains("is not TOML"));
    assert!(refused(&place, &["list", "--config", "nowhere.toml"], &[]).contains("nowhere.toml cannot be read"));
}

#[test]
fn half_of_tls_is_refused() {
    let place = Place::new();
    for (tls, words) in [
        ("cert = \"c.pem\"", "tls.cert is given without tls.key"),
        ("key = \"k.pem\"", "tls.key is given without tls.cert"),
        ("client_ca = \"ca.pem\"", "tls.client_ca is given without tls.cert and tls.key"),
        ("cert = \"c.pem\"\nkey = \"k.pem\"\nrequire_client_cert = true", "is on without tls.client_ca"),
        ("min_version = \"1.1\"", "it takes one of 1.2, 1.3"),
    ] {
        place.write(FILE, &format!("[tls]\n{tls}\n"));
        for args in [&["config", "check"][..], &["serve"]] {
            let told = refused(&place, args, &[]);
            assert!(told.contains(words), "{words} in {told}");
        }
    }
    place.write(FILE, "[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\nclient_ca = \"ca.pem\"\n");
    place.tutti(&["config", "check"]).expect(0);
}

#[test]
fn a_server_goes_by_the_file_and_neither_tls_nor_auth_alone_opens_it_to_other_machines() {
    let place = Place::new();
    let agents = format!("{EXAMPLE}/agents.yaml");
    let tls = "[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n";
    let public = format!("[server]\nlisten = \"0.0.0.0:0\"\n[agents]\nfile = {agents:?}\n");
    let auth = "[auth]\nenabled = true\n";
    for (file, lacks) in [
        (public.clone(), "needs TLS (tls.cert, tls.key) and auth (auth.enabled)\n"),
        (format!("{public}{tls}"), "needs auth (auth.enabled)\n"),
        (format!("{public}{tls}client_ca = \"ca.pem\"\n"), "needs auth (auth.enabled)\n"),
        (format!("{public}{auth}"), "needs TLS (tls.cert, tls.key)\n"),
    ] {
        place.write(FILE, &file);
        let told = refused(&place, &["serve"], &[]);
        assert!(told.contains("--insecure-public") && told.contains(lacks), "{told}");
    }
    // The flag beats the file; then the certificates are looked at, before anybody is told an address.
    place.write(FILE, &format!("{public}{tls}"));
    let Done { code, stdout, stderr } = place.tutti(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(code == Some(2) && stdout.is_empty() && stderr.contains("c.pem cannot be read"), "{stdout}{stderr}");
}

#[tokio::test]
async fn a_server_with_a_client_ca_serves_only_callers_with_a_certificate() {
    let place = Place::new();
    let (ca, cert, key) = certified(&place);
    let tls = "[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\nclient_ca = \"ca.pem\"\n";
    let agents = format!("{EXAMPLE}/agents.yaml");
    place.write(FILE, &format!("[server]\nlisten = \"127.0.0.1:0\"\n[agents]\nfile = {agents:?}\n{tls}"));

    let child = place.command(&["serve"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut server = Killed(child);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap();
    assert!(url.starts_with("https://127.0.0.1:"), "{line}");

    let answers = async |tls: ClientTlsConfig| {
        let tls = tls.ca_certificate(Certificate::from_pem(&ca)).domain_name("localhost");
        let channel = Channel::from_shared(url.to_owned()).unwrap().tls_config(tls).unwrap().connect_lazy();
        let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
        health.check(tonic_health::pb::HealthCheckRequest::default()).await.is_ok()
    };
    assert!(answers(ClientTlsConfig::new().identity(Identity::from_pem(&cert, &key))).await);
    assert!(!answers(ClientTlsConfig::new()).await, "a caller without a certificate");
}

/// Writes an authority's certificate, one of this machine that it signed, and the key of that: `ca.pem`, `c.pem`, `k.pem`.
fn certified(place: &Place) -> (String, String, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap().pem();
    let key = key.serialize_pem();
    for (name, text) in [("ca.pem", &ca), ("c.pem", &cert), ("k.pem", &key)] {
        place.write(name, text);
    }
    (ca, cert, key)
}

#[test]
fn commands_know_a_server_by_a_private_authority_and_are_known_by_their_certificate() {
    let place = Place::new();
    certified(&place);
    let (ca, cert, key) =
        (("TUTTI_CLIENT__CA", "ca.pem"), ("TUTTI_CLIENT__CERT", "c.pem"), ("TUTTI_CLIENT__KEY", "k.pem"));
    let tls = "[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n";
    let ask = |host: &Host, args: &[&str], variables: &[(&str, &str)]| {
        let mut command = place.command(&[args, &["--server", &host.url]].concat());
        Done::of(command.envs(variables.iter().copied()).output().unwrap())
    };

    place.write(FILE, tls);
    let host = Host::start(&place);
    assert!(host.url.starts_with("https://"), "{}", host.url);
    ask(&host, &["list"], &[]).expect(69);
    ask(&host, &["list"], &[ca]).expect(0);
    ask(&host, &["submit", "chain.yaml", "--wait"], &[ca]).expect(0);
    ask(&host, &["doctor"], &[ca]).expect(0);
    let gone = ask(&host, &["list"], &[("TUTTI_CLIENT__CA", "gone.pem")]).expect(2).stderr;
    assert!(gone.contains("gone.pem cannot be read") && gone.contains("[client]"), "{gone}");
    ask(&host, &["list"], &[ca, cert]).expect(2);
    drop(host);

    place.write(FILE, &format!("{tls}client_ca = \"ca.pem\"\n"));
    let host = Host::start(&place);
    ask(&host, &["list"], &[ca]).expect(69);
    ask(&host, &["list"], &[ca, cert, key]).expect(0);
    let client = "[client]\nca = \"ca.pem\"\ncert = \"c.pem\"\nkey = \"k.pem\"\n";
    place.write(FILE, client);
    ask(&host, &["submit", "chain.yaml", "--wait"], &[]).expect(0);
    ask(&host, &["watch", "latest", "--progress", "quiet"], &[]).expect(0);
}

/// A process that ends with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_schema_describes_the_file() {
    let schema = Place::new().tutti(&["config", "schema"]).expect(0).json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for section in ["store", "server", "tls", "agents", "execution"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[tokio::test]
async fn the_stream_of_requests_can_be_switched_off() {
    let place = Place::new();
    let key = "server.execute_stream";
    let variable = ("ENABLE_PHASE_7_STREAMING", "false");
    let origin = "environment ENABLE_PHASE_7_STREAMING".to_owned();
    assert_eq!(setting(&place, key, &[]).0, json!(true));
    assert_eq!(setting(&place, key, &[variable]), (json!(false), origin));
    place.write(FILE, "[server]\nexecute_stream = false\n");
    let host = Host::start(&place);
    let mut monitor = MonitorServiceClient::connect(host.url.clone()).await.unwrap();
    let refused = monitor.execute_stream(ExecuteStreamRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
}

#[test]
fn established_variables_that_nothing_reads_yet_are_no_errors() {
    let place = Place::new();
    let variables = [("ENABLE_QUALITY_VALIDATION", "true"), ("DEFAULT_QUALITY_DOMAIN", "CODING")];
    let done = place.command(&["config", "check"]).envs(variables).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
