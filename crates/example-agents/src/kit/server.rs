//! The listening socket: gRPC and the card on one port.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tutti_a2a::v1::a2a_service_server::A2aServiceServer;
use tutti_a2a::{CARD_PATH, MAX_MESSAGE_BYTES};

use super::card::card;
use super::service::{Service, check_version};
use super::skill::Agent;

/// A bound server of one agent; [`Server::run`] serves.
pub struct Server {
    agent: Agent,
    listener: TcpListener,
    address: SocketAddr,
}

/// Why a server did not start or went down.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The server stopped by a fault of the system.
    #[error("the server stopped: {0}")]
    Serve(#[from] std::io::Error),
}

impl Server {
    /// Listens on `host:port`; port 0 takes a free one. Calls that come before [`Server::run`] wait.
    ///
    /// # Errors
    /// [`ServerError::Bind`].
    pub async fn bind(agent: Agent, host: &str, port: u16) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Bind { address: format!("{host}:{port}"), source };
        let listener = TcpListener::bind((host, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { agent, listener, address })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` ends, or, when `idle_exit` is given, until there was no call and no task under way for
    /// so long. Tasks under way end with the process.
    ///
    /// # Errors
    /// [`ServerError::Serve`].
    pub async fn run(
        self,
        idle_exit: Option<Duration>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServerError> {
        let activity = Activity::new();
        let service = A2aServiceServer::new(Service::new(self.agent.clone(), activity.clone()))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let agent_card = get(serve_card).with_state((self.agent, self.address));
        let router = Routes::new(InterceptedService::new(service, check_version))
            .into_axum_router()
            .route(CARD_PATH, agent_card)
            .layer(from_fn_with_state(activity.clone(), count));
        // Small messages go to and fro: they must not wait for more to send.
        let listener = self.listener.tap_io(|connection| {
            let _ = connection.set_nodelay(true);
        });
        tokio::select! {
            served = axum::serve(listener, router).into_future() => Ok(served?),
            () = shutdown => Ok(()),
            () = activity.idle_for(idle_exit) => Ok(()),
        }
    }
}

async fn serve_card(
    State((agent, address)): State<(Agent, SocketAddr)>,
    request: Request,
) -> Json<tutti_a2a::card::AgentCard> {
    // On a wildcard address only the caller knows by which name it came.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = match host {
        Some(host) if address.ip().is_unspecified() => host.to_owned(),
        _ => address.to_string(),
    };
    Json(card(&agent, &authority))
}

async fn count(State(activity): State<Activity>, request: Request, next: Next) -> Response {
    let _busy = activity.begin();
    next.run(request).await
}

/// Counts calls and tasks under way.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<Counted>>);

struct Counted {
    busy: usize,
    /// When it last changed.
    since: Instant,
}

/// One call or task under way, until dropped.
pub(super) struct Busy(Activity);

impl Activity {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Counted { busy: 0, since: Instant::now() })))
    }

    pub(super) fn begin(&self) -> Busy {
        self.with(|counted| counted.busy += 1);
        Busy(self.clone())
    }

    /// Ends when nothing was under way for `limit`; never without a limit.
    async fn idle_for(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let (busy, since) = self.look();
            if busy == 0 && since.elapsed() >= limit {
                return;
            }
            let from = if busy == 0 { since } else { Instant::now() };
            tokio::time::sleep_until(from + limit).await;
        }
    }

    fn look(&self) -> (usize, Instant) {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (counted.busy, counted.since)
    }

    fn with(&self, change: impl FnOnce(&mut Counted)) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counted);
        counted.since = Instant::now();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.with(|counted| counted.busy -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idleness_is_counted_from_the_end_of_the_last_activity() {
        let activity = Activity::new();
        let limit = Duration::from_secs(60);
        let start = Instant::now();
        let busy = activity.begin();
        let watcher = activity.clone();
        let idle = tokio::spawn(async move { watcher.idle_for(Some(limit)).await });
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert!(!idle.is_finished(), "busy is not idle");
        drop(busy);
        idle.await.unwrap();
        assert!(start.elapsed() >= Duration::from_secs(1060), "{:?}", start.elapsed());
    }
}
