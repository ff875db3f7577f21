//! What it takes to reach an agent safely, as data: names of files and of secrets, never their content.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Headers that the protocols set themselves.
const RESERVED: [&str; 11] = [
    "a2a-version",
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How an agent is reached: TLS, credentials and trust. The default is none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentAccess {
    /// TLS with files of one's own. With it, the agent is only talked to over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<AgentTls>,
    /// What the agent wants to see, by reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// True for agents that the operator named: they may be on loopback and in private networks, and be given any
    /// secret. Never read from outside.
    #[serde(skip)]
    pub trusted: bool,
}

/// Files for TLS with an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "WrittenTls", into = "WrittenTls")]
pub struct AgentTls {
    /// PEM file of the authorities that may have signed the agent's certificate. Default: the public ones.
    pub ca: Option<PathBuf>,
    /// What is shown to an agent that asks who calls (mutual TLS).
    pub client: Option<ClientIdentity>,
    /// The name that the agent's certificate must bear. Default: the host of the address.
    pub server_name: Option<String>,
}

/// A client's certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity {
    /// PEM file of the certificate chain, the client's own first.
    pub cert: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// What an agent wants to see, by reference to a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "WrittenCredentials", into = "WrittenCredentials")]
pub enum Credentials {
    /// A token, sent as `authorization: Bearer TOKEN`.
    Bearer(SecretRef),
    /// A key, sent as it is.
    ApiKey {
        /// The key.
        key: SecretRef,
        /// In which header, in lower case; `None`: the one that the agent's card names.
        header: Option<String>,
    },
}

/// Where a secret is: `env:NAME` or `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// A variable of the environment.
    Env(String),
    /// The content of a file, without the line end at its end.
    File(PathBuf),
}

/// Why what is written is not an access. The texts never repeat what is wrong: it may be a secret in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Neither `env:` nor `file:`.
    #[error("a secret is given by reference: env:NAME or file:PATH")]
    SecretRef,
    /// Not exactly one kind of credentials.
    #[error("needs either `bearer` or `api_key`")]
    OneKind,
    /// A header beside a token.
    #[error("`header` goes with `api_key`; a token is sent as `authorization`")]
    HeaderOfBearer,
    /// No name of a header that could be set.
    #[error("`header` is no header that can carry a key")]
    Header,
    /// A certificate without its key, or the other way round.
    #[error("`cert` and `key` go together")]
    HalfIdentity,
}

impl AgentAccess {
    /// The access of an agent that the operator named, and nothing else.
    #[must_use]
    pub fn trusted() -> Self {
        Self { trusted: true, ..Self::default() }
    }

    /// The same, with relative names of files taken as in this folder.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        let place = |path: &mut PathBuf| *path = folder.join(&*path);
        if let Some(tls) = &mut self.tls {
            tls.ca.iter_mut().for_each(place);
            if let Some(client) = &mut tls.client {
                place(&mut client.cert);
                place(&mut client.key);
            }
        }
        if let Some(
            Credentials::Bearer(SecretRef::File(path)) | Credentials::ApiKey { key: SecretRef::File(path), .. },
        ) = &mut self.credentials
        {
            place(path);
        }
        self
    }
}

impl Credentials {
    /// The secret behind them.
    #[must_use]
    pub const fn secret(&self) -> &SecretRef {
        match self {
            Self::Bearer(secret) | Self::ApiKey { key: secret, .. } => secret,
        }
    }

    /// A header's name in lower case, if it can carry a key.
    ///
    /// # Errors
    /// [`AccessError::Header`].
    pub fn header_name(name: &str) -> Result<String, AccessError> {
        let name = name.to_ascii_lowercase();
        let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        let usable = !name.is_empty()
            && name.bytes().all(is_token)
            && !name.starts_with("grpc-")
            && !name.ends_with("-bin")
            && !RESERVED.contains(&name.as_str());
        if usable { Ok(name) } else { Err(AccessError::Header) }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl FromStr for SecretRef {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Self, AccessError> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() && !path.contains('\0') => Ok(Self::File(path.into())),
            _ => Err(AccessError::SecretRef),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = AccessError;

    fn try_from(text: String) -> Result<Self, AccessError> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(secret: SecretRef) -> Self {
        secret.to_string()
    }
}

/// TLS as it is written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct WrittenTls {
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
}

impl TryFrom<WrittenTls> for AgentTls {
    type Error = AccessError;

    fn try_from(written: WrittenTls) -> Result<Self, AccessError> {
        let client = match (written.cert, written.key) {
            (Some(cert), Some(key)) => Some(ClientIdentity { cert, key }),
            (None, None) => None,
            _ => return Err(AccessError::HalfIdentity),
        };
        Ok(Self { ca: written.ca, client, server_name: written.server_name })
    }
}

impl From<AgentTls> for WrittenTls {
    fn from(tls: AgentTls) -> Self {
        let (cert, key) = tls.client.map(|client| (client.cert, client.key)).unzip();
        Self { ca: tls.ca, cert, key, server_name: tls.server_name }
    }
}

/// Credentials as they are written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct WrittenCredentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    bearer: Option<SecretRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<SecretRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<String>,
}

impl TryFrom<WrittenCredentials> for Credentials {
    type Error = AccessError;

    fn try_from(written: WrittenCredentials) -> Result<Self, AccessError> {
        match (written.bearer, written.api_key, written.header) {
            (Some(_), None, Some(_)) => Err(AccessError::HeaderOfBearer),
            (Some(token), None, None) => Ok(Self::Bearer(token)),
            (None, Some(key), header) => {
                Ok(Self::ApiKey { key, header: header.as_deref().map(Self::header_name).transpose()? })
            }
            _ => Err(AccessError::OneKind),
        }
    }
}

impl From<Credentials> for WrittenCredentials {
    fn from(credentials: Credentials) -> Self {
        match credentials {
            Credentials::Bearer(token) => Self { bearer: Some(token), ..Self::default() },
            Credentials::ApiKey { key, header } => Self { api_key: Some(key), header, ..Self::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AgentAccess, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_and_written_again() {
        for text in [
            r#"{}"#,
            r#"{"tls":{"ca":"ca.pem","cert":"c.pem","key":"k.pem","server_name":"agent"}}"#,
            r#"{"credentials":{"bearer":"env:TOKEN"}}"#,
            r#"{"credentials":{"api_key":"file:key","header":"x-key"}}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn a_secret_in_the_place_of_a_reference_is_refused_and_not_repeated() {
        let error = read(r#"{"credentials":{"bearer":"sk-12345"}}"#).unwrap_err();
        assert!(error.contains("env:NAME") && !error.contains("sk-12345"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            r#"{"trusted":true}"#,
            r#"{"tls":{"cert":"c"}}"#,
            r#"{"credentials":{}}"#,
            r#"{"credentials":{"bearer":"env:A","api_key":"env:B"}}"#,
            r#"{"credentials":{"bearer":"env:A","header":"x"}}"#,
            r#"{"credentials":{"api_key":"env:A","header":"grpc-timeout"}}"#,
            r#"{"credentials":{"api_key":"env:A","header":"a b"}}"#,
            r#"{"credentials":{"api_key":"env:"}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_taken_from_the_folder() {
        let access = read(r#"{"tls":{"ca":"ca.pem"},"credentials":{"bearer":"file:/abs"}}"#).unwrap();
        let access = access.in_folder(Path::new("/etc/agents"));
        assert_eq!(access.tls.unwrap().ca.unwrap(), Path::new("/etc/agents/ca.pem"));
        assert_eq!(access.credentials.unwrap().secret().to_string(), "file:/abs");
    }
}
