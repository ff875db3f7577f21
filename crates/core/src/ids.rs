//! Names of things: runs, steps, attempts, agents. All are validated where they enter and cheap to clone.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::{self, MAX_NAME_LEN, SLOTS};

/// A run, by a UUID version 7 (RFC 9562), so that ids sort by creation time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// Builds an id from the creation time and randomness that the caller supplies.
    #[must_use]
    pub fn new(unix_millis: u64, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid())
    }

    /// Wraps an id that was stored before.
    #[must_use]
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The id as a UUID, for stores.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }

    /// The first and the last id whose hyphenated form begins with a text; `None` if none does.
    #[must_use]
    pub fn range(prefix: &str) -> Option<(Self, Self)> {
        let end = |fill: &str| {
            let rest = Uuid::nil().hyphenated().to_string().replace('0', fill);
            let id = format!("{prefix}{}", rest.get(prefix.len()..)?).parse::<Uuid>().ok()?;
            // The parser takes other forms as well.
            id.hyphenated().to_string().starts_with(prefix).then_some(Self(id))
        };
        Some((end("0")?, end("f")?))
    }

    /// The slot that owns this run: FNV-1a (64 bit) of the 16 bytes, modulo [`SLOTS`].
    /// Stored rows depend on it, so it never changes.
    #[must_use]
    pub fn slot(self) -> u16 {
        let hash = self
            .0
            .as_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        (hash % u64::from(SLOTS)) as u16
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidName::new("run id", text, "is not a UUID"))
    }
}

/// A name that was refused, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{name}\" {reason}")]
pub struct InvalidName {
    what: &'static str,
    name: String,
    reason: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, name: &str, reason: &'static str) -> Self {
        // A hostile name may be long or hold control characters; the message must stay readable.
        let name = name.chars().take(60).flat_map(char::escape_debug).collect();
        Self { what, name, reason }
    }
}

/// Checks the charset that every name in a workflow shares: ASCII `[A-Za-z0-9._-]`, so that two names can never look
/// alike and differ, and a name can stand in a URL, a file name or a metric unescaped.
fn check_name(what: &'static str, name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::new(what, name, "is empty"));
    }
    if name.len() > MAX_NAME_LEN {
        return Err(InvalidName::new(what, name, "is longer than 200 characters"));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return Err(InvalidName::new(what, name, "has a character outside A-Z a-z 0-9 . _ -"));
    }
    if !name.bytes().any(|b| b.is_ascii_alphanumeric()) {
        return Err(InvalidName::new(what, name, "has no letter or digit"));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check_name($what, text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": "^[A-Za-z0-9._-]*[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength": MAX_NAME_LEN})
            }
        }
    };
}

name!(
    /// A step of a workflow, as its file names it.
    StepId,
    "step id"
);
name!(
    /// A workflow, as its file names it.
    WorkflowId,
    "workflow id"
);
name!(
    /// An agent, as the registry names it.
    AgentId,
    "agent name"
);
name!(
    /// What an agent can do and a step needs: an A2A skill id.
    Capability,
    "capability"
);
name!(
    /// The tenant that owns a run. Part of every unique key of the store.
    Namespace,
    "namespace"
);

name!(
    /// A server among those that share a store; it keeps its id when it is started again.
    ServerId,
    "server id"
);
name!(
    /// Runs that share a context, as their callers name it.
    SessionId,
    "session id"
);
name!(
    /// The name of a label of a run.
    LabelName,
    "label name"
);

/// The caller's name for what a run is to achieve (an idempotency key): 1 to 200 printable ASCII characters without
/// spaces and commas, so that it can stand in a filter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RunKey(Arc<str>);

impl RunKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunKey {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = |reason| Err(InvalidName::new("key", text, reason));
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.len() > MAX_NAME_LEN {
            return refuse("is longer than 200 characters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return refuse("has a character that is not printable ASCII, or a space or a comma");
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for RunKey {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("default".into())
    }
}

/// Where a step stands in a run: the ids of the steps around it joined by `/`, each with the index of a map (`[3]`) or
/// the number of an iteration (`#2`). A plain step's path is its id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepPath(Arc<str>);

impl AgentId {
    const ENGINE: &str = "tutti";

    /// The engine itself: whom a step asks that asks no agent. No agent may be registered under this name.
    ///
    /// # Panics
    /// Never: it is a valid name.
    #[must_use]
    pub fn engine() -> Self {
        Self::ENGINE.parse().expect("a valid name")
    }

    /// True for the name of the engine itself.
    #[must_use]
    pub fn is_engine(&self) -> bool {
        self.as_str() == Self::ENGINE
    }
}

impl StepPath {
    /// What the path of a step that undoes another ends with; no id of a step has such a character.
    const UNDO: &str = "~undo";

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of what undoes a step.
    #[must_use]
    pub fn undo_of(step: &StepId) -> Self {
        Self(format!("{step}{}", Self::UNDO).into())
    }

    /// The path of what the engine asks on its own behalf in the course of an attempt of a step; no step has it.
    #[must_use]
    pub fn aside(step: &Self, word: &str) -> Self {
        Self(format!("{step}~{word}").into())
    }

    /// The path of what undoes the step at this one.
    #[must_use]
    pub fn undo(&self) -> Self {
        self.with(Self::UNDO)
    }

    /// The path of a step that the one at this path holds.
    #[must_use]
    pub(crate) fn with(&self, suffix: &str) -> Self {
        let mut path = String::with_capacity(self.0.len() + suffix.len());
        path.push_str(&self.0);
        path.push_str(suffix);
        Self(path.into())
    }

    /// The step that is undone here; `None` for a step of the workflow's own.
    #[must_use]
    pub fn undone(&self) -> Option<&str> {
        self.0.strip_suffix(Self::UNDO)
    }
}

impl From<&StepId> for StepPath {
    fn from(step: &StepId) -> Self {
        Self(step.0.clone())
    }
}

impl FromStr for StepPath {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = |reason| Err(InvalidName::new("step path", text, reason));
        if text.len() > limits::MAX_STEP_PATH_LEN {
            return invalid("is too long");
        }
        let forward = text.strip_suffix(Self::UNDO).unwrap_or(text);
        let (first, mut rest) = forward.split_at(forward.find(['[', '#', '@', '/']).unwrap_or(forward.len()));
        first.parse::<StepId>()?;
        while !rest.is_empty() {
            let end = rest[1..].find(['[', '#', '@', '/']).map_or(rest.len(), |end| end + 1);
            let (token, tail) = rest.split_at(end);
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            match token.split_at(1) {
                ("/", id) => drop(id.parse::<StepId>()?),
                ("[", number) if number.strip_suffix(']').is_some_and(is_number) => {}
                ("#" | "@", number) if is_number(number) => {}
                _ => return invalid("is not the path of a step, such as a, a[3], a#2 or a/b"),
            }
            rest = tail;
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The natural key of one try of one step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// The run.
    pub run: RunId,
    /// How often the run was rewound; results of an older generation are never applied.
    pub generation: u32,
    /// The step.
    pub path: StepPath,
    /// Number of the try, from 1.
    pub attempt: u32,
}

impl AttemptKey {
    /// Names the effect that the step is meant to have, however often it is tried; sent to agents as metadata, so that
    /// they can deduplicate, and used as the A2A context id, so that a task can be found again by listing its context.
    #[must_use]
    pub fn operation_id(&self) -> String {
        format!("{}/{}/{}", self.run, self.generation, self.path)
    }

    /// The A2A message id of this try: the same before and after a crash.
    #[must_use]
    pub fn message_id(&self) -> String {
        format!("{}/{}", self.operation_id(), self.attempt)
    }
}

/// The caller's own id of a request that changes something; the same id is applied once.
pub type RequestId = Uuid;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_never_change() {
        let id = |text: &str| text.parse::<RunId>().unwrap().slot();
        assert_eq!(id("00000000-0000-7000-8000-000000000000"), 373);
        assert_eq!(id("01932c07-2f3a-7e1d-9b1a-0123456789ab"), 393);
    }

    #[test]
    fn a_prefix_is_a_range_of_ids() {
        let text = |prefix| RunId::range(prefix).map(|(first, last)| format!("{first} {last}"));
        let whole = "00000000-0000-0000-0000-000000000000 ffffffff-ffff-ffff-ffff-ffffffffffff";
        assert_eq!(text("").as_deref(), Some(whole));
        let half = "01932c07-2000-0000-0000-000000000000 01932c07-2fff-ffff-ffff-ffffffffffff";
        assert_eq!(text("01932c07-2").as_deref(), Some(half));
        assert_eq!(
            text("01932c07-").as_deref(),
            Some(&*half.replace("07-2", "07-X").replace("07-X", "07-0").replace("07-0fff", "07-ffff"))
        );
        for odd in ["01932c072", "01932C07", "{", "urn:uuid:", "-", "é", "0193-"] {
            assert_eq!(RunId::range(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_run_id_is_a_version_7_uuid_of_its_time() {
        let id = RunId::new(1_700_000_000_000, [7; 10]);
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert!(id < RunId::new(1_700_000_000_001, [0; 10]));
    }

    #[test]
    fn names_refuse_what_could_confuse() {
        for bad in ["", "a b", "../x", "é", "a/b", "a\0", "..", "\u{202e}x"] {
            assert!(bad.parse::<StepId>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(201).parse::<StepId>().is_err());
        assert!("train-alpha_2.v1".parse::<StepId>().is_ok());
    }

    #[test]
    fn message_ids_name_the_attempt_and_operation_ids_the_effect() {
        let key = AttemptKey {
            run: RunId::new(1, [0; 10]),
            generation: 0,
            path: StepPath::from(&"a".parse::<StepId>().unwrap()),
            attempt: 2,
        };
        assert_eq!(key.message_id(), format!("{}/2", key.operation_id()));
        assert!(key.operation_id().ends_with("/0/a"));
    }
}
