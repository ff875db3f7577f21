//! Who may call a server, by the binary: tokens and roles, namespaces, the policy for agents, and what is never told.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use rustix::process::Signal;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request};
use tutti_api::v1;
use tutti_api::v1::agent_service_client::AgentServiceClient;
use tutti_api::v1::run_service_client::RunServiceClient;

use crate::host::{Host, said};
use crate::support::{Done, Place, about, jsonl, until};

const AUTH: (&str, &str) = ("TUTTI_AUTH__ENABLED", "true");

/// Starts at once and is asked for one thing.
const AGENTS: &str = "agents:\n  - name: generator-a\n    command: [\"{self}\", example-agent, generator-a, --port, \"{port}\", --idle-exit, 10m]\n";

/// Needs nothing but that agent, and waits for it.
const WORKFLOW: &str = "id: one\nsteps:\n  - {id: a, capability: data.generate, agent: generator-a}\n";

/// A server on a free port, with these variables.
fn serve(place: &Place, variables: &[(&str, &str)]) -> Host {
    listening(place, &["serve", "--listen", "127.0.0.1:0"], variables)
}

/// The same by its whole command. Nothing is in `serve.log` but what this server says.
fn listening(place: &Place, args: &[&str], variables: &[(&str, &str)]) -> Host {
    place.write("agents.yaml", AGENTS);
    place.write("w.yaml", WORKFLOW);
    place.write("serve.log", "");
    Host::of(place, place.command(args).envs(variables.iter().copied()))
}

/// A command at a server by the bearer of a token.
fn ask(server: &Host, place: &Place, token: Option<&str>, args: &[&str]) -> Done {
    let mut command = place.command(args);
    command.env("TUTTI_SERVER", &server.url).envs(token.map(|token| ("TUTTI_TOKEN", token)));
    Done::of(command.output().unwrap())
}

fn stop(server: Host) {
    assert_eq!(server.end_by(Signal::TERM), Some(0));
}

#[test]
fn a_token_lets_its_bearer_do_what_its_role_allows_until_it_is_revoked() {
    let place = Place::new();
    let root = place.token(&["--role", "admin", "--name", "root"]);
    let server = serve(&place, &[AUTH]);
    let by = |token: &str, args: &[&str]| ask(&server, &place, Some(token), args);
    let create = |args: &[&str]| by(&root, &[&["token", "create"], args].concat()).expect(0).stdout.trim().to_owned();

    for args in [&["list"][..], &["submit", "w.yaml"], &["token", "list"], &["agent", "list"]] {
        let refused = ask(&server, &place, None, args).expect(77);
        assert!(refused.stderr.contains("TUTTI_TOKEN"), "{args:?}: {}", refused.stderr);
    }
    let (reader, operator, author) = (
        create(&["--role", "reader", "--name", "looker"]),
        create(&["--role", "operator", "--name", "ops"]),
        create(&["--role", "author", "--name", "ci", "--expires-in", "30d"]),
    );
    by(&reader, &["list"]).expect(0);
    let refused = by(&reader, &["submit", "w.yaml"]).expect(77);
    assert!(refused.stderr.contains("needs the role author; the caller is reader"), "{}", refused.stderr);
    by(&operator, &["submit", "w.yaml"]).expect(77);
    let run = by(&author, &["submit", "w.yaml"]).expect(0).stdout.trim().to_owned();
    by(&reader, &["events", &run, "--follow"]).expect(0);
    by(&author, &["token", "list"]).expect(77);
    by(&author, &["agent", "add", "x", "https://agent.example"]).expect(77);

    let listed = by(&root, &["token", "list", "-o", "json"]).expect(0);
    let names: Vec<_> = listed.json()["tokens"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
    assert_eq!(names, ["root", "looker", "ops", "ci"]);
    for secret in [&root, &reader, &operator, &author] {
        assert!(secret.starts_with("tutti_") && !listed.stdout.contains(secret.as_str()));
    }
    let id = listed.json()["tokens"][1]["id"].as_str().unwrap().to_owned();
    let asks = by(&root, &["token", "revoke", &id]).expect(2);
    assert!(asks.stderr.contains("--yes"), "{}", asks.stderr);
    by(&root, &["token", "revoke", &id, "--yes"]).expect(0);
    by(&reader, &["list"]).expect(77);
    assert!(by(&root, &["token", "revoke", &id, "--yes"]).expect(0).stderr.contains("as before"));
    by(&root, &["token", "revoke", "0123456789abcdef", "--yes"]).expect(2);

    let again = ["token", "create", "--role", "reader", "--request-id", "0b54a9c8-3c8c-4f0e-9a55-6c7d1b6f0009"];
    by(&root, &again).expect(0);
    assert!(by(&root, &again).expect(2).stderr.contains("cannot be told again"));
    let taken = place.tutti(&["token", "create", "--role", "admin"]).expect(69);
    assert!(taken.stderr.contains("store"), "{}", taken.stderr);
    place.tutti(&["token", "list"]).expect(0);
}

#[test]
fn a_server_without_tokens_says_how_one_is_made() {
    let place = Place::new();
    let server = serve(&place, &[AUTH]);
    assert!(said(&place).contains("tutti token create --role admin"), "{}", said(&place));
    stop(server);
    let expired = place.token(&["--role", "admin", "--expires-in", "500ms"]);
    until("its end", || place.tutti(&["token", "list"]).expect(0).stdout.contains("expired").then_some(()));
    let server = serve(&place, &[AUTH]);
    assert!(said(&place).contains("tutti token create --role admin"), "one that has expired is none");
    ask(&server, &place, Some(&expired), &["list"]).expect(77);
    stop(server);
    let file = place.write("token", &format!("{}\n", place.token(&["--role", "admin"])));
    let server = serve(&place, &[AUTH]);
    assert!(!said(&place).contains("token create"), "{}", said(&place));
    ask(&server, &place, None, &["list", "--token-file", &file]).expect(0);
    ask(&server, &place, Some("wrong"), &["list", "--token-file", &file]).expect(0);
}

#[test]
fn a_caller_of_a_namespace_stays_in_it_whatever_it_calls() {
    let place = Place::new();
    let red = place.token(&["--role", "admin", "--name", "red-admin", "--namespace", "red"]);
    let root = place.token(&["--role", "admin", "--name", "root"]);
    let server = serve(&place, &[AUTH]);
    let by = |token: &str, args: &[&str]| ask(&server, &place, Some(token), args);
    let run = by(&red, &["submit", "w.yaml"]).expect(0).stdout.trim().to_owned();
    assert!(by(&red, &["list", "-o", "name"]).expect(0).stdout.contains(&run));
    assert!(!by(&root, &["list", "-o", "name"]).expect(0).stdout.contains(&run), "it is not in default");
    by(&red, &["token", "create", "--role", "reader", "--namespace", "blue"]).expect(77);
    by(&red, &["token", "create", "--role", "reader"]).expect(0);
    let tokens = by(&red, &["token", "list", "-o", "json"]).expect(0).json();
    let namespaces = tokens["tokens"].as_array().unwrap().iter().map(|token| token["namespace"].as_str());
    assert!(namespaces.eq([Some("red"), Some("red")]), "{tokens}");

    // Every call that names a namespace, with another one than the caller's.
    let mut calls = 0;
    for (path, input) in inputs() {
        let Some(field) = input.field.iter().find(|field| field.name() == "namespace") else { continue };
        let tag = u8::try_from(field.number() << 3 | 2).unwrap();
        let status = grpc_status(&server, &red, &path, &[&[tag, 4], &b"blue"[..]].concat());
        if path.ends_with("CreateNamespace") {
            assert_eq!(status, "7", "{path}: a caller of one namespace creates none");
            continue;
        }
        assert_eq!(status, "7", "{path} is for another namespace");
        calls += 1;
    }
    assert!(calls > 20, "{calls}");
}

/// The path and the request of every method of the API.
fn inputs() -> BTreeMap<String, DescriptorProto> {
    let files = FileDescriptorSet::decode(tutti_api::FILE_DESCRIPTOR_SET).unwrap().file;
    let message = |name: &str| {
        let found = files
            .iter()
            .flat_map(|f| f.message_type.iter().map(move |m| (format!(".{}.{}", f.package(), m.name()), m)));
        found.into_iter().find(|(full, _)| full == name).unwrap().1.clone()
    };
    let mut inputs = BTreeMap::new();
    for file in &files {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                inputs.insert(path, message(method.input_type()));
            }
        }
    }
    inputs
}

/// The status of a call with these bytes as its message, over HTTP/1.1: it stands in the head if nothing was begun.
fn grpc_status(server: &Host, token: &str, path: &str, message: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0], &length[..], message].concat();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nte: trailers\r\ncontent-type: application/grpc\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.lines().find_map(|line| line.strip_prefix("grpc-status: "));
    status.unwrap_or_else(|| panic!("{path}: {answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_agent_obeys_the_policy_and_is_there_after_a_restart() {
    let place = Place::new();
    let root = place.token(&["--role", "admin"]);
    let server = serve(&place, &[AUTH]);
    let agents = ask(&server, &place, Some(&root), &["agent", "list", "-o", "json"]).expect(0).json();
    let filed = &agents["agents"][0];
    assert_eq!((filed["id"].as_str(), filed["from_file"].as_bool()), (Some("generator-a"), Some(true)));
    let url = filed["url"].as_str().unwrap();
    let refused = ask(&server, &place, Some(&root), &["agent", "add", "copy", url]).expect(2);
    assert!(refused.stderr.contains("loopback") && refused.stderr.contains("[agents.policy]"), "{}", refused.stderr);
    for url in ["http://169.254.169.254", "http://[::ffff:127.0.0.1]:9", "http://2130706433", "file:///etc/passwd"] {
        ask(&server, &place, Some(&root), &["agent", "add", "copy", url]).expect(2);
    }
    stop(server);

    let allowed = [AUTH, ("TUTTI_AGENTS__POLICY__ALLOW", "127.0.0.0/8")];
    let server = serve(&place, &allowed);
    let by = |server: &Host, args: &[&str]| ask(server, &place, Some(&root), args);
    let agents = by(&server, &["agent", "list", "-o", "json"]).expect(0).json();
    let url = agents["agents"][0]["url"].as_str().unwrap().to_owned();
    by(&server, &["agent", "add", "generator-a", &url]).expect(2);
    let added = by(&server, &["agent", "add", "copy", &url, "--heartbeat", "1s", "-o", "json"]).expect(0).json();
    assert_eq!(added["capabilities"], agents["agents"][0]["capabilities"], "those of its card");
    let healthy = |server: &Host| {
        let agents = by(server, &["agent", "list", "-o", "json"]).expect(0).json();
        let copy = agents["agents"].as_array().unwrap().iter().find(|agent| agent["id"] == "copy").cloned();
        copy.map(|agent| agent["healthy"].as_bool().unwrap())
    };
    until("silence", || (healthy(&server) == Some(false)).then_some(()));
    by(&server, &["agent", "check"]).expect(1);
    let mut client = AgentServiceClient::connect(server.url.clone()).await.unwrap();
    let mut beat = Request::new(v1::AgentHeartbeatRequest { agent_id: "copy".to_owned(), ..Default::default() });
    let bearer: MetadataValue<_> = format!("Bearer {root}").parse().unwrap();
    beat.metadata_mut().insert("authorization", bearer);
    client.heartbeat(beat).await.unwrap();
    // It may have become silent again meanwhile; that it was heard is what counts.
    let agents = by(&server, &["agent", "list", "-o", "json"]).expect(0).json();
    assert!(agents["agents"].as_array().unwrap().iter().any(|agent| agent["last_seen_at"].is_string()), "{agents}");
    by(&server, &["agent", "add", "copy", &url]).expect(0);
    assert_eq!(healthy(&server), Some(true), "replaced by one that need give no signs of life");
    stop(server);

    assert_eq!(place.tutti(&["agent", "list", "-o", "json"]).expect(0).json()["agents"][0]["id"], "copy");
    let run = ["run", "w.yaml", "--agents", "nobody.yaml", "-o", "json"];
    place.write("nobody.yaml", "agents: [{name: gone, url: 'http://127.0.0.1:1', capabilities: [data.generate]}]\n");
    place.write("w.yaml", "id: one\nsteps: [{id: a, capability: data.generate, retry: {max_attempts: 1}}]\n");
    place.tutti(&run).expect(1);
    assert_eq!(
        about(&place.events(), "AttemptStarted", "a")[0]["data"]["agent"],
        "copy",
        "what is registered is asked"
    );

    let server = serve(&place, &allowed);
    assert!(healthy(&server).is_some(), "it is there again");
    by(&server, &["agent", "remove", "copy", "--yes"]).expect(0);
    by(&server, &["agent", "remove", "copy", "--yes"]).expect(2);
    by(&server, &["agent", "remove", "generator-a", "--yes"]).expect(2);
    assert_eq!(healthy(&server), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_and_auth_other_machines_get_in_by_token_or_certificate() {
    let place = Place::new();
    let root = place.token(&["--role", "admin"]);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = place.write("ca.pem", &params.self_signed(&ca_key).unwrap().pem());
    let issuer = rcgen::Issuer::new(params, ca_key);
    for name in ["localhost", "ops.example"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        place.write(&format!("{name}.pem"), &params.signed_by(&key, &issuer).unwrap().pem());
        place.write(&format!("{name}.key"), &key.serialize_pem());
    }
    place.write(
        "tutti.toml",
        "[server]\nlisten = \"0.0.0.0:0\"\n[auth]\nenabled = true\ncertificates = [\"ops.example=operator\"]\n\
         [tls]\ncert = \"localhost.pem\"\nkey = \"localhost.key\"\nclient_ca = \"ca.pem\"\nrequire_client_cert = false\n",
    );
    let server = listening(&place, &["serve"], &[]);
    let port = server.url.strip_prefix("https://0.0.0.0:").unwrap();
    let url = format!("https://localhost:{port}");
    let by = |token: Option<&str>, args: &[&str]| {
        let mut command = place.command(args);
        command.env("TUTTI_SERVER", &url).env("SSL_CERT_FILE", &ca).envs(token.map(|token| ("TUTTI_TOKEN", token)));
        Done::of(command.output().unwrap())
    };
    by(Some(&root), &["submit", "w.yaml"]).expect(0);
    by(None, &["list"]).expect(77);

    let pem = |name: &str| std::fs::read(place.path().join(name)).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pem("ca.pem")))
        .identity(Identity::from_pem(pem("ops.example.pem"), pem("ops.example.key")));
    let channel = Channel::from_shared(url.clone()).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
    let mut client = RunServiceClient::new(channel);
    client.list_runs(v1::ListRunsRequest::default()).await.unwrap();
    let refused = client.start_run(v1::StartRunRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}

#[test]
fn an_agent_of_a_namespace_gets_no_run_of_another() {
    let place = Place::new();
    let (root, red) = (place.token(&["--role", "admin"]), place.token(&["--role", "admin", "--namespace", "red"]));
    let server = serve(&place, &[AUTH, ("TUTTI_AGENTS__POLICY__ALLOW_LOOPBACK", "true")]);
    let by = |token: &str, args: &[&str]| ask(&server, &place, Some(token), args);
    let agents = by(&red, &["agent", "list", "-o", "json"]).expect(0).json();
    by(&red, &["agent", "add", "mine", agents["agents"][0]["url"].as_str().unwrap()]).expect(0);
    assert!(!by(&root, &["agent", "list"]).expect(0).stdout.contains("mine"));
    by(&root, &["agent", "add", "mine", agents["agents"][0]["url"].as_str().unwrap()]).expect(2);
    place.write(
        "mine.yaml",
        "id: mine\nsteps: [{id: a, capability: data.generate, agent: mine, retry: {max_attempts: 1}}]\n",
    );
    let first = |token: &str| {
        let run = by(token, &["submit", "mine.yaml"]).expect(0).stdout.trim().to_owned();
        let events = jsonl(&by(token, &["events", &run, "--follow", "-o", "jsonl"]).stdout);
        events.iter().any(|event| event["event"] == "AttemptStarted" && event["data"]["agent"] == "mine")
    };
    assert!(first(&red), "its own agent is asked");
    assert!(!first(&root), "nobody is asked that is of another namespace");
}

#[test]
fn agents_of_a_file_are_looked_at_one_by_one() {
    let place = Place::new();
    place.write("agents.yaml", AGENTS);
    let checked = place.tutti(&["agent", "check", "-o", "json"]).expect(0).json();
    assert_eq!(
        (checked["agents"][0]["id"].as_str(), checked["agents"][0]["ok"].as_bool()),
        (Some("generator-a"), Some(true))
    );
    let more = format!("{AGENTS}  - {{name: gone, url: 'http://127.0.0.1:1', capabilities: [x]}}\n");
    let file = place.write("more.yaml", &more);
    let told = place.tutti(&["agent", "check", "--agents", &file]).expect(1);
    assert!(told.stdout.contains("generator-a") && told.stdout.contains("failed"), "{}", told.stdout);
    place.tutti(&["agent", "check", "http://127.0.0.1:1"]).expect(1);
    assert!(!place.agents_folder().exists(), "no agent is left");
}

#[test]
fn no_token_stands_in_a_log_however_much_is_logged() {
    let place = Place::new();
    let root = place.token(&["--role", "admin"]);
    let server = serve(&place, &[AUTH, ("TUTTI_LOG", "trace")]);
    let made = ask(&server, &place, Some(&root), &["token", "create", "--role", "reader"]).expect(0);
    let refused = ask(&server, &place, Some(made.stdout.trim()), &["token", "list"]).expect(77);
    ask(&server, &place, Some("tutti_0000"), &["list"]).expect(77);
    stop(server);
    let log = said(&place);
    for secret in [root.as_str(), made.stdout.trim(), "tutti_0000"] {
        assert!(!log.contains(secret), "a token is logged");
        assert!(!refused.stderr.contains(secret));
    }
    assert!(log.contains("token created") && log.contains("denied"), "what happened is logged");
}
