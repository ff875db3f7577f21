//! TLS towards agents.
//!
//! Without authorities of one's own, those that Mozilla trusts count, compiled in: the same on every machine, also where
//! none are installed. Files are read for each connection, so that renewed certificates are used.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tutti_core::ports::agent::{AgentErrorKind, SecretRef};

use crate::address::Host;
use crate::connect::{Failure, Route};
use crate::policy::EndpointPolicy;

/// The settings for one connection, with this protocol offered (ALPN).
///
/// # Errors
/// A file that cannot be used, named.
pub async fn config(policy: &EndpointPolicy, route: &Route, protocol: &[u8]) -> Result<Arc<ClientConfig>, Failure> {
    let read = async |path: &Path| {
        let secret = SecretRef::File(path.to_owned());
        policy.check_secret(&secret, route.trusted).map_err(unusable)?;
        tokio::fs::read(path).await.map_err(|error| unusable(format!("{} cannot be read: {error}", path.display())))
    };
    let tls = route.tls.as_ref();
    let roots = match tls.and_then(|tls| tls.ca.as_deref()) {
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Some(path) => authorities(path, &read(path).await?)?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .with_root_certificates(roots);
    let mut config = match tls.and_then(|tls| tls.client.as_ref()) {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let chain = certificates(&client.cert, &read(&client.cert).await?)?;
            // The library's words could hold a part of the key; they are left out.
            let key = PrivateKeyDer::from_pem_slice(&read(&client.key).await?)
                .map_err(|_| unusable(format!("{} holds no private key in PEM", client.key.display())))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(format!("{} and {}: {error}", client.cert.display(), client.key.display())))?
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// The name that the agent's certificate must bear.
///
/// # Errors
/// It is none.
pub fn server_name(route: &Route) -> Result<ServerName<'static>, Failure> {
    let name = match (route.tls.as_ref().and_then(|tls| tls.server_name.clone()), &route.address.host) {
        (Some(name), _) => name,
        (None, Host::Name(name)) => name.clone(),
        (None, Host::Ip(ip)) => return Ok(ServerName::from(IpAddr::clone(ip))),
    };
    ServerName::try_from(name).map_err(|_| unusable(format!("{}: no name for a certificate", route.address)))
}

fn authorities(path: &Path, pem: &[u8]) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| unusable(format!("{}: {error}", path.display())))?;
    }
    Ok(roots)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    if certificates.is_empty() {
        return Err(unusable(format!("{} holds no certificate in PEM", path.display())));
    }
    Ok(certificates)
}

fn unusable(message: String) -> Failure {
    Failure::refused(AgentErrorKind::Unauthorized, message)
}
