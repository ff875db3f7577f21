//! Where a run comes from: what its caller said of it beside the workflow and the inputs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{LabelName, RunKey, SessionId};
use crate::orchestration::Orchestration;
use crate::quality::Settings;
use crate::time::Span;
use crate::value::Digest;
use crate::workflow::Priority;

/// Where a run comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Who started it; empty if that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Hash of everything that the request said, so that a repeated request with another content is told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_hash: Option<Digest>,
    /// The caller's name for what the run is to achieve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<RunKey>,
    /// For lists.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<LabelName, String>,
    /// The session that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Which runs go before it, and which after it, while it waits in the queue.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// Instead of the timeout that the workflow names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How answers are judged where the workflow says nothing, if not as by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Box<Settings>>,
    /// How it is orchestrated, if anybody asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestration: Option<Box<Orchestration>>,
    /// The W3C trace context that its caller was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<String>,
}

impl Origin {
    /// True if nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
