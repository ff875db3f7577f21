//! Interoperation with an agent on the public A2A SDK for Python.

use std::time::Duration;

use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tutti_core::ports::agent::{AgentErrorKind, AgentReply, AgentTransport as _, AgentUpdate, Answer, Need};
use tutti_core::value::Json;

use crate::support::{Gate, News, SdkAgent, call, completed, impatient, kind, transport, until};

#[tokio::test]
async fn streams_and_carries_everything_both_ways() {
    let agent = SdkAgent::start(&[]);
    let (transport, news) = (transport(), News::default());
    let description = transport.describe(&call(&agent.url(), &json!({})).agent).await.unwrap();
    assert_eq!((description.name.as_str(), description.version.as_str()), ("SDK agent", "1.2.3"));
    assert_eq!(description.capabilities, ["test".parse().unwrap()]);

    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut call = call(&agent.url(), &json!({"do": "echo", "n": [1, 0.1, "é", null]}));
    call.trace_parent = Some(trace.to_owned());
    let (output, artifacts) = completed(transport.call(&call, &news).await);
    assert_eq!(output["input"]["n"], json!([1, 0.1, "é", null]));
    assert_eq!(output["kind"], "data");
    assert_eq!(output["headers"]["a2a-version"], "1.0");
    assert_eq!(output["headers"]["traceparent"], trace);
    assert_eq!(output["metadata"]["capability"], "test");
    assert_eq!(output["metadata"]["action"], "act");
    assert_eq!(output["metadata"]["priority"], "high");
    assert_eq!(output["metadata"]["operation_id"], call.key.operation_id());
    assert_eq!(output["message_id"], call.key.message_id());
    assert_eq!(artifacts, []);
    let seen = news.seen();
    assert!(matches!(seen[0], AgentUpdate::Task(_)));
    assert_eq!(seen[1..3], [AgentUpdate::Status("at work".to_owned()), AgentUpdate::Progress(0.5)]);
    assert!(matches!(&seen[3], AgentUpdate::Artifact { name, .. } if name == "answer"));
}

#[tokio::test]
async fn results_come_in_every_form() {
    let agent = SdkAgent::start(&[]);
    let transport = transport();
    let run = async |input| transport.call(&call(&agent.url(), &input), &News::default()).await;

    let (output, artifacts) = completed(run(json!({"do": "chunks"})).await);
    assert_eq!(output, json!({"rows": 3}));
    assert_eq!((artifacts[0].name.as_str(), &artifacts[0].bytes[..]), ("report.md", &b"one two three"[..]));
    assert_eq!(
        (artifacts[1].name.as_str(), &artifacts[1].bytes[..]),
        ("chart.png", &[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2][..])
    );
    assert_eq!(artifacts.len(), 2);

    assert_eq!(completed(run(json!({"do": "message"})).await).0, json!({"n": 1}));
    assert_eq!(kind(run(json!({"do": "nothing"})).await), AgentErrorKind::EmptyAnswer);
    let suspended = run(json!({"do": "ask"})).await.unwrap();
    assert_eq!(suspended, Answer::Suspended { need: Need::Input, message: "which city?".to_owned() });
    let suspended = run(json!({"do": "authorize"})).await.unwrap();
    assert_eq!(suspended, Answer::Suspended { need: Need::Auth, message: "log in".to_owned() });

    // A question and its answer; the same answer again is the same message.
    let asks = call(&agent.url(), &json!({"do": "ask"}));
    let news = News::default();
    assert!(matches!(transport.call(&asks, &news).await, Ok(Answer::Suspended { .. })));
    let reply = AgentReply { number: 1, value: Json::parse("\"Graz\"").unwrap() };
    assert_eq!(completed(transport.answer(&asks, &reply, &news).await).0, json!({"said": "Graz"}));
    assert_eq!(completed(transport.answer(&asks, &reply, &news).await).0, json!({"said": "Graz"}));

    // Numbers that protobuf has not, there and back.
    let exact: serde_json::Value = serde_json::from_str("{\"do\": \"echo\", \"id\": 9007199254740993}").unwrap();
    let Answer::Completed { output, .. } = run(exact).await.unwrap() else { panic!("not completed") };
    assert!(output.as_str().contains("\"kind\":\"text\""), "{output:?}");
    let Answer::Completed { output, .. } = run(json!({"do": "exact"})).await.unwrap() else { panic!("not completed") };
    assert_eq!(output.as_str(), "{\"id\":12345678901234567890}");

    // More than the 4 MiB that gRPC libraries allow by default.
    let (output, artifacts) = completed(run(json!({"do": "large", "bytes": 8 * 1024 * 1024})).await);
    assert_eq!((output, artifacts[0].bytes.len()), (json!({"artifacts": ["large.bin"]}), 8 * 1024 * 1024));
    let input = json!({"do": "echo", "text": "x".repeat(6 * 1024 * 1024)});
    assert_eq!(completed(run(input.clone()).await).0["input"], input);
}

#[tokio::test]
async fn failures_are_typed() {
    let agent = SdkAgent::start(&[]);
    let transport = transport();
    for (what, kind, message) in [
        ("fail", AgentErrorKind::Failed, "no such table"),
        ("reject", AgentErrorKind::Rejected, "not my job"),
        ("raise_first", AgentErrorKind::Failed, ""),
        ("raise_later", AgentErrorKind::Failed, ""),
    ] {
        let error = transport.call(&call(&agent.url(), &json!({"do": what})), &News::default()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{what}: {error}");
        assert!(error.message.contains(message), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_task_is_cancelled_once_and_for_all() {
    let agent = SdkAgent::start(&[]);
    let (transport, news, gate) = (transport(), News::default(), Gate::new());
    let call = call(&agent.url(), &gate.input());
    transport.cancel(&call).await.expect("cancelling what never was is a success");
    let cancel = async {
        news.wait_for_artifact().await;
        transport.cancel(&call).await.unwrap();
        transport.cancel(&call).await.expect("cancelling twice is a success");
    };
    let (answer, ()) = tokio::join!(transport.call(&call, &news), cancel);
    assert_eq!(kind(answer), AgentErrorKind::Cancelled);

    let call = crate::support::call(&agent.url(), &json!({"do": "echo"}));
    completed(transport.call(&call, &News::default()).await);
    transport.cancel(&call).await.expect("cancelling what is complete is a success");
}

#[tokio::test]
async fn a_late_task_is_stopped() {
    let agent = SdkAgent::start(&[]);
    let (transport, gate) = (transport(), Gate::new());
    let mut call = call(&agent.url(), &gate.input());
    call.timeout = Duration::from_secs(2);
    assert_eq!(kind(transport.call(&call, &News::default()).await), AgentErrorKind::Timeout);
    assert_eq!(gate.starts(), 1);
    let found = transport.reattach(&call, &News::default()).await;
    assert_eq!(found.unwrap_err().kind, AgentErrorKind::Cancelled);
}

#[tokio::test]
async fn a_caller_that_restarts_finds_its_task_again() {
    let agent = SdkAgent::start(&[]);
    let (news, gate) = (News::default(), Gate::new());
    let mut call = call(&agent.url(), &gate.input());
    assert_eq!(transport().reattach(&call, &News::default()).await, Ok(None), "nothing was sent yet");

    // The first life of the caller ends in the middle: its future and its connections are dropped.
    let first = transport();
    tokio::select! {
        answer = first.call(&call, &news) => panic!("ended too early: {answer:?}"),
        () = news.wait_for_artifact() => {}
    }
    drop(first);

    let (again, release) = (News::default(), async {
        gate.release();
    });
    let transport = transport();
    let (answer, ()) = tokio::join!(transport.reattach(&call, &again), release);
    assert_eq!(completed(answer.map(Option::unwrap)).0, json!("first second"));
    assert!(matches!(again.seen()[0], AgentUpdate::Task(_)));

    // By the recorded task id, when all is over.
    let task = |update: &AgentUpdate| match update {
        AgentUpdate::Task(id) => Some(id.clone()),
        _ => None,
    };
    call.task = news.seen().iter().find_map(task);
    assert!(call.task.is_some());
    let answer = transport.reattach(&call, &News::default()).await;
    assert_eq!(completed(answer.map(Option::unwrap)).0, json!("first second"));
    assert_eq!(gate.starts(), 1, "the message was sent once");

    call.task = Some("unknown".to_owned());
    assert_eq!(transport.reattach(&call, &News::default()).await, Ok(None));
    call.task = None;
    call.key.attempt = 2;
    assert_eq!(transport.reattach(&call, &News::default()).await, Ok(None), "another attempt is another message");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_restarts_and_lost_its_task_is_not_waited_for() {
    let gate = Gate::new();
    let store = gate.path("tasks.db");
    let mut agent = SdkAgent::start(&["--store", &store]);
    let grpc = agent.grpc_port().to_string();
    let (transport, news) = (impatient(Duration::from_millis(500)), News::default());
    let call = call(&agent.url(), &gate.input());
    let restart = async {
        news.wait_for_artifact().await;
        tokio::task::block_in_place(|| agent.restart(&["--store", &store, "--grpc-port", &grpc]));
    };
    let (answer, ()) = tokio::join!(transport.call(&call, &news), restart);
    // The stored task still says that it is working, and no one works on it.
    assert_eq!(kind(answer), AgentErrorKind::Timeout);
    let found = transport.reattach(&call, &News::default()).await;
    assert_eq!(found.unwrap_err().kind, AgentErrorKind::Cancelled, "it was stopped on giving up");

    // The agent works again, over the same pool.
    completed(transport.call(&crate::support::call(&agent.url(), &json!({"do": "echo"})), &News::default()).await);
}

#[tokio::test]
async fn an_agent_that_restarts_still_answers_for_what_it_finished() {
    let gate = Gate::new();
    let store = gate.path("tasks.db");
    let mut agent = SdkAgent::start(&["--store", &store]);
    let transport = transport();
    let call = call(&agent.url(), &json!({"do": "chunks"}));
    let before = transport.call(&call, &News::default()).await.unwrap();
    agent.restart(&["--store", &store]);
    let after = transport.reattach(&call, &News::default()).await.unwrap();
    assert_eq!(after, Some(before), "found on another port, with the same result");
}

#[tokio::test]
async fn an_agent_that_is_gone_is_unavailable() {
    let mut agent = SdkAgent::start(&[]);
    let transport = transport();
    let call = call(&agent.url(), &json!({"do": "echo"}));
    completed(transport.call(&call, &News::default()).await);
    agent.kill();
    let error = transport.call(&call, &News::default()).await.unwrap_err();
    assert_eq!(error.kind, AgentErrorKind::Unavailable);
    assert!(transport.describe(&call.agent).await.is_err());
    agent.restart(&[]);
    completed(transport.call(&call, &News::default()).await);
}

#[tokio::test]
async fn a_broken_connection_is_mended_without_losing_or_repeating_a_chunk() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap().to_string();
    let agent = SdkAgent::start(&["--advertise", &address]);
    let (cut, _) = watch::channel(());
    tokio::spawn(forward(proxy, agent.grpc_port(), cut.clone()));
    let (transport, news, gate) = (transport(), News::default(), Gate::new());
    let call = call(&agent.url(), &gate.input());
    let interfere = async {
        news.wait_for_artifact().await;
        cut.send_replace(());
        // The snapshot after the break brings the first chunk again.
        until(|| async { news.seen().iter().filter(|seen| matches!(seen, AgentUpdate::Artifact { .. })).count() > 1 })
            .await;
        gate.release();
    };
    let (answer, ()) = tokio::join!(transport.call(&call, &news), interfere);
    assert_eq!(completed(answer).0, json!("first second"));
    assert_eq!(gate.starts(), 1);
}

#[tokio::test]
async fn connections_are_reused() {
    let agent = SdkAgent::start(&[]);
    let transport = transport();
    for _ in 0..100 {
        completed(transport.call(&call(&agent.url(), &json!({"do": "echo"})), &News::default()).await);
    }
    let stats = transport.stats();
    assert_eq!((stats.opened, stats.channels), (1, 1));
    assert!(stats.reuse_rate().unwrap() >= 0.85);
}

/// Passes connections on to a port; each ends when told so by the channel.
async fn forward(listener: TcpListener, port: u16, cut: watch::Sender<()>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut cut = cut.subscribe();
        tokio::spawn(async move {
            let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = cut.changed() => {}
            }
        });
    }
}
