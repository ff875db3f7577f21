//! A step whose agent asks a question.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tutti_a2a::card::AgentSkill;
use tutti_example_agents::kit::{Agent, Instruments, Outcome, Server, Skill, SkillError, TaskContext};

use crate::support::Place;

/// Asks whether it may until it is told.
struct Asks;

#[async_trait]
impl Skill for Asks {
    fn card(&self) -> AgentSkill {
        AgentSkill { id: "ask".into(), name: "Ask".into(), ..AgentSkill::default() }
    }

    async fn run(&self, input: Value, _: &TaskContext) -> Result<Outcome, SkillError> {
        if let Some(answer) = input.as_str() {
            return Ok(Outcome::Done(serde_json::json!({"told": answer})));
        }
        Ok(Outcome::InputRequired("accept clause 7?\u{1b}[2J".into()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_person_ends_the_command_with_5() {
    let agent = Agent { name: "asks".into(), skills: vec![Arc::new(Asks)], instruments: Instruments::default() };
    let server = Server::bind(agent, "127.0.0.1", 0).await.unwrap();
    let address = server.address();
    let serving = tokio::spawn(server.run(None, std::future::pending()));
    let commands = tokio::task::spawn_blocking(move || {
        let place = Place::new();
        place.write("agents.yaml", &format!("agents:\n  - {{name: legal, url: 'http://{address}'}}\n"));
        let file = place.write("w.yaml", "id: w\nsteps:\n  - {id: approve, capability: ask}\n");
        let done = place.tutti(&["run", &file, "-o", "json"]).expect(5);
        assert_eq!(done.json()["steps"][0]["state"], "waiting");
        assert!(done.stderr.contains("step approve waits: accept clause 7?␛[2J"), "{}", done.stderr);
        assert!(done.stderr.contains("next:  tutti signal"), "{}", done.stderr);
        let tree = place.tutti(&["get", "latest"]).expect(0).stdout;
        assert!(tree.contains("◇ waiting    approve"), "{tree}");
        assert_eq!(place.tutti(&["list", "-o", "name", "--state", "waiting"]).expect(0).stdout.lines().count(), 1);
        let watched = place.tutti(&["watch", "latest", "--progress", "plain"]).expect(5);
        assert!(watched.stderr.contains("next:  tutti signal"), "{}", watched.stderr);
        let doctor = place.tutti(&["doctor"]).expect(0).stdout;
        assert!(doctor.contains("◇ note   waiting") && doctor.contains("next: tutti signal RUN ANSWER"), "{doctor}");
        // The question is still open: the run is waited for again, and the agent is not asked a second time.
        place.tutti(&["resume", "latest", "-o", "json"]).expect(5);
        let events = place.events();
        assert_eq!(events.iter().filter(|event| event["event"] == "AttemptStarted").count(), 1, "{events:#?}");
        let wrong = place.tutti(&["signal", "latest", "yes", "--step", "other"]).expect(2);
        assert!(wrong.stderr.contains("these do: approve"), "{}", wrong.stderr);
        let told = place.tutti(&["signal", "latest", "accepted"]).expect(0);
        assert!(told.stderr.contains("tutti resume"), "{}", told.stderr);
        let done = place.tutti(&["resume", "latest", "-o", "json"]).expect(0).json();
        assert_eq!((&done["state"], &done["steps"][0]["output"]["told"]), (&"completed".into(), &"accepted".into()));
    });
    commands.await.unwrap();
    serving.abort();
}
