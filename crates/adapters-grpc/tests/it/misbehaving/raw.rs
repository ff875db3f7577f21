//! An agent made of HTTP/2 frames, for what no gRPC library lets a server do.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use prost::Message as _;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tonic::Code;
use tutti_a2a::CARD_PATH;
use tutti_a2a::v1::{self, Task, TaskState, stream_response::Payload};

use crate::support::serve;

/// Time between two bytes of a connection that is choked.
pub const DRIP: Duration = Duration::from_millis(40);

/// Bytes before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// What the agent does with a message that is sent to it.
pub type Vice = fn(Exchange) -> BoxFuture<'static, ()>;

/// An agent with a vice.
pub struct Raw {
    /// Where its card is.
    pub url: String,
    pub seen: Arc<Seen>,
}

/// What the agent saw and did.
#[derive(Default)]
pub struct Seen {
    /// The operations it was asked for, in order.
    pub asked: Mutex<Vec<String>>,
    /// Bytes of messages that the caller let it send.
    pub sent: AtomicUsize,
    /// Connections that were opened, and those that are open.
    pub opened: AtomicUsize,
    pub open: AtomicUsize,
    /// Exchanges under way.
    pub busy: AtomicUsize,
    /// The operations whose effect was done, each as often as it was.
    pub effects: Mutex<Vec<String>>,
    /// From now on a byte comes now and then.
    pub choked: AtomicBool,
}

/// One request, to be answered or not.
pub struct Exchange {
    /// What was sent.
    pub message: v1::Message,
    pub seen: Arc<Seen>,
    respond: SendResponse<Bytes>,
    orders: mpsc::UnboundedSender<Order>,
    _busy: Busy,
}

/// The body of an answer.
pub struct Body {
    stream: SendStream<Bytes>,
    seen: Arc<Seen>,
    _busy: Busy,
}

enum Order {
    GoAway,
    Die,
}

struct Busy(Arc<Seen>);

impl Busy {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.busy.fetch_add(1, Ordering::SeqCst);
        Self(seen.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Seen {
    /// How often an operation was asked for.
    pub fn count(&self, operation: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == operation).count()
    }
}

impl Raw {
    /// Serves the card, and the vice on a port of its own.
    pub async fn start(vice: Vice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let interface = json!({"url": address, "protocolBinding": "GRPC", "protocolVersion": "1.0"});
        let card = json!({"supportedInterfaces": [interface], "capabilities": {"streaming": true}}).to_string();
        let seen = Arc::new(Seen::default());
        let (noted, url) = (seen.clone(), serve(Router::new().route(CARD_PATH, get(async move || card))).await);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve_connection(connection, vice, noted.clone()));
            }
        });
        Self { url, seen }
    }
}

async fn serve_connection(connection: TcpStream, vice: Vice, seen: Arc<Seen>) {
    seen.opened.fetch_add(1, Ordering::SeqCst);
    seen.open.fetch_add(1, Ordering::SeqCst);
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::select! {
        () = serve_frames(near, vice, seen.clone()) => {}
        () = pass(connection, far, &seen.choked) => {}
    }
    seen.open.fetch_sub(1, Ordering::SeqCst);
}

/// Passes bytes on, one by one once the agent is choked.
async fn pass(connection: TcpStream, far: DuplexStream, choked: &AtomicBool) {
    let (mut from_caller, mut to_caller) = connection.into_split();
    let (mut from_agent, mut to_agent) = tokio::io::split(far);
    let answers = async {
        let mut buffer = vec![0; 64 * 1024];
        let mut drip = tokio::time::interval(DRIP);
        while let Ok(read @ 1..) = from_agent.read(&mut buffer).await {
            let mut rest = &buffer[..read];
            while !rest.is_empty() {
                let slow = choked.load(Ordering::SeqCst);
                let (now, later) = rest.split_at(if slow { 1 } else { rest.len() });
                if to_caller.write_all(now).await.is_err() {
                    return;
                }
                if slow {
                    drip.tick().await;
                }
                rest = later;
            }
        }
    };
    tokio::select! {
        () = answers => {}
        _ = tokio::io::copy(&mut from_caller, &mut to_agent) => {}
    }
}

async fn serve_frames(connection: DuplexStream, vice: Vice, seen: Arc<Seen>) {
    let mut settings = h2::server::Builder::new();
    let Ok(mut connection) = settings.initial_window_size(1 << 20).handshake::<_, Bytes>(connection).await else {
        return;
    };
    let (orders, mut ordered) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            Some(order) = ordered.recv() => match order {
                Order::GoAway => connection.abrupt_shutdown(Reason::NO_ERROR),
                Order::Die => return,
            },
            request = connection.accept() => {
                let Some(Ok((request, respond))) = request else { return };
                tokio::spawn(answer(request, respond, orders.clone(), vice, seen.clone()));
            }
        }
    }
}

async fn answer(
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    orders: mpsc::UnboundedSender<Order>,
    vice: Vice,
    seen: Arc<Seen>,
) {
    let operation = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let sent = read(request.into_body()).await;
    seen.asked.lock().unwrap().push(operation.clone());
    let message = v1::SendMessageRequest::decode(sent.clone()).ok().and_then(|request| request.message);
    let exchange = Exchange { message: message.unwrap_or_default(), respond, orders, _busy: Busy::new(&seen), seen };
    match operation.as_str() {
        "SendStreamingMessage" => vice(exchange).await,
        "CancelTask" => {
            let cancelled = task(&v1::CancelTaskRequest::decode(sent).unwrap().id, TaskState::Canceled);
            let mut body = exchange.begin();
            body.bytes(framed(&cancelled)).await;
            body.end(Code::Ok);
        }
        "GetTask" => {
            let mut body = exchange.begin();
            body.bytes(framed(&task(&v1::GetTaskRequest::decode(sent).unwrap().id, TaskState::Working))).await;
            body.end(Code::Ok);
        }
        _ => exchange.begin().end(Code::Unimplemented),
    }
}

/// The one message of a request.
async fn read(mut body: RecvStream) -> Bytes {
    let mut whole = BytesMut::new();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        whole.put(data);
    }
    whole.freeze().slice(HEAD..)
}

impl Exchange {
    /// Begins to answer as a gRPC server does.
    pub fn begin(mut self) -> Body {
        let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        // A caller that has gone is seen when bytes are sent.
        let stream = self.respond.send_response(head, false).unwrap();
        Body { stream, seen: self.seen, _busy: self._busy }
    }

    /// Answers with a head of so many bytes.
    pub fn bloated(mut self, bytes: usize) {
        let head = http::Response::builder().header("content-type", "application/grpc");
        let head = (0..bytes / 1024).fold(head, |head, n| head.header(format!("x-{n}"), "x".repeat(1024)));
        let _ = self.respond.send_response(head.body(()).unwrap(), false);
    }

    /// Breaks the request off.
    pub fn reset(mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// Ends the connection by its protocol.
    pub fn go_away(self) {
        let _ = self.orders.send(Order::GoAway);
    }

    /// Ends the connection as a killed process does.
    pub fn die(self) {
        let _ = self.orders.send(Order::Die);
    }

    /// Waits until the caller lets go of the request.
    pub async fn left(mut self) {
        let _ = poll_fn(|context| self.respond.poll_reset(context)).await;
    }
}

impl Body {
    /// Sends bytes as they are; false when the caller has let go.
    pub async fn bytes(&mut self, mut bytes: Bytes) -> bool {
        while !bytes.is_empty() {
            self.stream.reserve_capacity(bytes.len().min(256 * 1024));
            // Only more room than there was is told.
            if self.stream.capacity() == 0
                && !matches!(poll_fn(|context| self.stream.poll_capacity(context)).await, Some(Ok(_)))
            {
                return false;
            }
            let now = bytes.split_to(self.stream.capacity().min(bytes.len()));
            let count = now.len();
            if self.stream.send_data(now, false).is_err() {
                return false;
            }
            self.seen.sent.fetch_add(count, Ordering::SeqCst);
            // There are two processors for all of them.
            tokio::task::yield_now().await;
        }
        true
    }

    /// Sends an event.
    pub async fn event(&mut self, payload: Payload) -> bool {
        self.bytes(framed(&v1::StreamResponse { payload: Some(payload) })).await
    }

    /// Ends the answer.
    pub fn end(mut self, code: Code) {
        let status = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), i32::from(code).into())]);
        let _ = self.stream.send_trailers(status);
    }

    /// Waits until the caller lets go.
    pub async fn left(mut self) {
        let _ = poll_fn(|context| self.stream.poll_reset(context)).await;
    }
}

/// A message as gRPC sends it.
pub fn framed(message: &impl prost::Message) -> Bytes {
    let mut bytes = BytesMut::from(&head(u32::try_from(message.encoded_len()).unwrap())[..]);
    message.encode(&mut bytes).unwrap();
    bytes.freeze()
}

/// What stands before a message of this length.
pub fn head(length: u32) -> Vec<u8> {
    [&[0][..], &length.to_be_bytes()].concat()
}

/// A task without anything in it.
pub fn task(id: &str, state: TaskState) -> Task {
    Task {
        id: id.to_owned(),
        status: Some(v1::TaskStatus { state: state.into(), ..Default::default() }),
        ..Default::default()
    }
}

/// Makes a vice of an asynchronous function.
pub fn boxed(doing: impl Future<Output = ()> + Send + 'static) -> BoxFuture<'static, ()> {
    Box::pin(doing)
}
