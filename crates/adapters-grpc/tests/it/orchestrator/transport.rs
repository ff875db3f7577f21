//! Tutti calls Tutti: the contract of transports, with the server as the agent.

use async_trait::async_trait;
use serde_json::json;
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, AgentReply, AgentTransport as _, Answer, Need};
use tutti_core::value::Json;
use tutti_testkit::conformance::transport::{Behaviour, CAPABILITY, Subject, TestAgent, TestAgents, WORDS, all, check};

use super::world::{WORK, World};
use crate::support::{News, call, completed, transport};

/// What a workflow cannot be: it fails where an agent rejects, and its output is what its steps write where it says so, and
/// not whatever comes.
const NOT_OURS: [&str; 2] = ["a_rejected_task_is_told_from_a_failed_one", "every_value_comes_back_as_it_was_sent"];

#[test]
fn the_contract_of_transports_holds() {
    for case in all().into_iter().filter(|case| !NOT_OURS.contains(&case.name)) {
        check(case.name, || Subject::new(transport(), Orchestrators));
    }
}

/// Servers, each with one workflow that does as an agent of the suite.
struct Orchestrators;

#[async_trait]
impl TestAgents for Orchestrators {
    async fn start(&self, behaviour: Behaviour) -> Box<dyn TestAgent> {
        let act = match behaviour {
            Behaviour::Ask => "ask",
            Behaviour::Hold => "hold",
            Behaviour::Artifacts => "report",
            Behaviour::Fail | Behaviour::Reject => "fail",
            Behaviour::Echo => "echo",
        };
        let workflow = format!(
            "{{id: {CAPABILITY}, steps: [{{id: s, capability: work, retry: {{max_attempts: 1}}, input: {{do: {{value: {act}}}, n: {{from: n, \
             required: false}}, text: {{from: text, required: false}}}}, output: {{n: {{to: n, optional: true}}, text: \
             {{to: text, optional: true}}}}}}]}}"
        );
        let world = World::start(&[&workflow]).await;
        Box::new(Running(world))
    }

    async fn nowhere(&self) -> AgentEndpoint {
        // A port that was free a moment ago.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        endpoint(&format!("http://{}", listener.local_addr().unwrap()))
    }
}

fn endpoint(url: &str) -> AgentEndpoint {
    AgentEndpoint { id: "agent".parse().unwrap(), url: url.to_owned(), access: AgentAccess::trusted() }
}

struct Running(World);

impl TestAgent for Running {
    fn endpoint(&self) -> AgentEndpoint {
        endpoint(&self.0.url)
    }

    fn started(&self) -> usize {
        self.0.worker.started()
    }

    fn release(&self) {
        self.0.worker.release();
    }
}

#[tokio::test]
async fn questions_and_artifacts_pass_through() {
    let world = World::start(&[WORK]).await;
    let transport = transport();
    let asked =
        |input| tutti_core::ports::agent::AgentCall { capability: "work".parse().unwrap(), ..call(&world.url, &input) };
    let (output, artifacts) = completed(transport.call(&asked(json!({"do": "make", "n": 3})), &News::default()).await);
    assert_eq!(output, json!({"n": 3}));
    let names: Vec<_> = artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    assert_eq!(names, ["report.md", "chart.png"]);
    assert_eq!((artifacts[1].media_type.as_deref(), &artifacts[1].bytes[..]), (Some("image/png"), &[1, 2, 3][..]));

    let asks = asked(json!({"do": "ask"}));
    let question = transport.call(&asks, &News::default()).await.unwrap();
    assert!(matches!(question, Answer::Suspended { need: Need::Input, ref message } if message == WORDS));
    let reply = AgentReply { number: 1, value: Json::parse("\"Graz\"").unwrap() };
    for _ in 0..2 {
        let answer = transport.answer(&asks, &reply, &News::default()).await;
        assert_eq!(completed(answer).0, json!({"said": "Graz"}), "the same answer again is the same message");
    }
    let failed = transport.call(&asked(json!({"do": "fail"})), &News::default()).await.unwrap_err();
    assert!(failed.message.contains(WORDS), "{failed}");
}
