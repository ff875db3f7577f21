//! Finding out who an agent is and where to call it: the agent card over HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use tutti_a2a::card::{AgentCard, AgentInterface};
use tutti_a2a::{CARD_PATH, JSON_MEDIA_TYPE};
use tutti_core::ports::agent::{AgentDescription, AgentErrorKind};

use crate::fault::{Fault, causes};
use crate::pool::http_connector;

/// Largest card read, in bytes.
const MAX_CARD_BYTES: usize = 1024 * 1024;

/// Where and how to call an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The gRPC address, as the card spells it.
    pub address: String,
    /// What every request carries as its tenant.
    pub tenant: String,
    /// False when the card says that the agent does not stream.
    pub streaming: bool,
}

/// Reads cards and remembers them.
#[derive(Debug)]
pub struct Discovery {
    http: Client<HttpConnector, Empty<Bytes>>,
    timeout: Duration,
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// A card as it was last read.
#[derive(Debug)]
struct Known {
    card: AgentCard,
    etag: Option<HeaderValue>,
}

impl Discovery {
    /// A reader that gives each card `timeout`.
    pub fn new(connect_timeout: Duration, timeout: Duration) -> Self {
        let http = Client::builder(TokioExecutor::new()).build(http_connector(connect_timeout));
        Self { http, timeout, known: Mutex::default() }
    }

    /// Where to call the agent whose card is at the base URL, from memory if its card was read before.
    ///
    /// # Errors
    /// The agent cannot be reached, its card cannot be used, or it does not speak A2A 1.x over gRPC.
    pub async fn target(&self, base: &str) -> Result<Target, Fault> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(base).cloned();
        let known = match known {
            Some(known) => known,
            None => self.read(base).await?,
        };
        target_of(&known.card)
    }

    /// Reads the card anew (if it changed) and says where to call the agent.
    ///
    /// # Errors
    /// As [`target`](Self::target).
    pub async fn refresh(&self, base: &str) -> Result<Target, Fault> {
        target_of(&self.read(base).await?.card)
    }

    /// Reads the card anew (if it changed) and says who the agent is.
    ///
    /// # Errors
    /// As [`target`](Self::target).
    pub async fn describe(&self, base: &str) -> Result<AgentDescription, Fault> {
        let known = self.read(base).await?;
        target_of(&known.card)?;
        Ok(AgentDescription {
            name: known.card.name.clone(),
            version: known.card.version.clone(),
            capabilities: known.card.skills.iter().filter_map(|skill| skill.id.parse().ok()).collect(),
        })
    }

    async fn read(&self, base: &str) -> Result<Arc<Known>, Fault> {
        let url = url_of(base)?;
        timeout(self.timeout, self.get(base, &url))
            .await
            .unwrap_or_else(|_| Err(Fault::unreachable(format!("{url}: no card within {:?}", self.timeout))))
    }

    async fn get(&self, base: &str, url: &str) -> Result<Arc<Known>, Fault> {
        let before = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(base).cloned();
        let mut request = Request::get(url).header(ACCEPT, JSON_MEDIA_TYPE);
        if let Some(etag) = before.as_ref().and_then(|known| known.etag.as_ref()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let unusable = |message: String| Fault::refused(AgentErrorKind::Unsupported, format!("{url}: {message}"));
        let request = request.body(Empty::new()).map_err(|error| unusable(error.to_string()))?;
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| Fault::unreachable(format!("{url}: {}", causes(&error))))?;
        if response.status() == StatusCode::NOT_MODIFIED
            && let Some(before) = before
        {
            return Ok(before);
        }
        let response = accept(response, url)?;
        let etag = response.headers().get(ETAG).cloned();
        let body = Limited::new(response.into_body(), MAX_CARD_BYTES).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => unusable(format!("an agent card of more than {MAX_CARD_BYTES} bytes")),
            None => Fault::unreachable(format!("{url}: {error}")),
        })?;
        let card =
            AgentCard::parse(&body.to_bytes()).map_err(|error| unusable(format!("not an agent card: {error}")))?;
        let known = Arc::new(Known { card, etag });
        let mut cards = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        cards.insert(base.to_owned(), Arc::clone(&known));
        Ok(known)
    }
}

fn url_of(base: &str) -> Result<String, Fault> {
    if !base.starts_with("http://") {
        let message = format!("\"{base}\": only http:// URLs of agents are supported");
        return Err(Fault::refused(AgentErrorKind::Unsupported, message));
    }
    Ok(format!("{}{CARD_PATH}", base.trim_end_matches('/')))
}

fn accept<B>(response: Response<B>, url: &str) -> Result<Response<B>, Fault> {
    let status = response.status();
    let message = format!("{url}: HTTP {status}");
    match status {
        StatusCode::OK => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Fault::refused(AgentErrorKind::Unauthorized, message)),
        StatusCode::TOO_MANY_REQUESTS => Err(Fault::unreachable(message)),
        _ if status.is_server_error() => Err(Fault::unreachable(message)),
        _ => Err(Fault::refused(AgentErrorKind::Unsupported, message)),
    }
}

fn target_of(card: &AgentCard) -> Result<Target, Fault> {
    let Some(AgentInterface { url, tenant, .. }) = card.grpc_interface() else {
        let message = format!("agent \"{}\" offers no interface of A2A 1.x over gRPC", card.name);
        return Err(Fault::refused(AgentErrorKind::Unsupported, message));
    };
    let streaming = card.capabilities.streaming != Some(false);
    Ok(Target { address: url.clone(), tenant: tenant.clone(), streaming })
}
