//! Who may do what: the inbound port over the documents of a store.
//!
//! A token is kept by the SHA-256 of its text, which is found again only by whoever has the text: what is compared is
//! never secret, so that the time of a comparison tells nothing. 256 random bits need no slower hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tutti_core::ids::{Namespace, RequestId};
use tutti_core::limits::{MAX_MESSAGE_BYTES, MAX_NAME_LEN};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::access::{Access, Caller, CreateToken, CreatedToken, Role, TokenInfo};
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey, RecordKind, RecordStore};
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;

use super::errors::of_store;

/// What every token begins with, so that it is known for one wherever it turns up.
const PREFIX: &str = "tutti_";

/// Hexadecimal digits after it: 256 bits.
const DIGITS: usize = 64;

/// Digits of a token's hash that are its id.
const ID_DIGITS: usize = 16;

/// How long a token is taken without a look into the store: how long one that is revoked at another server still counts.
const REMEMBERED: Duration = Duration::from_secs(4);

/// Most tokens that are remembered.
const MOST_REMEMBERED: usize = 10_000;

/// Names of documents that say which request created which token begin so. No hash does.
const REQUEST: &str = "request:";

/// Documents read at once.
const PAGE: usize = 1_000;

/// Namespaces and tokens, kept in a store.
pub struct AccessService {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    remembered: Mutex<Remembered>,
    /// Held while a token is created, so that copies of a request come one after the other.
    creating: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Remembered {
    tokens: HashMap<Digest, (Kept, Instant)>,
    /// Raised by a revocation: what was read before it is not remembered after it.
    revocations: u64,
}

/// A token as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    name: String,
    role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Namespace>,
    created_at: Timestamp,
    created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
}

/// Which token a request created.
#[derive(Debug, Serialize, Deserialize)]
struct Requested {
    token: Digest,
}

/// A namespace as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct KeptNamespace {
    description: String,
}

impl AccessService {
    /// Over the documents of a store.
    #[must_use]
    pub fn new(records: Arc<dyn RecordStore>, clock: Arc<dyn Clock>) -> Self {
        Self { records, clock, remembered: Mutex::default(), creating: tokio::sync::Mutex::default() }
    }

    async fn kept(&self, token: Digest) -> Result<Option<Kept>, RequestError> {
        let found = self.records.get(&token_key(token.to_string())).await.map_err(of_store)?;
        found.map(|record| read(&record)).transpose()
    }

    async fn pages(&self, kind: RecordKind, prefix: &str) -> Result<Vec<Record>, RequestError> {
        all(&*self.records, kind, prefix).await
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down that a request creates a token, unless it has created one.
    async fn claim(&self, request: RequestId, token: Digest) -> Result<(), RequestError> {
        let key = token_key(format!("{REQUEST}{request}"));
        let blob = written(&Requested { token });
        let mut revision = 0;
        loop {
            let record = Record { key: key.clone(), revision, blob: blob.clone() };
            match self.records.put(record).await.map_err(of_store)? {
                Put::Stored(_) => return Ok(()),
                Put::Conflict(None) => revision = 0,
                Put::Conflict(Some(before)) => {
                    let earlier: Requested = read(&before)?;
                    if self.kept(earlier.token).await?.is_some() {
                        let id = id(earlier.token);
                        return Err(RequestError::NotAllowed(format!(
                            "this request created token {id} before, and its text was told then and cannot be told \
                             again: revoke {id} and create another by a new request"
                        )));
                    }
                    // It was not finished: its token was told to nobody.
                    revision = before.revision;
                }
            }
        }
    }
}

#[async_trait]
impl Access for AccessService {
    async fn authenticate(&self, token: &str) -> Result<Option<Caller>, RequestError> {
        let digits = token.strip_prefix(PREFIX).filter(|digits| digits.len() == DIGITS);
        if digits.is_none() {
            return Ok(None);
        }
        let hash = Digest::of(token.as_bytes());
        let (known, revocations) = {
            let remembered = self.remembered();
            let known = remembered.tokens.get(&hash).filter(|(_, at)| at.elapsed() < REMEMBERED);
            (known.map(|(kept, _)| kept.clone()), remembered.revocations)
        };
        let kept = match known {
            Some(kept) => kept,
            None => {
                // However long the store takes to answer, what it says is as old as the question.
                let asked = Instant::now();
                let Some(kept) = self.kept(hash).await? else { return Ok(None) };
                self.remembered().remember(hash, (kept.clone(), asked), revocations);
                kept
            }
        };
        Ok(kept.counts(self.clock.now()).then(|| kept.caller()))
    }

    async fn create_token(&self, request: CreateToken) -> Result<CreatedToken, RequestError> {
        let CreateToken { request, caller, expires_at, by } = request;
        check_name(&caller.name)?;
        let now = self.clock.now();
        if expires_at.is_some_and(|at| at <= now) {
            return Err(RequestError::invalid("expires_at", "must be in the future"));
        }
        let _turn = self.creating.lock().await;
        let text = format!("{PREFIX}{:032x}{:032x}", self.clock.random(), self.clock.random());
        let hash = Digest::of(text.as_bytes());
        self.claim(request, hash).await?;
        let Caller { name, role, namespace } = caller;
        let kept = Kept { name, role, namespace, created_at: now, created_by: by, expires_at, revoked_at: None };
        let record = Record { key: token_key(hash.to_string()), revision: 0, blob: written(&kept) };
        match self.records.put(record).await.map_err(of_store)? {
            Put::Stored(_) => Ok(CreatedToken { info: kept.info(hash), token: text }),
            Put::Conflict(_) => Err(RequestError::Unavailable("the same token was drawn twice".to_owned())),
        }
    }

    async fn list_tokens(&self) -> Result<Vec<TokenInfo>, RequestError> {
        let mut tokens = Vec::new();
        for record in self.pages(RecordKind::Token, "").await? {
            if let Ok(hash) = record.key.name.parse() {
                tokens.push(read::<Kept>(&record)?.info(hash));
            }
        }
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(tokens)
    }

    async fn revoke_token(&self, id: &str) -> Result<bool, RequestError> {
        let absent = || RequestError::NotFound(format!("token {}", id.escape_debug()));
        if id.len() != ID_DIGITS || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(absent());
        }
        let mut record = self.pages(RecordKind::Token, id).await?.pop().ok_or_else(absent)?;
        loop {
            let mut kept: Kept = read(&record)?;
            if kept.revoked_at.is_some() {
                return Ok(false);
            }
            kept.revoked_at = Some(self.clock.now());
            let next = Record { blob: written(&kept), ..record.clone() };
            match self.records.put(next).await.map_err(of_store)? {
                Put::Stored(_) => break,
                Put::Conflict(other) => record = other.ok_or_else(absent)?,
            }
        }
        if let Ok(hash) = record.key.name.parse() {
            self.remembered().forget(&hash);
        }
        Ok(true)
    }

    async fn create_namespace(&self, namespace: &Namespace, description: &str) -> Result<bool, RequestError> {
        if description.len() > MAX_MESSAGE_BYTES {
            return Err(RequestError::invalid("description", format!("must be at most {MAX_MESSAGE_BYTES} bytes")));
        }
        if *namespace == Namespace::default() {
            return Ok(false);
        }
        let key =
            RecordKey { kind: RecordKind::Namespace, namespace: Namespace::default(), name: namespace.to_string() };
        let blob = written(&KeptNamespace { description: description.to_owned() });
        let put = self.records.put(Record { key, revision: 0, blob }).await.map_err(of_store)?;
        Ok(matches!(put, Put::Stored(_)))
    }

    async fn list_namespaces(&self) -> Result<Vec<(Namespace, String)>, RequestError> {
        let mut namespaces = vec![(Namespace::default(), "where runs are if no namespace is named".to_owned())];
        for record in self.pages(RecordKind::Namespace, "").await? {
            let kept: KeptNamespace = read(&record)?;
            let name = record.key.name.parse().map_err(|_| damaged(&record, "its name is none"))?;
            namespaces.push((name, kept.description));
        }
        namespaces.sort();
        Ok(namespaces)
    }
}

impl Remembered {
    fn remember(&mut self, hash: Digest, kept: (Kept, Instant), revocations: u64) {
        if self.revocations != revocations {
            return;
        }
        if self.tokens.len() >= MOST_REMEMBERED {
            self.tokens.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
        }
        if self.tokens.len() < MOST_REMEMBERED {
            self.tokens.insert(hash, kept);
        }
    }

    fn forget(&mut self, hash: &Digest) {
        self.revocations += 1;
        self.tokens.remove(hash);
    }
}

impl Kept {
    fn counts(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    fn caller(&self) -> Caller {
        Caller { name: self.name.clone(), role: self.role, namespace: self.namespace.clone() }
    }

    fn info(&self, hash: Digest) -> TokenInfo {
        TokenInfo {
            id: id(hash),
            caller: self.caller(),
            created_at: self.created_at,
            created_by: self.created_by.clone(),
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
        }
    }
}

/// The id of a token: the beginning of its hash.
fn id(token: Digest) -> String {
    let mut text = token.to_string();
    text.truncate(ID_DIGITS);
    text
}

/// A name that stands in histories and logs.
fn check_name(name: &str) -> Result<(), RequestError> {
    let wrong = |reason: &str| Err(RequestError::invalid("name", reason));
    if name.trim().is_empty() {
        return wrong("is required: what the bearer does is recorded under it");
    }
    if name.len() > MAX_NAME_LEN || name.chars().any(char::is_control) {
        return wrong("must be at most 200 bytes without control characters");
    }
    Ok(())
}

fn token_key(name: String) -> RecordKey {
    RecordKey { kind: RecordKind::Token, namespace: Namespace::default(), name }
}

/// Every document of a kind in the namespace `default` whose name begins so.
pub(super) async fn all(
    records: &dyn RecordStore,
    kind: RecordKind,
    prefix: &str,
) -> Result<Vec<Record>, RequestError> {
    let mut found: Vec<Record> = Vec::new();
    loop {
        let query = ListRecords {
            kind,
            namespace: Namespace::default(),
            prefix: prefix.to_owned(),
            after: found.last().map(|record| record.key.name.clone()),
            limit: PAGE,
        };
        let page = records.list(query).await.map_err(of_store)?;
        let is_last = page.len() < PAGE;
        found.extend(page);
        if is_last {
            return Ok(found);
        }
    }
}

pub(super) fn written<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("plain data is written into memory").into()
}

pub(super) fn read<'r, T: Deserialize<'r>>(record: &'r Record) -> Result<T, RequestError> {
    serde_json::from_slice(&record.blob).map_err(|error| damaged(record, &error.to_string()))
}

fn damaged(record: &Record, why: &str) -> RequestError {
    let RecordKey { kind, name, .. } = &record.key;
    RequestError::Damaged(format!("the {} {name} is not as it was written: {why}", kind.as_str()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tutti_adapters_memory::MemoryStore;

    use super::*;

    /// A clock that stands until it is set, and draws what was never drawn.
    #[derive(Default)]
    struct Stopped(AtomicU64, AtomicU64);

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(1_000_000).plus(Duration::from_secs(self.0.load(Ordering::SeqCst)))
        }
        fn random(&self) -> u128 {
            let n = u128::from(self.1.fetch_add(1, Ordering::SeqCst)) + 1;
            n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        }
    }

    fn service(records: &Arc<MemoryStore>, clock: &Arc<Stopped>) -> AccessService {
        AccessService::new(records.clone(), clock.clone())
    }

    fn request(number: u128, role: Role) -> CreateToken {
        let caller = Caller { name: "ci".to_owned(), role, namespace: Some("red".parse().unwrap()) };
        CreateToken { request: RequestId::from_u128(number), caller, expires_at: None, by: "root".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_lets_its_bearer_in_until_it_is_revoked() {
        let (records, clock) = (Arc::default(), Arc::default());
        let (here, there) = (service(&records, &clock), service(&records, &clock));
        let created = here.create_token(request(1, Role::Author)).await.unwrap();
        assert!(created.token.starts_with("tutti_") && created.token.len() == 70, "{}", created.token);
        for server in [&here, &there] {
            let caller = server.authenticate(&created.token).await.unwrap().unwrap();
            assert_eq!((caller.name.as_str(), caller.role), ("ci", Role::Author));
            assert_eq!(caller.namespace, Some("red".parse().unwrap()));
        }
        let other = format!("tutti_{:064x}", 0);
        for wrong in ["", "tutti_", other.as_str(), created.token.trim_start_matches("tutti_"), &created.info.id] {
            assert!(here.authenticate(wrong).await.unwrap().is_none(), "{wrong}");
        }

        assert!(here.revoke_token(&created.info.id).await.unwrap());
        assert!(!here.revoke_token(&created.info.id).await.unwrap(), "it was revoked before");
        assert!(here.authenticate(&created.token).await.unwrap().is_none(), "at once");
        assert!(there.authenticate(&created.token).await.unwrap().is_some(), "remembered");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(there.authenticate(&created.token).await.unwrap().is_none(), "within five seconds");
        assert!(here.list_tokens().await.unwrap()[0].revoked_at.is_some());
    }

    #[tokio::test]
    async fn a_token_ends_by_its_time_though_it_is_remembered() {
        let (records, clock): (_, Arc<Stopped>) = (Arc::default(), Arc::default());
        let service = service(&records, &clock);
        let past = CreateToken { expires_at: Some(clock.now()), ..request(1, Role::Reader) };
        assert!(matches!(service.create_token(past).await, Err(RequestError::Invalid(_))));
        let expires_at = Some(clock.now().plus(Duration::from_secs(60)));
        let created = service.create_token(CreateToken { expires_at, ..request(1, Role::Reader) }).await.unwrap();
        assert!(service.authenticate(&created.token).await.unwrap().is_some());
        clock.0.store(60, Ordering::SeqCst);
        assert!(service.authenticate(&created.token).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn nothing_that_is_kept_or_told_later_holds_the_text() {
        let (records, clock) = (Arc::default(), Arc::default());
        let service = service(&records, &clock);
        let created = service.create_token(request(1, Role::Admin)).await.unwrap();
        let secret = created.token.trim_start_matches("tutti_");
        for record in all(&*records, RecordKind::Token, "").await.unwrap() {
            let text = format!("{} {}", record.key.name, String::from_utf8_lossy(&record.blob));
            assert!(!text.contains(secret), "{text}");
        }
        assert!(!format!("{created:?}").contains(secret));
        let again = service.create_token(request(1, Role::Admin)).await.unwrap_err().to_string();
        assert!(again.contains(&created.info.id) && !again.contains(secret), "{again}");
        assert_eq!(service.list_tokens().await.unwrap(), [created.info], "one request, one token");
    }

    #[tokio::test]
    async fn a_request_that_was_cut_off_is_begun_again() {
        let (records, clock): (Arc<MemoryStore>, _) = (Arc::default(), Arc::default());
        let service = service(&records, &clock);
        service.claim(RequestId::from_u128(1), Digest::of(b"never written")).await.unwrap();
        let created = service.create_token(request(1, Role::Reader)).await.unwrap();
        assert!(service.authenticate(&created.token).await.unwrap().is_some());
        assert!(service.create_token(request(1, Role::Reader)).await.is_err());
    }

    #[tokio::test]
    async fn what_names_nothing_is_refused() {
        let (records, clock) = (Arc::default(), Arc::default());
        let service = service(&records, &clock);
        let created = service.create_token(request(1, Role::Reader)).await.unwrap();
        for id in ["", "request:", "0123456789abcdef", &created.info.id[..15]] {
            assert!(matches!(service.revoke_token(id).await, Err(RequestError::NotFound(_))), "{id}");
        }
        for name in ["", "  ", "a\nb", &"x".repeat(201)] {
            let mut wrong = request(2, Role::Reader);
            wrong.caller.name = name.to_owned();
            assert!(matches!(service.create_token(wrong).await, Err(RequestError::Invalid(_))), "{name:?}");
        }
    }

    #[tokio::test]
    async fn namespaces_are_created_once_and_default_is_always_there() {
        let (records, clock) = (Arc::default(), Arc::default());
        let service = service(&records, &clock);
        let (red, default): (Namespace, _) = ("red".parse().unwrap(), Namespace::default());
        assert!(service.create_namespace(&red, "the red team").await.unwrap());
        assert!(!service.create_namespace(&red, "another").await.unwrap());
        assert!(!service.create_namespace(&default, "x").await.unwrap());
        let listed = service.list_namespaces().await.unwrap();
        assert_eq!(listed[0].0, default);
        assert_eq!(listed[1], (red, "the red team".to_owned()));
    }
}
