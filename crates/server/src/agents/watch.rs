//! Starting agents again whose process ends while a run is driven.
//!
//! Only the process is brought back. Its tasks are lost with it: the attempts fail, and the retries of their steps find
//! the agent at its new address.

use std::convert::Infallible;
use std::future::pending;

use futures::future::join_all;
use tokio::sync::mpsc::UnboundedSender;
use tutti_core::ports::agent::AgentTransport;
use tutti_engine::Registry;

use super::file::{AgentEntry, Command, Origin};
use super::fleet::{Fleet, Member, last_words, with_words};
use super::place::Place;
use super::surroundings::{Ports, Surroundings};
use crate::exit::Result;

/// How often one command starts an agent again.
const RESTARTS: usize = 3;

/// What it takes to bring an agent back.
struct Means<'a> {
    place: &'a Place,
    surroundings: &'a Surroundings,
    transport: &'a dyn AgentTransport,
    registry: &'a Registry,
    news: &'a UnboundedSender<String>,
}

impl Fleet<'_> {
    /// Starts launched agents again when their process ends, each at most three times, and registers where they are
    /// then. What happens is told as `news`, for people. Goes on until it is dropped; then [`stop`](Self::stop) stops
    /// what was started.
    pub async fn watch(
        &mut self,
        transport: &dyn AgentTransport,
        registry: &Registry,
        news: UnboundedSender<String>,
    ) -> Infallible {
        let means = &Means { place: self.place, surroundings: &self.surroundings, transport, registry, news: &news };
        let kept = self.members.iter_mut().zip(&self.file.agents).filter_map(|(member, entry)| match &entry.origin {
            Origin::Command(command) => Some(member.keep(entry, command, means)),
            Origin::Url(_) => None,
        });
        join_all(kept).await;
        pending().await
    }
}

impl Member {
    /// Waits for the end of the process and brings it back, until that was done too often.
    async fn keep(&mut self, entry: &AgentEntry, command: &Command, means: &Means<'_>) {
        let mut why = self.end(means.place).await;
        for _ in 0..RESTARTS {
            let line = why.lines().next().unwrap_or_default();
            means.tell(format!("{line} and is started again"));
            why = match self.restart(entry, command, means).await {
                Ok(()) => {
                    means.registry.register(self.record());
                    self.end(means.place).await
                }
                Err(failure) => failure.message().to_owned(),
            };
        }
        self.stop(means.place).await;
        let (line, words) = why.split_once('\n').map_or((why.as_str(), None), |(line, words)| (line, Some(words)));
        let mut told = format!("{line} and is given up: it was started again {RESTARTS} times\n");
        told.extend(words.map(|words| format!("{words}\n")));
        told += &format!("next:  read {}", means.place.log(&self.id).display());
        means.tell(told);
    }

    /// Waits until the process has ended: how it did, with its last words.
    async fn end(&mut self, place: &Place) -> String {
        let status = match &mut self.process {
            Some(process) => process.end().await,
            None => None,
        };
        let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
        with_words(format!("agent {} ended{status}", self.id), last_words(&place.log(&self.id), self.log_from))
    }

    async fn restart(&mut self, entry: &AgentEntry, command: &Command, means: &Means<'_>) -> Result<()> {
        // One that did not show its card may still run.
        self.stop(means.place).await;
        self.start(command, means.surroundings, Ports::free()?, means.place)?;
        self.wait(entry, means.surroundings, means.place, means.transport).await
    }
}

impl Means<'_> {
    fn tell(&self, text: String) {
        tracing::warn!("{text}");
        // Nobody listens any more when the run has ended.
        let _ = self.news.send(text);
    }
}
