//! The signs of life of agents that servers of one store tell each other: an agent gives them to one server, whichever
//! answers, and counts as there for all.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tutti_core::ids::{AgentId, ServerId};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::records::{RecordKind, RecordStore};
use tutti_core::time::Timestamp;

use super::LOOK;
use super::pages::Pages;
use crate::dispatcher::Registry;

/// By how much a sign may be heard later through another server: it waits for a look there and for one here, and each look
/// may take as long as the wait for it.
const LATE: Duration = LOOK.saturating_mul(4);

/// What a server hears, and what it is told.
pub struct Signs {
    heard: Mutex<Heard>,
    told: tokio::sync::Mutex<Told>,
}

/// What this server heard last of whom.
#[derive(Default)]
struct Heard {
    signs: BTreeMap<AgentId, Sign>,
    /// Signs that were heard, ever.
    count: u64,
}

/// What the servers have told each other.
struct Told {
    pages: Pages<BTreeMap<AgentId, Sign>>,
    /// Signs that were heard when this server told them last.
    count: u64,
}

/// A sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sign {
    /// By the clock of the server that heard it; others see by it only whether it is a new one.
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    load: Option<f64>,
}

impl Signs {
    /// Those of a server.
    pub fn of(server: &ServerId) -> Self {
        let told = Told { pages: Pages::of(RecordKind::AgentSigns, server), count: 0 };
        Self { heard: Mutex::default(), told: tokio::sync::Mutex::new(told) }
    }

    /// Hears one.
    pub fn heard(&self, agent: &AgentId, load: Option<f64>, at: Timestamp) {
        let heard = &mut *self.lock();
        heard.signs.insert(agent.clone(), Sign { at, load });
        heard.count += 1;
    }

    /// Tells the others what was heard here, and the registry what they heard.
    ///
    /// # Errors
    /// A store that cannot be written or read.
    pub async fn exchange(
        &self,
        registry: &Registry,
        records: &dyn RecordStore,
        now: Timestamp,
    ) -> Result<(), RequestError> {
        let Told { pages, count } = &mut *self.told.lock().await;
        let fresh = {
            let heard = &mut *self.lock();
            heard.signs.retain(|agent, _| registry.state(agent, now).is_some());
            (heard.count != *count).then(|| (heard.count, heard.signs.clone()))
        };
        if let Some((heard, signs)) = fresh {
            pages.tell(&signs, records).await?;
            *count = heard;
        }
        let news = |before: BTreeMap<AgentId, Sign>, signs: &BTreeMap<AgentId, Sign>| {
            for (agent, sign) in signs.iter().filter(|(agent, sign)| before.get(*agent) != Some(*sign)) {
                registry.heard(agent, sign.load, now, LATE);
            }
        };
        pages.hear(records, now, news).await
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        // Every change leaves it whole, so a panic elsewhere does not spoil it.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
