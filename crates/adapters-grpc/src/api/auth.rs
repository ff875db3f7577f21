//! Who may call what: the one place that decides it, around everything that a port serves.
//!
//! A call is let through if its path stands in [`rules`] and its caller has the role that is written there. What stands
//! nowhere is for nobody. Which namespace a caller may name is decided where the request is read, in `caller.rs`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::{AUTHORIZATION, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use tonic::Code;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::access::{Access, Caller, Role};

use super::rules::{RULES, Rule};
use crate::serve::{PeerCertificate, is_grpc, refusal};

/// What a caller without credentials is told to bring, and one with wrong ones.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"tutti\"");
const CHALLENGE_AGAIN: HeaderValue = HeaderValue::from_static("Bearer realm=\"tutti\", error=\"invalid_token\"");

/// How callers are known. Cloning is cheap.
#[derive(Clone)]
pub struct Auth(Option<Arc<Known>>);

/// By what callers are known.
struct Known {
    access: Arc<dyn Access>,
    /// Callers by a name of their certificates, the first that fits.
    certificates: Vec<(String, Caller)>,
}

/// Why a call is not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// It says not who calls.
    Nobody,
    /// It says so by what is not, or no longer, known.
    Stranger,
    /// It is for another role than the caller's.
    Denied(String),
    /// It is for nobody.
    Absent,
    /// It cannot be found out who calls.
    Unavailable(String),
}

impl Auth {
    /// Nobody is asked: every caller may do everything, without a name.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Callers bear tokens, or certificates with one of these names: DNS names or URIs of their subject alternative
    /// names. A token counts before a certificate.
    #[must_use]
    pub fn on(access: Arc<dyn Access>, certificates: Vec<(String, Caller)>) -> Self {
        Self(Some(Arc::new(Known { access, certificates })))
    }

    /// The same routes, for those who may have them. Every request that comes through has its [`Caller`] in its
    /// extensions, except of somebody unknown to what is for all.
    pub fn around(self, routes: Router) -> Router {
        Router::new().fallback_service(routes).layer(from_fn_with_state(self, check))
    }

    /// Who calls, if it may; `None` for somebody unknown at what is for all.
    async fn admit(&self, request: &Parts) -> Result<Option<Caller>, Refusal> {
        let path = request.uri.path();
        let caller = match &self.0 {
            None => here(&request.headers),
            Some(known) => known.caller(request).await,
        };
        match (rule(path), caller) {
            (Some(Rule::Public), caller) => Ok(caller.ok()),
            (_, Err(refusal)) => Err(refusal),
            (Some(Rule::Role(role) | Rule::Everywhere(role)), Ok(caller)) if caller.role < role => {
                tracing::info!(path, caller = caller.name, role = %caller.role, needs = %role, "denied");
                Err(Refusal::Denied(format!("this needs the role {role}; the caller is {}", caller.role)))
            }
            (Some(Rule::Everywhere(_)), Ok(Caller { name, namespace: Some(namespace), .. })) => {
                tracing::info!(path, caller = name, %namespace, "denied");
                Err(Refusal::Denied(format!("this is about every namespace; the caller is of {namespace}")))
            }
            (Some(Rule::Role(_) | Rule::Everywhere(_)), Ok(caller)) => Ok(Some(caller)),
            (None, Ok(_)) => Err(Refusal::Absent),
        }
    }
}

impl Known {
    async fn caller(&self, request: &Parts) -> Result<Caller, Refusal> {
        match token(&request.headers)? {
            Some(token) => match self.access.authenticate(token).await {
                Ok(caller) => caller.ok_or(Refusal::Stranger),
                Err(error @ RequestError::Unavailable(_)) => Err(Refusal::Unavailable(error.to_string())),
                Err(error) => {
                    tracing::error!(%error, "callers cannot be told apart");
                    Err(Refusal::Unavailable("the server cannot tell who calls".to_owned()))
                }
            },
            None => {
                let certificate = request.extensions.get::<PeerCertificate>().ok_or(Refusal::Nobody)?;
                let known = self.certificates.iter().find(|(name, _)| certificate.names.contains(name));
                let (_, caller) = known.ok_or(Refusal::Nobody)?;
                no_page(&request.headers)?;
                Ok(caller.clone())
            }
        }
    }
}

/// Every path that anybody may call, with who may.
pub fn rules() -> impl Iterator<Item = (&'static str, Rule)> {
    RULES.iter().copied()
}

fn rule(path: &str) -> Option<Rule> {
    static BY_PATH: LazyLock<HashMap<&str, Rule>> = LazyLock::new(|| RULES.iter().copied().collect());
    BY_PATH.get(path).copied()
}

/// Who calls where nobody is asked: whoever can reach the server.
fn here(headers: &HeaderMap) -> Result<Caller, Refusal> {
    no_page(headers)?;
    Ok(Caller { name: String::new(), role: Role::Admin, namespace: None })
}

/// Refuses what a web page asks for. A browser reaches this machine and shows its certificates for any page that it has
/// open, but no page knows a token. Browsers say so with everything that can change something (Fetch, 3.2: `origin`).
fn no_page(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(ORIGIN) {
        return Err(Refusal::Denied("a web page has to send a token".to_owned()));
    }
    Ok(())
}

/// The token of a request (RFC 6750, 2.1); `None` if it bears none.
fn token(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(Refusal::Stranger);
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refusal::Stranger)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(Refusal::Stranger) }
}

async fn check(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match auth.admit(&parts).await {
        Ok(caller) => {
            // Nothing behind this needs it, and nothing is to show it.
            parts.headers.remove(AUTHORIZATION);
            if let Some(caller) = caller {
                parts.extensions.insert(caller);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refused) => refused.answer(is_grpc(&parts.headers)),
    }
}

impl Refusal {
    fn answer(self, grpc: bool) -> Response<Body> {
        let (status, code, challenge, why) = match self {
            Self::Nobody => {
                let why = "this server wants to know who calls: send a token as `authorization: Bearer tutti_…`";
                (StatusCode::UNAUTHORIZED, Code::Unauthenticated, Some(CHALLENGE), why.to_owned())
            }
            Self::Stranger => {
                let why = "the token is not known, has expired or was revoked";
                (StatusCode::UNAUTHORIZED, Code::Unauthenticated, Some(CHALLENGE_AGAIN), why.to_owned())
            }
            Self::Absent => {
                let why = "there is nothing here that anybody may call";
                (StatusCode::NOT_FOUND, Code::PermissionDenied, None, why.to_owned())
            }
            Self::Denied(why) => (StatusCode::FORBIDDEN, Code::PermissionDenied, None, why),
            Self::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, None, why),
        };
        let mut response = refusal(grpc, status, code, &why);
        if let Some(challenge) = challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
