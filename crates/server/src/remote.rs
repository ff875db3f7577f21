//! A server as a place where runs are: read like a store.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tutti_adapters_grpc::api::{ApiClient, ApiError, ClientTls};
use tutti_core::ids::Namespace;
use tutti_core::ports::query::{ListRuns, RunQuery};
use tutti_core::ports::store::StoreError;

use crate::exit::{Exit, Failure, Result};
use crate::store::Reader;
use crate::watching::{Place, Server};

/// The server that is asked if none is named and one is needed; where `tutti serve` listens by default.
pub const DEFAULT: &str = "http://127.0.0.1:7780";

/// What every client of this process sends, so that none forgets it.
static TOKEN: OnceLock<Token> = OnceLock::new();

/// How every client of this process speaks TLS.
static TLS: OnceLock<ClientTls> = OnceLock::new();

/// A token of the caller. Nothing shows it.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

impl FromStr for Token {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl Token {
    /// The token in a file.
    ///
    /// # Errors
    /// A file that cannot be read or is empty.
    pub fn of_file(path: &Path) -> Result<Self> {
        let wrong = |why: &dyn fmt::Display| Failure::usage(format!("the token file {} {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        if text.trim().is_empty() { Err(wrong(&"is empty")) } else { Ok(Self(text.trim().to_owned())) }
    }
}

/// Has every client of this process send a token.
pub fn bear(token: Token) {
    // Said once, by the command line.
    let _ = TOKEN.set(token);
}

/// Has every client of this process speak TLS so, where the URL of its server asks for TLS.
pub fn speak(tls: ClientTls) {
    // Said once, by the configuration.
    let _ = TLS.set(tls);
}

/// A client of the server at a URL, with the caller's token and certificate.
///
/// # Errors
/// What is no URL, a token that cannot be sent, certificates that cannot be used.
pub fn client(url: &str) -> Result<ApiClient> {
    let client = match TLS.get().filter(|tls| **tls != ClientTls::default() && url.starts_with("https:")) {
        Some(tls) => ApiClient::with_tls(url, tls).map_err(|error| {
            Failure::usage(error.to_string()).next("look at the section [client] of the configuration")
        }),
        None => {
            ApiClient::new(url).map_err(|error| Failure::usage(error.to_string()).next(format!("--server {DEFAULT}")))
        }
    }?;
    match TOKEN.get().filter(|token| !token.0.is_empty()) {
        Some(token) => client.with_token(&token.0).map_err(|error| failure(url, error)),
        None => Ok(client),
    }
}

/// The runs of a namespace of the server at a URL, to look on.
///
/// # Errors
/// A server that cannot be reached.
pub async fn reader(url: &str, namespace: &Namespace) -> Result<Reader> {
    let client = Arc::new(client(url)?.within(namespace.clone()));
    // Asked once, so that a server that is not there is told as such.
    match client.list(ListRuns { namespace: namespace.clone(), limit: 1, ..ListRuns::default() }).await {
        Ok(_) => {}
        Err(StoreError::Permanent(why)) => return Err(failure(url, ApiError::Denied(why))),
        Err(StoreError::Unavailable(why)) => return Err(unreachable(url, &why)),
        Err(error) => return Err(unreachable(url, &error.to_string())),
    }
    Ok(Reader { query: client.clone(), payloads: client, retention: None, namespace: namespace.clone() })
}

/// The server at a URL, to watch its runs of a namespace; it may be away for so long.
///
/// # Errors
/// As [`reader`].
pub async fn place(url: &str, namespace: &Namespace, patience: Duration) -> Result<Place> {
    let (url, client) = (url.to_owned(), client(url)?);
    Ok(Place { reader: reader(&url, namespace).await?, server: Some(Server { url, client, patience }) })
}

/// What a server's refusal means for a command.
pub fn failure(url: &str, error: ApiError) -> Failure {
    match error {
        ApiError::Refused(why) => Failure::usage(why),
        ApiError::Denied(why) => Failure::of(Exit::Denied, why)
            .next("give a token by TUTTI_TOKEN or --token-file; `tutti token create` makes one"),
        ApiError::Unavailable(why) | ApiError::Interrupted(why) => unreachable(url, &why),
    }
}

fn unreachable(url: &str, why: &str) -> Failure {
    Failure::unavailable(format!("the server at {url} cannot be used: {why}"))
        .next("ask again in a moment if it starts or stops, start it by `tutti serve`, or name another by --server URL")
}
