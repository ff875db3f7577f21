//! Credentials for agents: read from where they are at the moment they are sent, and never shown.

use std::fmt;

use http::{HeaderName, HeaderValue};
use tokio::io::AsyncReadExt as _;
use tutti_core::ports::agent::{AgentAccess, AgentErrorKind, Credentials, SecretRef};

use crate::fault::Fault;
use crate::policy::EndpointPolicy;

/// Largest secret, in bytes.
const MAX_SECRET_BYTES: u64 = 16 * 1024;

/// What is shown in the place of a secret.
const MASK: &str = "[secret]";

/// A secret. Nothing shows it.
#[derive(Clone)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Secret {
    /// A text in which the secret cannot be read. Agents like to repeat what they do not accept.
    pub fn mask(&self, text: &str) -> String {
        text.replace(&self.0, MASK)
    }
}

/// The header that credentials are sent in.
#[derive(Debug)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value, marked as sensitive.
    pub value: HeaderValue,
    /// The secret in it.
    pub secret: Secret,
}

/// The header for an agent, if it wants one. `named` is the header that its card wants a key in, if it is known; a key
/// whose header is nowhere named is not sent.
///
/// # Errors
/// A secret that is not there or cannot be sent, named by its reference.
pub async fn header(
    policy: &EndpointPolicy,
    access: &AgentAccess,
    named: Option<&str>,
) -> Result<Option<Header>, Fault> {
    let Some(credentials) = &access.credentials else { return Ok(None) };
    let reference = credentials.secret();
    let refused = |why: String| Fault::refused(AgentErrorKind::Unauthorized, why);
    policy.check_secret(reference, access.trusted).map_err(refused)?;
    let (name, prefix) = match credentials {
        Credentials::Bearer(_) => ("authorization".to_owned(), "Bearer "),
        Credentials::ApiKey { header: Some(name), .. } => (name.clone(), ""),
        Credentials::ApiKey { header: None, .. } => match named {
            Some(name) => (Credentials::header_name(name).map_err(|error| refused(error.to_string()))?, ""),
            None => return Ok(None),
        },
    };
    let secret = read(reference).await.map_err(|why| refused(format!("the secret {reference} {why}")))?;
    let unsendable = || refused(format!("the secret {reference} cannot be sent in the header \"{name}\""));
    let mut value = HeaderValue::try_from(format!("{prefix}{}", secret.0)).map_err(|_| unsendable())?;
    value.set_sensitive(true);
    let name = HeaderName::try_from(&name).map_err(|_| unsendable())?;
    Ok(Some(Header { name, value, secret }))
}

async fn read(reference: &SecretRef) -> Result<Secret, String> {
    let text = match reference {
        SecretRef::Env(name) => std::env::var(name).map_err(|_| "is not set".to_owned())?,
        SecretRef::File(path) => {
            let cannot = |error: std::io::Error| format!("cannot be read: {}", error.kind());
            let mut text = String::new();
            let file = tokio::fs::File::open(path).await.map_err(cannot)?;
            file.take(MAX_SECRET_BYTES).read_to_string(&mut text).await.map_err(cannot)?;
            text
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err("is empty".to_owned()) } else { Ok(Secret(text.to_owned())) }
}
