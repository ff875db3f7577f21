//! What servers of one store learn about agents from their calls, told to each other.

use std::collections::BTreeMap;

use tokio::sync::Mutex;
use tutti_core::ids::{AgentId, ServerId};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::records::{RecordKind, RecordStore};
use tutti_core::time::Timestamp;

use super::pages::Pages;
use crate::dispatcher::{Learned, Registry};

/// One of so many looks is one at this: every six seconds.
const LOOKS: u32 = 3;

/// What a server learns, and what it is told.
pub struct Lessons(Mutex<Told>);

struct Told {
    pages: Pages<BTreeMap<AgentId, Learned>>,
    /// What this server told last.
    own: BTreeMap<AgentId, Learned>,
    looks: u32,
}

impl Lessons {
    /// Those of a server.
    pub fn of(server: &ServerId) -> Self {
        let pages = Pages::of(RecordKind::AgentLessons, server);
        Self(Mutex::new(Told { pages, own: BTreeMap::new(), looks: 0 }))
    }

    /// Tells the others what was learned here, and the registry what they learned; at one of several calls.
    ///
    /// # Errors
    /// A store that cannot be written or read.
    pub async fn exchange(
        &self,
        registry: &Registry,
        records: &dyn RecordStore,
        now: Timestamp,
    ) -> Result<(), RequestError> {
        let Told { pages, own, looks } = &mut *self.0.lock().await;
        *looks += 1;
        if !looks.is_multiple_of(LOOKS) {
            return Ok(());
        }
        let learned = registry.learned();
        if learned != *own {
            pages.tell(&learned, records).await?;
            *own = learned;
        }
        pages.hear(records, now, |_, _| {}).await?;
        let mut others: BTreeMap<AgentId, Learned> = BTreeMap::new();
        for (agent, learned) in pages.others().flatten() {
            let known = others.entry(agent.clone()).or_default();
            *known = known.and(*learned);
        }
        registry.learn(&others);
        Ok(())
    }
}
