//! What agents do that they should not.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::future::BoxFuture;
use h2::Reason;
use tonic::Code;
use tutti_a2a::v1::{self, TaskState, part::Content, stream_response::Payload};

use super::raw::{Body, DRIP, Exchange, Vice, boxed, framed, head, task};

/// What an agent is at.
type Doing = BoxFuture<'static, ()>;

/// A gibibyte.
pub const GIB: usize = 1 << 30;

/// The vices by name, and how the attempt fails: its kind, and words of its message.
pub const ALL: [(&str, Vice, &str, &str); 17] = [
    ("hangs", hangs, "TIMEOUT", "no answer within"),
    ("hangs-at-work", hangs_at_work, "TIMEOUT", "no answer within"),
    ("drips", drips, "TIMEOUT", "no answer within"),
    ("chokes", chokes, "TIMEOUT", "no answer"),
    ("never-ends", never_ends, "TIMEOUT", "no answer within"),
    ("garbage", garbage, "INVALID_ANSWER", "failed to decode"),
    ("garbage-at-work", garbage_at_work, "TIMEOUT", "no answer within"),
    ("no-frames", no_frames, "INVALID_ANSWER", "compression flag"),
    ("half-a-message", half_a_message, "INVALID_ANSWER", "ended without an answer"),
    ("huge-message", huge_message, "INVALID_ANSWER", "length too large"),
    ("huge-artifact", huge_artifact, "INVALID_ANSWER", "more than 16777216 bytes"),
    ("huge-head", huge_head, "UNAVAILABLE", ""),
    ("other-task", other_task, "INVALID_ANSWER", "an event of task \"other\""),
    ("other-run", other_run, "INVALID_ANSWER", "an answer to"),
    ("resets", resets, "UNAVAILABLE", ""),
    ("goes-away", goes_away, "UNAVAILABLE", ""),
    ("dies", dies, "UNAVAILABLE", ""),
];

fn working(message: &v1::Message) -> Payload {
    Payload::Task(v1::Task { context_id: message.context_id.clone(), ..task("t", TaskState::Working) })
}

pub fn status(id: &str, state: TaskState, said: &str) -> Payload {
    let message = v1::Message { parts: vec![text(said)], ..Default::default() };
    Payload::StatusUpdate(v1::TaskStatusUpdateEvent {
        task_id: id.to_owned(),
        status: Some(v1::TaskStatus { state: state.into(), message: Some(message), ..Default::default() }),
        ..Default::default()
    })
}

pub fn chunk(text: v1::Part, append: bool) -> Payload {
    Payload::ArtifactUpdate(v1::TaskArtifactUpdateEvent {
        task_id: "t".to_owned(),
        artifact: Some(v1::Artifact { artifact_id: "a".to_owned(), parts: vec![text], ..Default::default() }),
        append,
        ..Default::default()
    })
}

pub fn text(text: &str) -> v1::Part {
    v1::Part { content: Some(Content::Text(text.to_owned())), ..Default::default() }
}

/// Begins as a good agent does: the task is at work.
async fn at_work(exchange: Exchange) -> Body {
    let first = working(&exchange.message);
    let mut body = exchange.begin();
    body.event(first).await;
    body
}

/// Never answers.
fn hangs(exchange: Exchange) -> Doing {
    boxed(exchange.left())
}

/// Says that it works, and nothing more.
fn hangs_at_work(exchange: Exchange) -> Doing {
    boxed(async { at_work(exchange).await.left().await })
}

/// Answers byte by byte, each in a frame of its own.
fn drips(exchange: Exchange) -> Doing {
    boxed(async {
        let answer = framed(&v1::StreamResponse { payload: Some(working(&exchange.message)) });
        let (mut body, mut drip) = (exchange.begin(), tokio::time::interval(DRIP));
        for byte in answer.iter().cycle() {
            drip.tick().await;
            if !body.bytes(Bytes::copy_from_slice(&[*byte])).await {
                return;
            }
        }
    })
}

/// Says that it works, and then the whole connection goes byte by byte.
fn chokes(exchange: Exchange) -> Doing {
    boxed(async {
        let seen = exchange.seen.clone();
        let (mut body, mut look) = (at_work(exchange).await, tokio::time::interval(DRIP));
        // Who asks about the task knows of it.
        while seen.count("GetTask") == 0 {
            look.tick().await;
        }
        seen.choked.store(true, Ordering::SeqCst);
        while body.event(chunk(text(&"x".repeat(10_000)), true)).await {}
    })
}

/// Tells news for ever, as fast as it can.
fn never_ends(exchange: Exchange) -> Doing {
    boxed(async {
        let mut body = at_work(exchange).await;
        let news = framed(&v1::StreamResponse { payload: Some(status("t", TaskState::Working, "still at it")) });
        let news = Bytes::from(news.repeat(1_000));
        while body.bytes(news.clone()).await {}
    })
}

fn noise() -> Bytes {
    let noise: Vec<u8> = (0..300_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    Bytes::from([head(300), noise].concat())
}

/// Answers with bytes that mean nothing.
fn garbage(exchange: Exchange) -> Doing {
    boxed(async {
        let mut body = exchange.begin();
        body.bytes(noise()).await;
        body.left().await;
    })
}

/// Begins well, and goes on with bytes that mean nothing.
fn garbage_at_work(exchange: Exchange) -> Doing {
    boxed(async {
        let mut body = at_work(exchange).await;
        body.bytes(noise()).await;
        body.left().await;
    })
}

/// Answers with what is not even gRPC.
fn no_frames(exchange: Exchange) -> Doing {
    boxed(async {
        let mut body = exchange.begin();
        body.bytes(Bytes::from_static(b"<html>welcome to nginx</html>")).await;
        body.left().await;
    })
}

/// Ends in the middle of a message.
fn half_a_message(exchange: Exchange) -> Doing {
    boxed(async {
        let mut body = exchange.begin();
        body.bytes(Bytes::from([head(100), vec![10; 20]].concat())).await;
        body.end(Code::Ok);
    })
}

/// Answers with one message of a gibibyte.
fn huge_message(exchange: Exchange) -> Doing {
    boxed(async {
        let mut body = exchange.begin();
        body.bytes(head(u32::try_from(GIB).unwrap()).into()).await;
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        for _ in 0..GIB >> 20 {
            if !body.bytes(piece.clone()).await {
                return;
            }
        }
    })
}

/// Answers with an artifact of a gibibyte, in pieces.
fn huge_artifact(exchange: Exchange) -> Doing {
    boxed(async {
        let mut body = at_work(exchange).await;
        let piece = chunk(text(&"x".repeat(1 << 20)), true);
        let piece = framed(&v1::StreamResponse { payload: Some(piece) });
        for _ in 0..GIB >> 20 {
            if !body.bytes(piece.clone()).await {
                return;
            }
        }
    })
}

/// Answers with headers that no end is to be seen of.
fn huge_head(exchange: Exchange) -> Doing {
    boxed(async { exchange.bloated(1 << 20) })
}

/// Tells of another task.
fn other_task(exchange: Exchange) -> Doing {
    boxed(async {
        let mut body = at_work(exchange).await;
        body.event(status("other", TaskState::Completed, "not yours")).await;
        body.left().await;
    })
}

/// Answers what another run asked.
fn other_run(exchange: Exchange) -> Doing {
    boxed(async {
        let (_, step) = exchange.message.context_id.split_once('/').unwrap();
        let context_id = format!("01890000-0000-7000-8000-000000000000/{step}");
        let mut body = exchange.begin();
        let artifacts = vec![v1::Artifact { parts: vec![text("not yours")], ..Default::default() }];
        body.event(Payload::Task(v1::Task { context_id, artifacts, ..task("t", TaskState::Completed) })).await;
        body.left().await;
    })
}

/// Breaks every request off, each for another reason.
fn resets(exchange: Exchange) -> Doing {
    boxed(async {
        const REASONS: [Reason; 4] =
            [Reason::INTERNAL_ERROR, Reason::REFUSED_STREAM, Reason::CANCEL, Reason::ENHANCE_YOUR_CALM];
        let turn = exchange.seen.asked.lock().unwrap().len();
        exchange.reset(REASONS[turn % REASONS.len()]);
    })
}

/// Sends the caller away.
fn goes_away(exchange: Exchange) -> Doing {
    boxed(async { exchange.go_away() })
}

/// Dies when it is asked.
fn dies(exchange: Exchange) -> Doing {
    boxed(async { exchange.die() })
}

/// Completes, and then tells other things for as long as it is listened to.
pub fn talks_on(exchange: Exchange) -> Doing {
    boxed(async {
        let mut body = at_work(exchange).await;
        body.event(chunk(text("right"), false)).await;
        body.event(status("t", TaskState::Completed, "")).await;
        body.event(status("t", TaskState::Failed, "no, it failed")).await;
        while body.event(chunk(text("wrong"), false)).await {}
    })
}

/// Says everything twice and some of it too early.
pub fn stutters(exchange: Exchange) -> Doing {
    boxed(async {
        let first = working(&exchange.message);
        let mut body = exchange.begin();
        for event in [
            status("t", TaskState::Working, "before the task"),
            chunk(text("too early"), true),
            first.clone(),
            status("t", TaskState::Submitted, "back to the start"),
            first,
            chunk(text("whole"), false),
            chunk(text("whole"), false),
            status("t", TaskState::Completed, ""),
            status("t", TaskState::Completed, ""),
        ] {
            body.event(event).await;
        }
        body.end(Code::Ok);
    })
}

/// Dies at the first message, before its effect; does it once per operation otherwise.
pub fn dies_before(exchange: Exchange) -> Doing {
    effect(exchange, false)
}

/// Dies at the first message, after its effect; does it once per operation otherwise.
pub fn dies_after(exchange: Exchange) -> Doing {
    effect(exchange, true)
}

fn effect(exchange: Exchange, done: bool) -> Doing {
    boxed(async move {
        let (seen, operation) = (exchange.seen.clone(), exchange.message.context_id.clone());
        let is_first = seen.count("SendStreamingMessage") == 1;
        if done || !is_first {
            let mut effects = seen.effects.lock().unwrap();
            if !effects.contains(&operation) {
                effects.push(operation);
            }
        }
        if is_first {
            return exchange.die();
        }
        let mut body = at_work(exchange).await;
        body.event(chunk(text("done"), false)).await;
        body.event(status("t", TaskState::Completed, "")).await;
        body.end(Code::Ok);
    })
}
