//! The guide of the API: each of its examples is run, against real servers.
//!
//! What that proves. Python blocks are executed as they stand, in one session, with stubs that the page's own command made
//! of `proto/`. Shell blocks are executed by `sh` as they stand, with the real `tutti`. Only addresses are exchanged. Then the
//! loops of the page that read streams are tried on a server that is killed.
//!
//! What it does not. The program grpcurl is no part of the tests, unless `TUTTI_TEST_GRPCURL` names it: a stand-in (`grpcurl.py`) makes exactly the call that is
//! written, by the server's reflection and protobuf's JSON, so that a wrong service, method, member or value fails, and so
//! does a flag that it does not know. That the real program takes these flags in this way is known from its documentation
//! alone, and `describe` shows less than it. Texts that answers are said to show are not compared, and blocks of ```text
//! are not run.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::process::Signal;
use serde_json::{Value, json};
use tutti_a2a::card::AgentSkill;
use tutti_example_agents::kit::{Agent, Instruments, Outcome, Server, Skill, SkillError, TaskContext};

use super::{PATIENCE, Python, lasting_address};
use crate::host::{Host, said};
use crate::support::{Place, python, root};

/// Asks whether it may until it is told.
struct Approves;

#[async_trait]
impl Skill for Approves {
    fn card(&self) -> AgentSkill {
        AgentSkill { id: "contract.approve".into(), name: "Approve".into(), ..AgentSkill::default() }
    }

    async fn run(&self, input: Value, _: &TaskContext) -> Result<Outcome, SkillError> {
        if let Some(answer) = input.as_str() {
            return Ok(Outcome::Done(json!({"answer": answer})));
        }
        Ok(Outcome::InputRequired("accept clause 7?".into()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_api_guide_works() {
    let agent = Agent { name: "legal".into(), skills: vec![Arc::new(Approves)], instruments: Instruments::default() };
    let legal = Server::bind(agent, "127.0.0.1", 0).await.unwrap();
    let agent = format!("http://{}", legal.address());
    let serving = tokio::spawn(legal.run(None, std::future::pending()));
    tokio::task::spawn_blocking(move || run(&agent)).await.unwrap();
    serving.abort();
}

fn run(agent: &str) {
    let (open, closed) = (Place::new(), Place::new());
    let legal = format!("  - {{name: legal, url: {agent:?}}}\n");
    let shop = std::fs::read_to_string(root().join("examples/business-process/agents.yaml")).unwrap();
    open.write("agents.yaml", &format!("{shop}{legal}"));
    open.write("tutti.toml", "[server]\nreflection = true\n[agents.policy]\nallow_loopback = true\n");
    let address = lasting_address();
    let server = Host::with(&open, &["--listen", &address]);

    // A server that knows its callers, and its first token.
    closed.write("agents.yaml", &format!("agents:\n{legal}"));
    let tls = "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";
    closed.write("tutti.toml", &format!("[server]\nreflection = true\n[auth]\nenabled = true\n{tls}"));
    let authority = certify(&closed);
    let token = closed.token(&["--role", "admin", "--name", "guide"]);
    let secure = Host::start(&closed);
    let (_, port) = secure.address().split_once(':').unwrap();

    for name in ["examples", "proto"] {
        symlink(root().join(name), open.path().join(name)).unwrap();
    }
    open.write("ca.pem", &authority);
    let (page, programs) = (root().join("docs/api.md").display().to_string(), programs(&open));
    let instead = [
        format!("127.0.0.1:7780={address}"),
        format!("tutti.example.com:443=localhost:{port}"),
        format!("https://legal.example.com={agent}"),
    ];
    let mut args = vec![&*page, "--programs", &programs, "--patience", PATIENCE];
    args.extend(instead.iter().flat_map(|pair| ["--instead", pair]));
    let mut guide = Python::start(open.path(), "guide.py", &args, &[("TUTTI_TOKEN", &token)]);
    let printed = || std::fs::read_to_string(open.path().join("guide.log")).unwrap_or_default();
    assert_eq!(guide.line(), "under way\n", "{}\n{}", printed(), said(&open));

    // The loops of the page, and a server that dies.
    assert_eq!(server.end_by(Signal::KILL), None, "ended by the signal");
    guide.go_on();
    let server = Host::with(&open, &["--listen", &address]);
    guide.end();
    assert_eq!(server.end_by(Signal::TERM), Some(0), "drained");
}

/// Writes a certificate for `localhost` and its key: the authority that signed it.
fn certify(place: &Place) -> String {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    // Of the same name as its subject it would look signed by itself.
    params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    let authority = params.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    place.write("cert.pem", &params.signed_by(&key, &issuer).unwrap().pem());
    place.write("key.pem", &key.serialize_pem());
    authority
}

/// A folder with the programs that the page calls.
fn programs(place: &Place) -> String {
    let folder = place.path().join("programs");
    std::fs::create_dir(&folder).unwrap();
    symlink(env!("CARGO_BIN_EXE_tutti"), folder.join("tutti")).unwrap();
    let python = python().display().to_string();
    let stand_in = || format!("{python} -B {}", Python::program("grpcurl.py").display());
    let grpcurl = std::env::var("TUTTI_TEST_GRPCURL").unwrap_or_else(|_| stand_in());
    for (name, program) in [("python3", &python), ("grpcurl", &grpcurl)] {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\nexec {program} \"$@\"\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder.display().to_string()
}
