//! Agents behind TLS, with credentials, and where they must not be.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tutti_a2a::CARD_PATH;
use tutti_a2a::card::AgentSkill;
use tutti_adapters_grpc::{EndpointPolicy, GrpcConfig, GrpcTransport, Resolve};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, AgentErrorKind, AgentTransport as _};
use tutti_example_agents::kit::{Agent, Instruments, Outcome, Server, Skill, SkillError, TaskContext};

use crate::support::{News, call, completed, serve, transport};

struct Echo;

#[async_trait]
impl Skill for Echo {
    fn card(&self) -> AgentSkill {
        AgentSkill { id: "test".to_owned(), ..AgentSkill::default() }
    }

    async fn run(&self, input: Value, _: &TaskContext) -> Result<Outcome, SkillError> {
        Ok(Outcome::Done(input))
    }
}

/// Files of an authority, a server for `localhost` and a client.
struct Pki {
    folder: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        write("ca.pem", params.self_signed(&ca_key).unwrap().pem());
        let issuer = rcgen::Issuer::new(params, ca_key);
        for name in ["localhost", "client"] {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
            write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { folder }
    }

    /// What an agents file says, with the files taken from here.
    fn access(&self, written: Value) -> AgentAccess {
        let access: AgentAccess = serde_json::from_value(written).unwrap();
        AgentAccess { trusted: true, ..access }.in_folder(self.folder.path())
    }

    fn server(&self, mutual: bool) -> TlsAcceptor {
        use tokio_rustls::rustls::pki_types::pem::PemObject as _;
        use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let path = |name: &str| self.folder.path().join(name);
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path("ca.pem")).unwrap()).unwrap();
        let builder = match mutual {
            false => builder.unwrap().with_no_client_auth(),
            true => builder.unwrap().with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap(),
            ),
        };
        let chain = vec![CertificateDer::from_pem_file(path("localhost.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(path("localhost.key")).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// An agent behind TLS; its URL.
    async fn agent(&self, mutual: bool) -> String {
        // On a wildcard address its card names the host that it was asked by.
        let skills: Vec<Arc<dyn Skill>> = vec![Arc::new(Echo)];
        let agent = Agent { name: "echo".to_owned(), skills, instruments: Instruments::default() };
        let server = Server::bind(agent, "0.0.0.0", 0).await.unwrap();
        let inner = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
        tokio::spawn(server.run(None, std::future::pending()));
        let (acceptor, listener) = (self.server(mutual), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((outer, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut outer) = acceptor.accept(outer).await else { return };
                    let mut inner = TcpStream::connect(inner).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        format!("https://localhost:{port}")
    }
}

fn endpoint(url: &str, access: AgentAccess) -> AgentEndpoint {
    AgentEndpoint { id: "agent".parse().unwrap(), url: url.to_owned(), access }
}

#[tokio::test]
async fn agents_are_called_over_tls_and_shown_a_certificate_if_they_ask() {
    let pki = Pki::new();
    let plain = json!({"tls": {"ca": "ca.pem"}});
    let mutual = json!({"tls": {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}});
    for (asks, written) in [(false, &plain), (true, &mutual)] {
        let url = pki.agent(asks).await;
        let mut call = call(&url, &json!({"n": 1}));
        call.agent.access = pki.access(written.clone());
        assert_eq!(completed(transport().call(&call, &News::default()).await).0, json!({"n": 1}));
    }
    let url = pki.agent(true).await;
    let refused = [plain, json!({}), json!({"tls": {"ca": "ca.pem", "server_name": "other"}})];
    for written in refused {
        let error = transport().describe(&endpoint(&url, pki.access(written))).await.unwrap_err();
        assert_eq!(error.kind, AgentErrorKind::Unavailable, "{error}");
    }
    let missing = pki.access(json!({"tls": {"ca": "none.pem"}}));
    let error = transport().describe(&endpoint(&url, missing)).await.unwrap_err();
    assert_eq!(error.kind, AgentErrorKind::Unauthorized);
    assert!(error.message.contains("none.pem"), "{error}");
}

/// Serves a card and remembers the headers that it was asked with.
async fn card(interface: &str, schemes: Value) -> (String, Arc<Mutex<Vec<HeaderMap>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let card = json!({
        "name": "a", "skills": [{"id": "test"}], "securitySchemes": schemes,
        "supportedInterfaces": [{"url": interface, "protocolBinding": "GRPC", "protocolVersion": "1.0"}],
    })
    .to_string();
    let route = get(async move |headers: HeaderMap| {
        sink.lock().unwrap().push(headers);
        card.clone()
    });
    (serve(Router::new().route(CARD_PATH, route)).await, seen)
}

#[tokio::test]
async fn a_secret_is_read_each_time_it_is_sent() {
    let folder = Pki::new();
    let (url, seen) = card("127.0.0.1:9", json!({})).await;
    let agent = endpoint(&url, folder.access(json!({"credentials": {"bearer": "file:token"}})));
    let error = transport().describe(&agent).await.unwrap_err();
    assert_eq!(error.kind, AgentErrorKind::Unauthorized);
    assert!(error.message.contains("file:") && seen.lock().unwrap().is_empty(), "{error}");
    for token in ["first-token", "second-token"] {
        std::fs::write(folder.folder.path().join("token"), format!("{token}\n")).unwrap();
        transport().describe(&agent).await.unwrap();
        let headers = seen.lock().unwrap().last().unwrap().clone();
        assert_eq!(headers["authorization"], format!("Bearer {token}"));
    }
}

#[tokio::test]
async fn a_key_goes_in_the_header_that_was_named() {
    let folder = Pki::new();
    std::fs::write(folder.folder.path().join("key"), "the-key").unwrap();
    let scheme = json!({"k": {"apiKeySecurityScheme": {"location": "header", "name": "X-From-Card"}}});
    let (url, seen) = card("127.0.0.1:9", scheme).await;
    let (own, from_card) = (json!({"api_key": "file:key", "header": "x-own"}), json!({"api_key": "file:key"}));
    for (credentials, header) in [(own, "x-own"), (from_card, "x-from-card")] {
        let agent = endpoint(&url, folder.access(json!({"credentials": credentials})));
        let transport = transport();
        // The first card tells the header, the second is asked for with it.
        transport.describe(&agent).await.unwrap();
        transport.describe(&agent).await.unwrap();
        assert_eq!(seen.lock().unwrap().last().unwrap()[header], "the-key");
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_not_called_inside() {
    let (url, seen) = card("127.0.0.1:9", json!({})).await;
    for url in [url.clone(), url.replace("127.0.0.1", "localhost"), url.replace("127.0.0.1", "[::ffff:127.0.0.1]")] {
        let error = transport().describe(&endpoint(&url, AgentAccess::default())).await.unwrap_err();
        assert_eq!(error.kind, AgentErrorKind::Unsupported, "{url}: {error}");
    }
    assert!(seen.lock().unwrap().is_empty());
    for interface in ["169.254.169.254:80", "http://0.0.0.0:1", "http://[fd00:ec2::254]:80", "grpc://u@h:1"] {
        let (url, _) = card(interface, json!({})).await;
        let error = transport().describe(&endpoint(&url, AgentAccess::trusted())).await.unwrap_err();
        assert_eq!(error.kind, AgentErrorKind::Unsupported, "{interface}: {error}");
    }
}

/// Answers with an allowed address first and with another ever after.
struct Rebinding(AtomicUsize);

#[async_trait]
impl Resolve for Rebinding {
    async fn resolve(&self, _: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let last = if self.0.fetch_add(1, Ordering::Relaxed) == 0 { 2 } else { 1 };
        Ok(vec![SocketAddr::from(([127, 0, 0, last], port))])
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_leads_nowhere_else() {
    let body = json!({
        "name": "a", "skills": [{"id": "test"}],
        "supportedInterfaces": [{"url": "127.0.0.2:9", "protocolBinding": "GRPC", "protocolVersion": "1.0"}],
    })
    .to_string();
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().route(CARD_PATH, get(async move || body.clone()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let policy = EndpointPolicy { allow: vec!["127.0.0.2".parse().unwrap()], ..EndpointPolicy::default() };
    let resolver = Arc::new(Rebinding(AtomicUsize::new(0)));
    let config = GrpcConfig { policy, ..GrpcConfig::default() };
    let transport = GrpcTransport::with_resolver(config, Arc::clone(&resolver) as Arc<dyn Resolve>);
    let agent = endpoint(&format!("http://agents.example:{port}"), AgentAccess::default());
    transport.describe(&agent).await.unwrap();
    assert_eq!(resolver.0.load(Ordering::Relaxed), 1, "looked up once for the check and the connection");
    let error = transport.describe(&agent).await.unwrap_err();
    assert_eq!(error.kind, AgentErrorKind::Unsupported, "{error}");
}
