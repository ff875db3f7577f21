//! Finding out who an agent is and where to call it: the agent card over HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ETAG, HOST, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tutti_a2a::card::{AgentCard, AgentInterface};
use tutti_a2a::{CARD_PATH, JSON_MEDIA_TYPE};
use tutti_core::ports::agent::{AgentAccess, AgentDescription, AgentEndpoint, AgentErrorKind};

use crate::access;
use crate::address::Address;
use crate::connect::{Connector, Route};
use crate::fault::{Fault, causes};
use crate::policy::EndpointPolicy;

/// Largest card read, in bytes.
const MAX_CARD_BYTES: usize = 1024 * 1024;

/// Where and how to call an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The gRPC address.
    pub address: Address,
    /// What every request carries as its tenant.
    pub tenant: String,
    /// False when the card says that the agent does not stream.
    pub streaming: bool,
    /// The header that the card wants an API key in.
    pub key_header: Option<String>,
}

/// Reads cards and remembers them.
#[derive(Debug)]
pub struct Discovery {
    connector: Connector,
    timeout: Duration,
    known: Mutex<HashMap<Whose, Arc<Known>>>,
}

/// Whose card it is: the same address may show another card to another caller.
type Whose = (String, AgentAccess);

/// A card as it was last read.
#[derive(Debug)]
struct Known {
    card: AgentCard,
    etag: Option<HeaderValue>,
}

impl Discovery {
    /// A reader that gives each card `timeout`.
    pub fn new(connector: Connector, timeout: Duration) -> Self {
        Self { connector, timeout, known: Mutex::default() }
    }

    /// The policy that it goes by.
    pub fn policy(&self) -> &EndpointPolicy {
        self.connector.policy()
    }

    /// Where to call an agent, from memory if its card was read before.
    ///
    /// # Errors
    /// The agent cannot be reached, is not allowed to be where it is, its card cannot be used, or it does not speak
    /// A2A 1.x over gRPC.
    pub async fn target(&self, agent: &AgentEndpoint) -> Result<Target, Fault> {
        let known = match self.known(agent) {
            Some(known) => known,
            None => self.read(agent).await?,
        };
        self.target_of(&known.card, agent)
    }

    /// Reads the card anew (if it changed) and says where to call the agent.
    ///
    /// # Errors
    /// As [`target`](Self::target).
    pub async fn refresh(&self, agent: &AgentEndpoint) -> Result<Target, Fault> {
        self.target_of(&self.read(agent).await?.card, agent)
    }

    /// Reads the card anew (if it changed) and says who the agent is.
    ///
    /// # Errors
    /// As [`target`](Self::target).
    pub async fn describe(&self, agent: &AgentEndpoint) -> Result<AgentDescription, Fault> {
        let known = self.read(agent).await?;
        self.target_of(&known.card, agent)?;
        Ok(AgentDescription {
            name: known.card.name.clone(),
            version: known.card.version.clone(),
            capabilities: known.card.skills.iter().filter_map(|skill| skill.id.parse().ok()).collect(),
        })
    }

    fn known(&self, agent: &AgentEndpoint) -> Option<Arc<Known>> {
        let whose = (agent.url.clone(), agent.access.clone());
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&whose).cloned()
    }

    async fn read(&self, agent: &AgentEndpoint) -> Result<Arc<Known>, Fault> {
        let address = self.base(agent)?;
        timeout(self.timeout, self.get(agent, &address))
            .await
            .unwrap_or_else(|_| Err(Fault::unreachable(format!("{address}: no card within {:?}", self.timeout))))
    }

    /// The address of the card.
    fn base(&self, agent: &AgentEndpoint) -> Result<Address, Fault> {
        let AgentEndpoint { url, access, .. } = agent;
        let unusable =
            |why: String| Fault::refused(AgentErrorKind::Unsupported, format!("the URL of {}: {why}", agent.id));
        let address = Address::parse(url, None).map_err(unusable)?;
        self.connector.policy().check(&address, access).map_err(unusable)?;
        if access.tls.is_some() && !address.tls {
            return Err(unusable("an agent with `tls` needs an https:// URL".to_owned()));
        }
        Ok(address)
    }

    async fn get(&self, agent: &AgentEndpoint, address: &Address) -> Result<Arc<Known>, Fault> {
        let before = self.known(agent);
        let unusable = |message: String| Fault::refused(AgentErrorKind::Unsupported, format!("{address}: {message}"));
        let lost = |error: hyper::Error| Fault::unreachable(format!("{address}: {}", causes(&error)));
        let named = before.as_ref().and_then(|known| known.card.api_key_header());
        let header = access::header(self.connector.policy(), &agent.access, named).await?;
        let mut request = Request::get(format!("{}{CARD_PATH}", address.path))
            .header(HOST, address.authority())
            .header(ACCEPT, JSON_MEDIA_TYPE);
        if let Some(etag) = before.as_ref().and_then(|known| known.etag.as_ref()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let route = Route::new(address.clone(), &agent.access, header.is_some());
        if let Some(header) = header {
            request = request.header(header.name, header.value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| unusable(error.to_string()))?;
        // A connection of its own: cards are read rarely, and one opened for somebody else is not to be used.
        let connection = self.connector.connect(&route, b"http/1.1").await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(connection).await.map_err(lost)?;
        let _driven = AbortOnDropHandle::new(tokio::spawn(connection));
        let response = sender.send_request(request).await.map_err(lost)?;
        if response.status() == StatusCode::NOT_MODIFIED
            && let Some(before) = before
        {
            return Ok(before);
        }
        let response = accept(response, address)?;
        let etag = response.headers().get(ETAG).cloned();
        let body = Limited::new(response.into_body(), MAX_CARD_BYTES).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => unusable(format!("an agent card of more than {MAX_CARD_BYTES} bytes")),
            None => Fault::unreachable(format!("{address}: {error}")),
        })?;
        let card =
            AgentCard::parse(&body.to_bytes()).map_err(|error| unusable(format!("not an agent card: {error}")))?;
        let known = Arc::new(Known { card, etag });
        let mut cards = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        cards.insert((agent.url.clone(), agent.access.clone()), Arc::clone(&known));
        Ok(known)
    }

    /// Where a card says that its agent is. What it names must be allowed itself, and a card that came over TLS does not
    /// lead to where there is none.
    fn target_of(&self, card: &AgentCard, agent: &AgentEndpoint) -> Result<Target, Fault> {
        let unusable = |why: String| Fault::refused(AgentErrorKind::Unsupported, format!("agent {}: {why}", agent.id));
        let Some(AgentInterface { url, tenant, .. }) = card.grpc_interface() else {
            return Err(unusable("its card offers no interface of A2A 1.x over gRPC".to_owned()));
        };
        let tls = self.base(agent)?.tls;
        let wrong = |why: String| unusable(format!("the address on its card {why}"));
        let address = Address::parse(url, Some(tls)).map_err(wrong)?;
        self.connector.policy().check(&address, &agent.access).map_err(|why| unusable(format!("its card: {why}")))?;
        if tls && !address.tls {
            return Err(wrong("is without TLS, though the card is not".to_owned()));
        }
        Ok(Target {
            address,
            tenant: tenant.clone(),
            streaming: card.capabilities.streaming != Some(false),
            key_header: card.api_key_header().map(str::to_owned),
        })
    }
}

fn accept<B>(response: Response<B>, address: &Address) -> Result<Response<B>, Fault> {
    let status = response.status();
    let message = format!("{address}: HTTP {status}");
    match status {
        StatusCode::OK => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Fault::refused(AgentErrorKind::Unauthorized, message)),
        StatusCode::TOO_MANY_REQUESTS => {
            let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Err(Fault::busy(message, after.map(Duration::from_secs)))
        }
        _ if status.is_server_error() => Err(Fault::unreachable(message)),
        _ => Err(Fault::refused(AgentErrorKind::Unsupported, message)),
    }
}
