//! The public A2A SDK for Python as the client.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::world::{TWO, WORK, World};
use crate::support::{PATIENCE, python};

/// Runs a scenario of `sdk_client.py` against a server.
async fn scenario(name: &str, world: &World) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/orchestrator/sdk_client.py");
    let lines = client(&[script.to_str().unwrap(), name, &world.url], |_| world.worker.release()).await;
    assert!(lines.iter().all(|line| line == "release"), "{name}: {lines:?}");
}

/// Runs Python to its end: the lines it printed, each of which is told at once.
async fn client(args: &[&str], told: impl Fn(&str)) -> Vec<String> {
    let mut client = tokio::process::Command::new(python())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let (mut stderr, mut errors) = (client.stderr.take().unwrap(), String::new());
    let ending = async {
        let mut printed = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            told(&line);
            printed.push(line);
        }
        stderr.read_to_string(&mut errors).await.unwrap();
        (client.wait().await.unwrap(), printed)
    };
    let (status, printed) = tokio::time::timeout(PATIENCE, ending).await.expect("the client ends");
    assert!(status.success(), "{args:?}: {errors}");
    printed
}

#[tokio::test]
async fn the_documented_example_works() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/a2a.md")).unwrap();
    let example = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let summary = "{id: summary, inputs: {text: {required: true}}, steps: [{id: s, capability: work, input: {text: \
                   text}, output: {text: summary}}]}";
    let world = World::start(&[summary]).await;
    let printed = client(&["-c", &example.replace("http://127.0.0.1:7780", &world.url)], |_| {}).await;
    assert_eq!(printed[0], "skills: ['summary', 'tutti.plan']");
    assert_eq!(
        printed[printed.len() - 2..],
        ["result [{'summary': 'Tutti runs workflows of many agents.'}]", "100% TASK_STATE_COMPLETED"]
    );
}

macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            let world = World::start(&[WORK, TWO]).await;
            scenario(stringify!($name), &world).await;
        })+
    };
}

scenarios!(card, send, stream, subscribe, list_and_get, cancel, answer_a_question, send_twice, errors);
