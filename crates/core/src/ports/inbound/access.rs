//! Who may do what: namespaces, tokens and roles.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::RequestError;
use crate::ids::{Namespace, RequestId};
use crate::time::Timestamp;

/// Namespaces and the tokens of callers.
///
/// Contract: that of [`inbound`](super). The text of a token is told once, when it is created; only its hash is kept.
#[async_trait]
pub trait Access: Send + Sync {
    /// Who bears a token; `None` for one that is not known, has expired or was revoked.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn authenticate(&self, token: &str) -> Result<Option<Caller>, RequestError>;

    /// Creates a token.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn create_token(&self, request: CreateToken) -> Result<CreatedToken, RequestError>;

    /// All tokens, without their text.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn list_tokens(&self) -> Result<Vec<TokenInfo>, RequestError>;

    /// Revokes a token at once; false if it was revoked before.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn revoke_token(&self, id: &str) -> Result<bool, RequestError>;

    /// Creates a namespace; false if it was there before.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn create_namespace(&self, namespace: &Namespace, description: &str) -> Result<bool, RequestError>;

    /// All namespaces with their descriptions; `default` is always among them.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn list_namespaces(&self) -> Result<Vec<(Namespace, String)>, RequestError>;
}

/// What a caller may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Reader,
    /// Pause, resume, cancel, terminate, retry and answer runs.
    Operator,
    /// Register workflows and start runs.
    Author,
    /// Everything: namespaces, tokens, agents.
    Admin,
}

impl Role {
    /// Every role, least first.
    pub const ALL: &[Self] = &[Self::Reader, Self::Operator, Self::Author, Self::Admin];

    /// The word used in files and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Author => "author",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().copied().find(|role| role.as_str() == text);
        known.ok_or_else(|| format!("\"{}\" is not one of: reader, operator, author, admin", text.escape_debug()))
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name under which what it does is recorded.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where; `None` for every namespace.
    pub namespace: Option<Namespace>,
}

/// A token to be created.
#[derive(Debug, Clone)]
pub struct CreateToken {
    /// The caller's id of the request.
    pub request: RequestId,
    /// Who is to bear it.
    pub caller: Caller,
    /// Until when it counts; `None` without an end.
    pub expires_at: Option<Timestamp>,
    /// Who creates it.
    pub by: String,
}

/// A token that was created.
#[derive(Clone, PartialEq, Eq)]
pub struct CreatedToken {
    /// What is kept of it.
    pub info: TokenInfo,
    /// The token itself, `tutti_` and 256 random bits; never to be had again.
    pub token: String,
}

impl fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedToken").field("info", &self.info).finish_non_exhaustive()
    }
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its id, by which it is revoked.
    pub id: String,
    /// Who bears it.
    pub caller: Caller,
    /// When it was created.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Until when it counts.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}
