//! The port of a server: two protocols, bounds, and its end, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Code;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tutti_adapters_grpc::serve::{
    ConnectionClosing, PeerAddress, PeerCertificate, ServeError, ServeOptions, ServerLimits, serve,
};

use crate::support::PATIENCE;

const SHORT: Duration = Duration::from_millis(200);

/// A server under way; closed at once with its test.
pub struct Served {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), ServeError>>,
    /// Ends calls of `/hold`.
    release: Arc<Notify>,
    /// Told by each call of `/hold` and `/closing` that has begun.
    held: Arc<Notify>,
}

impl Served {
    pub async fn start(options: ServeOptions) -> Self {
        let (release, held) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (hold, begun) = (release.clone(), held.clone());
        let who = |request: axum::extract::Request| async move {
            let certificate = request.extensions().get::<PeerCertificate>();
            let address = request.extensions().get::<PeerAddress>().unwrap().0.ip();
            format!("{address} {:?}", certificate.map(|certificate| certificate.names.clone()))
        };
        let asked = held.clone();
        let closing = move |request: axum::extract::Request| async move {
            asked.notify_one();
            request.extensions().get::<ConnectionClosing>().unwrap().0.clone().cancelled_owned().await;
            "closing"
        };
        let held_call = move || async move {
            begun.notify_one();
            hold.notified().await;
            "held"
        };
        let http = Router::new()
            .route("/hello", get(async || "hello"))
            .route("/who", get(who))
            .route("/closing", get(closing))
            .route("/hold", get(held_call))
            .route("/never", get(std::future::pending::<()>))
            .route("/panic", get(async || -> () { panic!("a fault of this test") }))
            .route("/echo", post(async |body: Bytes| body));
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
        let routes = Routes::new(health).into_axum_router().merge(http);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            // A test that drops the server does not stop it in good order.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let running = tokio::spawn(serve(listener, routes, options, stopped));
        Self { address, stop: Some(stop), running, release, held }
    }

    async fn limited(limits: ServerLimits) -> Self {
        Self::start(ServeOptions { limits, ..ServeOptions::default() }).await
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn get(&self, path: &str) -> String {
        request(self.connect().await, &head("GET", path, "")).await
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    async fn ended(&mut self) {
        timeout(PATIENCE, &mut self.running).await.expect("the server ends").unwrap().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub fn head(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n")
}

/// Sends a request and reads until the server closes; empty if it closed without an answer.
pub async fn request(mut io: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> String {
    let _ = io.write_all(text.as_bytes()).await;
    read_to_end(io).await
}

async fn read_to_end(mut io: impl AsyncRead + Unpin) -> String {
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = timeout(PATIENCE, io.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn check(url: String) -> Result<(), tonic::Status> {
    let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(|_| ())
}

#[tokio::test]
async fn grpc_and_http_share_a_port() {
    let server = Served::start(ServeOptions::default()).await;
    check(format!("http://{}", server.address)).await.unwrap();
    assert!(server.get("/hello").await.ends_with("hello"));
    assert!(server.get("/who").await.ends_with("127.0.0.1 None"), "no certificate without TLS");
    assert!(server.get("/panic").await.starts_with("HTTP/1.1 500 "));
    assert!(server.get("/hello").await.ends_with("hello"), "a panic ends one call");
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_of_something_is_closed() {
    let limits = ServerLimits { first_bytes_timeout: SHORT, header_read_timeout: SHORT, ..ServerLimits::default() };
    let server = Served::limited(limits).await;
    for half in ["", "PRI * HTT", "GET /hello HTTP/1.1\r\nhos"] {
        let start = Instant::now();
        let answer = request(server.connect().await, half).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{half}: {answer}");
        assert!(start.elapsed() >= SHORT, "{half}: it has its time");
    }
    // One that is slow in other ways is not: its timer was for the first bytes.
    let mut slow = server.connect().await;
    slow.write_all(head("GET", "/hold", "").as_bytes()).await.unwrap();
    server.held.notified().await;
    // Two silent ones, one after the other, have had their time and are closed.
    for _ in 0..2 {
        request(server.connect().await, "").await;
    }
    server.release.notify_one();
    assert!(read_to_end(slow).await.ends_with("held"));
}

#[tokio::test]
async fn connections_are_bounded_by_address_and_in_all() {
    for limits in [
        ServerLimits { max_connections_per_ip: 2, ..ServerLimits::default() },
        ServerLimits { max_connections: 2, ..ServerLimits::default() },
    ] {
        let server = Served::limited(limits).await;
        let (first, second) = (server.connect().await, server.connect().await);
        assert_eq!(server.get("/hello").await, "", "the third is closed");
        assert!(request(second, &head("GET", "/hello", "")).await.ends_with("hello"));
        let start = Instant::now();
        while !server.get("/hello").await.ends_with("hello") {
            assert!(start.elapsed() < PATIENCE, "the place of one that ended is free again");
        }
        drop(first);
    }
}

#[tokio::test]
async fn calls_too_many_are_sent_away_at_once_and_health_is_not() {
    let server = Served::limited(ServerLimits { max_concurrent_calls: 1, ..ServerLimits::default() }).await;
    let mut holding = server.connect().await;
    holding.write_all(head("GET", "/hold", "").as_bytes()).await.unwrap();
    server.held.notified().await;
    let answer = server.get("/hello").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
    let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
    let mut other = tonic::client::Grpc::new(channel);
    other.ready().await.unwrap();
    let path = "/tutti.v1.Other/Call".parse().unwrap();
    let refused =
        other.unary(tonic::Request::new(HealthCheckRequest::default()), path, empty::Codec).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.metadata().get("grpc-retry-pushback-ms").unwrap(), "1000");
    server.release.notify_one();
    assert!(read_to_end(holding).await.ends_with("held"));
    assert!(server.get("/hello").await.ends_with("hello"));
}

/// The least codec: what is sent is empty, what comes is not read.
mod empty {
    use tonic::Status;
    use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};
    use tonic_health::pb::HealthCheckRequest;

    #[derive(Clone, Copy)]
    pub struct Codec;

    impl tonic::codec::Codec for Codec {
        type Encode = HealthCheckRequest;
        type Decode = ();
        type Encoder = Self;
        type Decoder = Self;
        fn encoder(&mut self) -> Self {
            Self
        }
        fn decoder(&mut self) -> Self {
            Self
        }
    }

    impl Encoder for Codec {
        type Item = HealthCheckRequest;
        type Error = Status;
        fn encode(&mut self, _: HealthCheckRequest, _: &mut EncodeBuf<'_>) -> Result<(), Status> {
            Ok(())
        }
    }

    impl Decoder for Codec {
        type Item = ();
        type Error = Status;
        fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
            Ok(Some(()))
        }
    }
}

#[tokio::test]
async fn a_call_has_its_time_and_a_body_its_size() {
    let limits = ServerLimits { request_timeout: SHORT, max_http_body_bytes: 8, ..ServerLimits::default() };
    let server = Served::limited(limits).await;
    assert!(server.get("/never").await.starts_with("HTTP/1.1 503 "));
    let post = async |rest: &str| {
        let head = head("POST", "/echo", rest);
        // The body follows the blank line; the one that `head` ends by is too much.
        request(server.connect().await, head.strip_suffix("\r\n").unwrap()).await
    };
    assert!(post("content-length: 8\r\n\r\n12345678").await.contains("12345678"));
    assert!(post("content-length: 9\r\n\r\n123456789").await.starts_with("HTTP/1.1 413 "));
    let chunked = "transfer-encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n";
    assert!(post(chunked).await.starts_with("HTTP/1.1 413 "), "no word of its length beforehand");
    assert!(post("content-length: 8\r\n\r\n1234").await.starts_with("HTTP/1.1 503 "), "half a body");
}

#[tokio::test]
async fn a_server_that_stops_lets_calls_end_and_accepts_no_more() {
    let mut server = Served::start(ServeOptions { grace: PATIENCE, ..ServeOptions::default() }).await;
    let mut holding = server.connect().await;
    holding.write_all(head("GET", "/hold", "").as_bytes()).await.unwrap();
    server.held.notified().await;
    let mut told = server.connect().await;
    told.write_all(head("GET", "/closing", "").as_bytes()).await.unwrap();
    server.held.notified().await;
    server.stop();
    // It is answered once it is told; by then the listener is closed.
    assert!(read_to_end(told).await.ends_with("closing"));
    assert!(TcpStream::connect(server.address).await.is_err(), "no more callers");
    server.release.notify_one();
    assert!(read_to_end(holding).await.ends_with("held"));
    server.ended().await;
}

#[tokio::test]
async fn a_grace_ends_and_a_dropped_server_closes_at_once() {
    let mut server = Served::start(ServeOptions { grace: SHORT, ..ServeOptions::default() }).await;
    let mut holding = server.connect().await;
    holding.write_all(head("GET", "/hold", "").as_bytes()).await.unwrap();
    server.held.notified().await;
    server.stop();
    server.ended().await;
    assert_eq!(read_to_end(holding).await, "");

    let server = Served::start(ServeOptions { grace: PATIENCE * 10, ..ServeOptions::default() }).await;
    let mut holding = server.connect().await;
    holding.write_all(head("GET", "/hold", "").as_bytes()).await.unwrap();
    server.held.notified().await;
    drop(server);
    assert_eq!(read_to_end(holding).await, "");
}

/// An HTTP/2 frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The kinds of the frames that come until the server closes, or one of `last` has come.
async fn frames(io: &mut (impl AsyncRead + Unpin), last: u8) -> Vec<u8> {
    let mut kinds = Vec::new();
    let read = async {
        let mut head = [0; 9];
        while kinds.last() != Some(&last) && io.read_exact(&mut head).await.is_ok() {
            kinds.push(head[3]);
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if io.read_exact(&mut vec![0; length]).await.is_err() {
                break;
            }
        }
    };
    timeout(PATIENCE, read).await.expect("the server answers or closes");
    kinds
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
/// `GET http://x/hold`, by HPACK's static table and a literal.
const GET_HOLD: &[u8] = b"\x82\x86\x44\x05/hold\x41\x01x";

#[tokio::test]
async fn rapid_reset_and_endless_headers_end_the_connection_and_not_the_server() {
    let server = Served::start(ServeOptions::default()).await;
    let reset = (0..2_000_u32).flat_map(|n| {
        [frame(HEADERS, 5, 2 * n + 1, GET_HOLD), frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes())].concat()
    });
    let endless = std::iter::once(frame(HEADERS, 1, 1, GET_HOLD))
        .chain((0..2_000).map(|_| frame(CONTINUATION, 0, 1, &[0x40, 1, b'a', 1, b'b'].repeat(100))))
        .flatten();
    for attack in [reset.collect::<Vec<u8>>(), endless.collect()] {
        let (mut read, mut write) = server.connect().await.into_split();
        let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &attack].concat();
        let writing = tokio::spawn(async move { write.write_all(&bytes).await });
        let kinds = frames(&mut read, GOAWAY).await;
        assert_eq!(kinds.last(), Some(&GOAWAY), "{kinds:?}");
        drop(read);
        let _ = timeout(PATIENCE, writing).await.expect("the server closed");
        assert!(server.get("/hello").await.ends_with("hello"), "the server lives");
    }
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end() {
    let limits = ServerLimits { max_connection_age: SHORT, connection_age_grace: SHORT, ..ServerLimits::default() };
    let server = Served::limited(limits).await;
    let mut old = server.connect().await;
    let get = frame(HEADERS, 5, 1, GET_HOLD);
    old.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &get].concat()).await.unwrap();
    server.held.notified().await;
    assert_eq!(frames(&mut old, GOAWAY).await.last(), Some(&GOAWAY));
    // The call does not end: the connection does.
    frames(&mut old, u8::MAX).await;
}
