//! How a client reaches a server: in plain text by `http://`, by TLS by `https://`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::client::{ApiClient, ApiError};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a connection with calls under way may be silent before the server is asked for a sign of life (a PING of
/// HTTP/2), and how long that may take: a link that is dead tells nobody so.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// How a client knows a server, and is known by it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// PEM file of the roots that sign the server's certificate. Default: those of this machine.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate, for a server that asks for one; needs `key`.
    pub cert: Option<PathBuf>,
    /// PEM file of that certificate's private key.
    pub key: Option<PathBuf>,
}

impl ApiClient {
    /// A client of the server at a URL such as `https://tutti.example:7780`; connects when it is first used.
    ///
    /// # Errors
    /// [`ApiError::Refused`] for what is no `https://` URL, and for files that cannot be used.
    pub fn with_tls(url: &str, tls: &ClientTls) -> Result<Self, ApiError> {
        Ok(Self::over(channel(url, Some(tls))?))
    }
}

/// The way to a server, with what says who calls.
pub(super) type Link = InterceptedService<Channel, Bearer>;

/// Sends a token with every call, if there is one. Nothing shows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// # Errors
    /// A text that cannot be sent.
    pub(super) fn of(token: &str) -> Result<Self, ApiError> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| ApiError::Refused("the token holds characters that no token has".to_owned()))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A channel that connects when it is first used; `https://` without options trusts the roots of this machine.
pub(super) fn channel(url: &str, tls: Option<&ClientTls>) -> Result<Channel, ApiError> {
    let known = |endpoint: &Endpoint| match endpoint.uri().scheme_str() {
        Some("http") => tls.is_none() && endpoint.uri().host().is_some(),
        Some("https") => endpoint.uri().host().is_some(),
        _ => false,
    };
    let endpoint = Endpoint::from_shared(url.to_owned()).ok().filter(known).ok_or_else(|| {
        let expected = if tls.is_some() { "https://HOST:PORT" } else { "http://HOST:PORT or https://HOST:PORT" };
        ApiError::Refused(format!("\"{}\" is not {expected}", url.escape_debug()))
    })?;
    let (silence, answer) = KEEP_ALIVE;
    let endpoint = endpoint.http2_keep_alive_interval(silence).keep_alive_timeout(answer);
    let mut endpoint = endpoint.connect_timeout(CONNECT).tcp_nodelay(true);
    if endpoint.uri().scheme_str() == Some("https") {
        let tls = config(tls.unwrap_or(&ClientTls::default()))?;
        endpoint = endpoint.tls_config(tls).map_err(|error| ApiError::Refused(reason(&error)))?;
    }
    Ok(endpoint.connect_lazy())
}

fn config(tls: &ClientTls) -> Result<ClientTlsConfig, ApiError> {
    let config = match &tls.ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Ok(config.identity(Identity::from_pem(read(cert)?, read(key)?))),
        (None, None) => Ok(config),
        _ => Err(ApiError::Refused("a client's certificate and its key go together".to_owned())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ApiError> {
    std::fs::read(path).map_err(|error| ApiError::Refused(format!("{} cannot be read: {error}", path.display())))
}

/// What lies beneath: the transport's own errors say little.
fn reason(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio::time::Instant;
    use tutti_core::ids::{Namespace, RunId};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watcher_notices_that_nobody_is_at_the_other_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = ApiClient::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        // Takes everything and answers nothing, as a link does that died on the way.
        let mute = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
            std::future::pending::<()>().await;
        };
        let (namespace, begun) = (Namespace::default(), Instant::now());
        let watched = tokio::select! {
            watched = client.watch(&namespace, RunId::new(0, [0; 10]), 1) => watched,
            () = mute => unreachable!(),
        };
        assert!(matches!(watched, Err(ApiError::Unavailable(_))), "{watched:?}");
        assert!(begun.elapsed() <= KEEP_ALIVE.0 + KEEP_ALIVE.1 * 2, "{:?}", begun.elapsed());
    }
}
