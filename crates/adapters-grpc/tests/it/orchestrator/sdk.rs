//! The public A2A SDK for Python as the client.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::world::{TWO, WORK, World};
use crate::support::{PATIENCE, python};

/// Runs a scenario of `sdk_client.py` against a server.
async fn scenario(name: &str, world: &World) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/orchestrator/sdk_client.py");
    let mut client = tokio::process::Command::new(python())
        .arg(script)
        .args([name, &world.url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let (mut stderr, mut errors) = (client.stderr.take().unwrap(), String::new());
    let ending = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            assert_eq!(line, "release", "{name}");
            world.worker.release();
        }
        stderr.read_to_string(&mut errors).await.unwrap();
        client.wait().await.unwrap()
    };
    let status = tokio::time::timeout(PATIENCE, ending).await.expect("the client ends");
    assert!(status.success(), "{name}: {errors}");
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
