//! The one place that decides who may call what: every call there is, from every sort of caller, over real sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tutti_adapters_grpc::api::{Auth, Rule, rules};
use tutti_adapters_grpc::serve::{ServeError, ServeOptions, TlsOptions, serve};
use tutti_core::ids::Namespace;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::access::{Access, Caller, CreateToken, CreatedToken, Role, TokenInfo};

use crate::serve::{head, request};
use crate::serve_tls::{Authority, dns};

/// Knows a token for each role; all others count no more, or never did.
struct Tokens;

#[async_trait]
impl Access for Tokens {
    async fn authenticate(&self, token: &str) -> Result<Option<Caller>, RequestError> {
        if token == "tutti_broken" {
            return Err(RequestError::Damaged("the secret path of the store".to_owned()));
        }
        let name = token.strip_prefix("tutti_").unwrap_or_default();
        let (role, namespace) = match name.strip_suffix("_of_red") {
            Some(role) => (role, Some("red".parse().unwrap())),
            None => (name, None),
        };
        let role = role.parse().ok();
        Ok(role.map(|role: Role| Caller { name: format!("a-{role}"), role, namespace }))
    }
    async fn create_token(&self, _: CreateToken) -> Result<CreatedToken, RequestError> {
        unreachable!("only asked who calls")
    }
    async fn list_tokens(&self) -> Result<Vec<TokenInfo>, RequestError> {
        unreachable!("only asked who calls")
    }
    async fn revoke_token(&self, _: &str) -> Result<bool, RequestError> {
        unreachable!("only asked who calls")
    }
    async fn create_namespace(&self, _: &Namespace, _: &str) -> Result<bool, RequestError> {
        unreachable!("only asked who calls")
    }
    async fn list_namespaces(&self) -> Result<Vec<(Namespace, String)>, RequestError> {
        unreachable!("only asked who calls")
    }
}

/// A port that tells of each request that comes through who sent it.
struct Guarded {
    address: SocketAddr,
    running: JoinHandle<Result<(), ServeError>>,
}

impl Guarded {
    async fn start(auth: Auth, tls: Option<TlsOptions>) -> Self {
        let told = async |request: Request| {
            assert!(!request.headers().contains_key("authorization"), "a token goes no further");
            match request.extensions().get::<Caller>() {
                Some(caller) => format!("reached by {} {} {:?}", caller.name, caller.role, caller.namespace),
                None => "reached by anybody".to_owned(),
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServeOptions { tls, ..ServeOptions::default() };
        let routes = auth.around(Router::new().fallback(told));
        Self { address, running: tokio::spawn(serve(listener, routes, options, std::future::pending())) }
    }

    async fn call(&self, path: &str, headers: &str) -> String {
        request(TcpStream::connect(self.address).await.unwrap(), &head("POST", path, headers)).await
    }

    /// A gRPC call with an `authorization`.
    async fn grpc(&self, path: &str, authorization: Option<&str>) -> Outcome {
        let authorization = authorization.map(|text| format!("authorization: {text}\r\n")).unwrap_or_default();
        let answer = self.call(path, &format!("content-type: application/grpc\r\n{authorization}")).await;
        match () {
            () if answer.contains("reached by") => Outcome::Through,
            () if answer.contains("grpc-status: 16\r\n") => {
                assert!(answer.contains("www-authenticate: Bearer realm=\"tutti\""), "{answer}");
                Outcome::Unauthenticated
            }
            () if answer.contains("grpc-status: 7\r\n") => Outcome::Denied,
            () => panic!("{path}: {answer}"),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Through,
    Unauthenticated,
    Denied,
}

fn on() -> Auth {
    Auth::on(Arc::new(Tokens), Vec::new())
}

/// The path of every method of every service that a server serves.
fn methods() -> BTreeSet<String> {
    let sets = [
        tutti_api::FILE_DESCRIPTOR_SET,
        tutti_a2a::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut methods = BTreeSet::new();
    for file in sets.iter().flat_map(|set| FileDescriptorSet::decode(*set).unwrap().file) {
        for service in &file.service {
            for method in &service.method {
                methods.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    methods
}

#[tokio::test]
async fn every_call_is_for_those_who_may_and_for_nobody_else() {
    let rules: BTreeMap<&str, Rule> = rules().collect();
    let methods = methods();
    assert!(methods.len() > 45, "{}", methods.len());
    let without: Vec<_> = methods.iter().filter(|path| !rules.contains_key(path.as_str())).collect();
    assert!(without.is_empty(), "it is not said who may call {without:?}");
    let gone: Vec<_> = rules.keys().filter(|path| path.matches('/').count() == 2 && path.contains(".v1")).collect();
    let gone: Vec<_> = gone.into_iter().filter(|path| !methods.contains(**path)).collect();
    assert!(gone.is_empty(), "who may call what is not there: {gone:?}");

    let server = Guarded::start(on(), None).await;
    for (path, rule) in &rules {
        for role in Role::ALL {
            let (everywhere, of_red) = match rule {
                Rule::Role(needed) | Rule::Everywhere(needed) if role < needed => (Outcome::Denied, Outcome::Denied),
                Rule::Everywhere(_) => (Outcome::Through, Outcome::Denied),
                Rule::Public | Rule::Role(_) => (Outcome::Through, Outcome::Through),
            };
            for (token, expected) in [(format!("tutti_{role}"), everywhere), (format!("tutti_{role}_of_red"), of_red)] {
                let outcome = server.grpc(path, Some(&format!("Bearer {token}"))).await;
                assert_eq!(outcome, expected, "{path} by {token}");
            }
        }
        // Nobody; a token that is not known, is revoked or has expired; what is no token.
        let stranger = if *rule == Rule::Public { Outcome::Through } else { Outcome::Unauthenticated };
        for credentials in
            [None, Some("Bearer tutti_gone"), Some("Bearer"), Some("Basic tutti_admin"), Some("tutti_admin")]
        {
            assert_eq!(server.grpc(path, credentials).await, stranger, "{path} by {credentials:?}");
        }
    }
}

#[tokio::test]
async fn what_stands_nowhere_is_for_nobody() {
    let paths = [
        "/tutti.v1.RunService/Other",
        "/tutti.v1.RunService/GetRun/",
        "//tutti.v1.RunService/GetRun",
        "/tutti.v1.RunService/getrun",
        "/tutti.v1.RunService%2FGetRun",
        "/",
    ];
    for auth in [on(), Auth::off()] {
        let server = Guarded::start(auth, None).await;
        for path in paths {
            assert_eq!(server.grpc(path, Some("Bearer tutti_admin")).await, Outcome::Denied, "{path}");
            assert!(server.call(path, "authorization: Bearer tutti_admin\r\n").await.starts_with("HTTP/1.1 404 "));
        }
    }
    let server = Guarded::start(on(), None).await;
    assert_eq!(server.grpc(paths[0], None).await, Outcome::Unauthenticated, "strangers learn nothing");
}

#[tokio::test]
async fn a_caller_is_told_to_those_who_serve_it_and_http_is_guarded_as_well() {
    let path = "/tutti.v1.RunService/GetRun";
    let server = Guarded::start(on(), None).await;
    let answer = server.call(path, "authorization: bearer tutti_author_of_red\r\n").await;
    assert!(answer.ends_with(r#"reached by a-author author Some("red")"#), "{answer}");
    let card = server.call("/.well-known/agent-card.json", "").await;
    assert!(card.ends_with("reached by anybody"), "{card}");
    let card = server.call("/.well-known/agent-card.json", "authorization: Bearer tutti_reader_of_red\r\n").await;
    assert!(card.ends_with(r#"reached by a-reader reader Some("red")"#), "it may differ by caller: {card}");
    let metrics = server.call("/metrics", "").await;
    assert!(metrics.starts_with("HTTP/1.1 401 ") && metrics.contains("www-authenticate: Bearer"), "{metrics}");
    let again = server.call("/metrics", "authorization: Bearer tutti_gone\r\n").await;
    assert!(again.contains("error=\"invalid_token\"") && !again.contains("tutti_gone"), "{again}");
    assert!(server.call("/metrics", "authorization: Bearer tutti_reader\r\n").await.contains("reached by"));
    let denied = server.call("/tutti.v1.AccessService/ListTokens", "authorization: Bearer tutti_author\r\n").await;
    assert!(denied.starts_with("HTTP/1.1 403 ") && denied.contains("admin"), "{denied}");
    let two = "authorization: Bearer tutti_gone\r\nauthorization: Bearer tutti_admin\r\n";
    assert!(server.call(path, two).await.starts_with("HTTP/1.1 401 "), "one of two is not chosen");
    let broken = server.call(path, "authorization: Bearer tutti_broken\r\n").await;
    assert!(broken.starts_with("HTTP/1.1 503 ") && !broken.contains("secret"), "{broken}");

    let open = Guarded::start(Auth::off(), None).await;
    let answer = open.call(path, "").await;
    assert!(answer.ends_with("reached by  admin None"), "{answer}");
    // What a browser sends for any page that it has open, even by another name for this machine.
    for page in ["origin: https://evil.example\r\n", "origin: null\r\nauthorization: Bearer x\r\n"] {
        assert!(open.call(path, page).await.starts_with("HTTP/1.1 403 "), "{page}");
    }
    assert!(open.call("/.well-known/agent-card.json", "origin: https://a.example\r\n").await.contains("reached by"));
    let known = "origin: https://a.example\r\nauthorization: Bearer tutti_reader\r\n";
    assert!(server.call(path, known).await.contains("reached by a-reader"), "a page that has a token");
}

#[tokio::test]
async fn a_certificate_stands_for_a_caller_and_a_token_comes_before_it() {
    let authority = Authority::new();
    authority.sign("ci", vec![dns("ci.example")]);
    authority.sign("other", vec![dns("other.example")]);
    let ci = Caller { name: "ci.example".to_owned(), role: Role::Operator, namespace: None };
    let auth = Auth::on(Arc::new(Tokens), vec![("ci.example".to_owned(), ci)]);
    let tls =
        TlsOptions { client_ca: Some(authority.path("ca.pem")), require_client_cert: false, ..authority.server() };
    let server = Guarded::start(auth, Some(tls)).await;
    let call = async |certificate: Option<&str>, headers: &str| {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let stream = authority.handshake(stream, certificate).await.unwrap();
        request(stream, &head("POST", "/tutti.v1.RunService/PauseRun", headers)).await
    };
    let answer = call(Some("ci"), "").await;
    assert!(answer.ends_with("reached by ci.example operator None"), "{answer}");
    assert!(call(Some("ci"), "authorization: Bearer tutti_admin\r\n").await.contains("reached by a-admin"));
    let gone = call(Some("ci"), "authorization: Bearer tutti_gone\r\n").await;
    assert!(gone.starts_with("HTTP/1.1 401 "), "a token that counts no more is not made good: {gone}");
    let page = call(Some("ci"), "origin: https://evil.example\r\n").await;
    assert!(page.starts_with("HTTP/1.1 403 "), "a browser shows its certificate for any page: {page}");
    for stranger in [None, Some("other")] {
        assert!(call(stranger, "").await.starts_with("HTTP/1.1 401 "), "{stranger:?}");
    }
}
