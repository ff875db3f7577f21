//! TLS of a server, with certificates made here: who it is, who its callers are, and new certificates while it runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto};
use tutti_adapters_grpc::api::{ApiClient, ApiError, ClientTls};
use tutti_adapters_grpc::serve::{ServeError, ServeOptions, ServerLimits, TlsOptions, TlsVersion};
use tutti_core::ids::{Namespace, RunId};

use crate::serve::{Served, head, request};
use crate::support::PATIENCE;

/// A certificate authority and a folder for what it signs.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `NAME.pem` and `NAME.key`; gives the certificate.
    pub fn sign(&self, name: &str, names: Vec<SanType>) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    pub fn server(&self) -> TlsOptions {
        self.sign("server", vec![dns("localhost")]);
        TlsOptions::new(self.path("server.pem"), self.path("server.key"))
    }

    /// Connects; with the certificate of a name, if one is given.
    async fn connect(
        &self,
        server: &Served,
        client: Option<&str>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.speak(server.connect().await, client, versions).await
    }

    /// As [`connect`](Self::connect) over a connection that is there, by TLS 1.3.
    pub async fn handshake(&self, stream: TcpStream, client: Option<&str>) -> std::io::Result<TlsStream<TcpStream>> {
        self.speak(stream, client, &[&TLS13]).await
    }

    async fn speak(
        &self,
        stream: TcpStream,
        client: Option<&str>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let certificate = CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn client(&self, name: Option<&str>) -> ClientTls {
        ClientTls {
            ca: Some(self.path("ca.pem")),
            cert: name.map(|name| self.path(&format!("{name}.pem"))),
            key: name.map(|name| self.path(&format!("{name}.key"))),
        }
    }
}

pub fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(Ia5String::try_from(name).unwrap())
}

async fn served(tls: TlsOptions) -> Served {
    Served::start(ServeOptions { tls: Some(tls), ..ServeOptions::default() }).await
}

/// What the client of the API hears: nothing here serves the API, so an answer says Unimplemented.
async fn called(server: &Served, tls: &ClientTls) -> String {
    let client = ApiClient::with_tls(&format!("https://localhost:{}", server.address.port()), tls).unwrap();
    let answer = client.watch(&Namespace::default(), RunId::new(0, [0; 10]), 1).await;
    answer.expect_err("nobody serves it").to_string()
}

#[tokio::test]
async fn both_protocols_are_spoken_over_tls_and_old_ones_only_when_asked_for() {
    let authority = Authority::new();
    let server = served(authority.server()).await;
    let stream = authority.connect(&server, None, &[&TLS13]).await.unwrap();
    assert!(request(stream, &head("GET", "/hello", "")).await.ends_with("hello"));
    assert!(called(&server, &authority.client(None)).await.contains("Unimplemented"));
    let stranger = Authority::new();
    assert!(!called(&server, &stranger.client(None)).await.contains("Unimplemented"), "a root it does not know");
    assert!(authority.connect(&server, None, &[&TLS12]).await.is_err());
    let old = served(TlsOptions { min_version: TlsVersion::Tls12, ..authority.server() }).await;
    authority.connect(&old, None, &[&TLS12]).await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_required_and_its_names_are_told() {
    let authority = Authority::new();
    authority.sign("client", vec![dns("worker.example"), uri("spiffe://example/worker"), uri("admin.example")]);
    let client_ca = Some(authority.path("ca.pem"));
    let required = served(TlsOptions { client_ca: client_ca.clone(), ..authority.server() }).await;
    let stream = authority.connect(&required, Some("client"), &[&TLS13]).await.unwrap();
    let who = request(stream, &head("GET", "/who", "")).await;
    // What is called a URI and could be a DNS name is left out.
    assert!(who.ends_with(r#"127.0.0.1 Some(["worker.example", "spiffe://example/worker"])"#), "{who}");
    assert!(called(&required, &authority.client(Some("client"))).await.contains("Unimplemented"));
    assert!(!called(&required, &authority.client(None)).await.contains("Unimplemented"));
    // With TLS 1.3 the client hears of its refusal after its own handshake.
    if let Ok(stream) = authority.connect(&required, None, &[&TLS13]).await {
        assert_eq!(request(stream, &head("GET", "/who", "")).await, "");
    }
    let stranger = Authority::new();
    stranger.sign("client", vec![dns("worker.example")]);
    std::fs::copy(authority.path("ca.pem"), stranger.path("ca.pem")).unwrap();
    let optional = TlsOptions { client_ca, require_client_cert: false, ..authority.server() };
    let optional = served(optional).await;
    for server in [&required, &optional] {
        if let Ok(stream) = stranger.connect(server, Some("client"), &[&TLS13]).await {
            assert_eq!(request(stream, &head("GET", "/who", "")).await, "", "of another authority");
        }
    }
    let stream = authority.connect(&optional, None, &[&TLS13]).await.unwrap();
    assert!(request(stream, &head("GET", "/who", "")).await.ends_with("127.0.0.1 None"));
}

#[tokio::test]
async fn new_certificates_are_taken_and_bad_ones_are_not() {
    let authority = Authority::new();
    let server = served(TlsOptions { reload_interval: Duration::ZERO, ..authority.server() }).await;
    let shown = async || {
        let stream = authority.connect(&server, None, &[&TLS13]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let first = shown().await;
    std::fs::write(authority.path("server.key"), "half a k").unwrap();
    assert_eq!(shown().await, first, "what was there goes on");
    let second = authority.sign("server", vec![dns("localhost")]);
    let start = Instant::now();
    while shown().await != second {
        assert!(start.elapsed() < PATIENCE, "the new certificate is never shown");
    }
    // The certificate is there and its key is not yet.
    let key = std::fs::read(authority.path("server.key")).unwrap();
    authority.sign("server", vec![dns("localhost")]);
    std::fs::write(authority.path("server.key"), key).unwrap();
    assert_eq!(shown().await, second);
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let authority = Authority::new();
    let limits = ServerLimits { tls_handshake_timeout: Duration::from_millis(200), ..ServerLimits::default() };
    let options = ServeOptions { limits, tls: Some(authority.server()), ..ServeOptions::default() };
    let server = Served::start(options).await;
    for half in ["", "\u{16}\u{3}\u{1}"] {
        let start = Instant::now();
        assert_eq!(request(server.connect().await, half).await, "");
        assert!(start.elapsed() >= Duration::from_millis(200), "it has its time");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let good = authority.server();
    authority.sign("other", vec![dns("localhost")]);
    let other_key = TlsOptions { key: authority.path("other.key"), ..good.clone() };
    let missing = TlsOptions { cert: authority.path("none.pem"), ..good.clone() };
    let no_root = TlsOptions { client_ca: Some(authority.path("other.key")), ..good };
    for (wrong, file) in [(other_key, "server.pem"), (missing, "none.pem"), (no_root, "other.key")] {
        let options = ServeOptions { tls: Some(wrong), ..ServeOptions::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = tutti_adapters_grpc::serve::serve(listener, axum::Router::new(), options, async {}).await;
        let Err(ServeError::Tls(why)) = refused else { panic!("{file} is taken") };
        assert!(why.contains(file), "{why}");
    }
    let half = ClientTls { cert: Some(authority.path("other.pem")), ..ClientTls::default() };
    let refused = |url: &str, tls: &ClientTls| matches!(ApiClient::with_tls(url, tls), Err(ApiError::Refused(_)));
    assert!(refused("https://localhost:1", &half));
    assert!(refused("http://localhost:1", &authority.client(None)), "no secrets in plain text");
}
