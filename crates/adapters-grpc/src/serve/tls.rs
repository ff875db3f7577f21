//! TLS of a server: rustls with ring, certificates that are read again when their files change, and who a client is.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tutti_core::value::Digest;

use super::ServeError;

/// How a server proves who it is, and asks its callers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the server's certificate, followed by those between it and its root.
    pub cert: PathBuf,
    /// PEM file of the certificate's private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// PEM file of the roots that sign client certificates; `None`: clients are not asked for one. Default: `None`.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is turned away; means something only with `client_ca`. Default: true.
    pub require_client_cert: bool,
    /// The oldest protocol spoken. Default: 1.3.
    pub min_version: TlsVersion,
    /// How often the files are looked at, when a connection comes. What cannot be used is reported, and what was there
    /// before goes on. Default: 10 s.
    pub reload_interval: Duration,
}

impl TlsOptions {
    /// A server's certificate and key, and the defaults.
    #[must_use]
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            cert: cert.into(),
            key: key.into(),
            client_ca: None,
            require_client_cert: true,
            min_version: TlsVersion::default(),
            reload_interval: Duration::from_secs(10),
        }
    }

    /// Reads the files and puts them together, as serving does when it begins.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn check(&self) -> Result<(), ServeError> {
        Files::read(self).and_then(|files| files.config(self)).map(drop).map_err(ServeError::Tls)
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// RFC 5246, for clients that know nothing newer.
    Tls12,
    /// RFC 8446.
    #[default]
    Tls13,
}

/// Who a client is by its verified certificate. In the extensions of every request on a connection that gave one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The DNS names and URIs of its subject alternative names. A URI holds a colon, a DNS name never does, so that one
    /// cannot pass for the other.
    pub names: Vec<String>,
}

impl PeerCertificate {
    /// The names of a certificate that was verified by the handshake.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let uris = certificate.valid_uri_names().filter(|uri| uri.contains(':'));
        Some(Self { names: certificate.valid_dns_names().chain(uris).map(str::to_owned).collect() })
    }
}

/// The certificates as they are now.
pub(super) struct Certificates {
    options: TlsOptions,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// Of the files last tried, good or not.
    seen: Digest,
    looked: Instant,
}

impl Certificates {
    /// # Errors
    /// What is wrong with which file.
    pub(super) fn load(options: TlsOptions) -> Result<Self, String> {
        let files = Files::read(&options)?;
        let config = files.config(&options)?;
        let current = Mutex::new(Current { config, seen: files.digest(), looked: Instant::now() });
        Ok(Self { options, current })
    }

    /// What the next handshake uses. The files are read off the threads of other connections: they may stand on a slow disk.
    pub(super) async fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let due = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let due = current.looked.elapsed() >= self.options.reload_interval;
            if due {
                current.looked = Instant::now();
            }
            due
        };
        if due {
            let certificates = self.clone();
            // A panic in there leaves what was there before.
            let _ = tokio::task::spawn_blocking(move || certificates.look()).await;
        }
        TlsAcceptor::from(self.current.lock().unwrap_or_else(PoisonError::into_inner).config.clone())
    }

    /// Takes the files if they have changed. Their content is compared, not their times: those of a copy may be old.
    fn look(&self) {
        let files = match Files::read(&self.options) {
            Ok(files) => files,
            Err(why) => return tracing::warn!("the certificates stay as they were: {why}"),
        };
        let seen = files.digest();
        if self.current.lock().unwrap_or_else(PoisonError::into_inner).seen == seen {
            return;
        }
        let config = files.config(&self.options);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.seen = seen;
        match config {
            Ok(config) => {
                current.config = config;
                tracing::info!("new certificates are used");
            }
            Err(why) => tracing::warn!("the certificates stay as they were: {why}"),
        }
    }
}

/// The files of the options.
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    fn read(options: &TlsOptions) -> Result<Self, String> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()));
        Ok(Self {
            cert: read(&options.cert)?,
            key: read(&options.key)?,
            client_ca: options.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn digest(&self) -> Digest {
        let parts = [&self.cert, &self.key, self.client_ca.as_ref().unwrap_or(&self.cert)];
        Digest::of(parts.map(|part| Digest::of(part).to_string()).concat().as_bytes())
    }

    fn config(&self, options: &TlsOptions) -> Result<Arc<ServerConfig>, String> {
        let wrong = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let provider = Arc::new(default_provider());
        let versions = match options.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12][..],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?;
        let builder = match options.client_ca.as_deref().zip(self.client_ca.as_deref()) {
            None => builder.with_no_client_auth(),
            Some((path, content)) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(path, content)? {
                    roots.add(root).map_err(|error| wrong(path, &error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if options.require_client_cert { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(path, &error))?)
            }
        };
        let chain = certificates(&options.cert, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| wrong(&options.key, &error))?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| wrong(&options.cert, &error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    match all {
        Ok(all) if all.is_empty() => Err(format!("{}: no certificate in it", path.display())),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
