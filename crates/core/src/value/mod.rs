//! Values that steps exchange: JSON text kept byte for byte, never parsed and written back.

mod path;
mod tree;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

pub use path::DataPath;
pub use tree::{DataTree, items, member, members};

use crate::limits::{INLINE_BYTES, MAX_DEPTH, MAX_VALUE_BYTES};

/// A JSON value as its producer wrote it. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Bytes);

/// Why bytes are not an acceptable JSON value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON (RFC 8259), or not UTF-8.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// Larger than [`MAX_VALUE_BYTES`].
    #[error("{0} bytes, more than the {MAX_VALUE_BYTES} bytes that one value may have")]
    Size(usize),
}

impl Json {
    /// Takes bytes as a value after checking syntax, depth and size. White space around the value is dropped.
    ///
    /// # Errors
    /// [`JsonError`] says what is wrong.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, JsonError> {
        let bytes: Bytes = bytes.into();
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(JsonError::Size(bytes.len()));
        }
        let raw: &RawValue = serde_json::from_slice(&bytes).map_err(|e| JsonError::Syntax(e.to_string()))?;
        if depth(raw.get()) > MAX_DEPTH {
            return Err(JsonError::Depth);
        }
        let inner = bytes.slice_ref(raw.get().as_bytes());
        Ok(Self(inner))
    }

    /// The value of anything that serializes.
    ///
    /// # Errors
    /// [`JsonError`] if it is no JSON (a map with keys that are not text, say), too deep or too large.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, JsonError> {
        Self::parse(serde_json::to_vec(value).map_err(|e| JsonError::Syntax(e.to_string()))?)
    }

    /// `null`.
    #[must_use]
    pub const fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// `{}`.
    #[must_use]
    pub const fn empty_object() -> Self {
        Self(Bytes::from_static(b"{}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when the value was made")
    }

    /// The bytes, shared.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// True for an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// True for `null`, `""`, `{}` and `[]`: an answer that says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &*self.0 {
            b"null" | b"\"\"" => true,
            [b'{', inner @ .., b'}'] | [b'[', inner @ .., b']'] => inner.iter().all(u8::is_ascii_whitespace),
            _ => false,
        }
    }

    fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    fn raw(&self) -> &RawValue {
        serde_json::from_slice(&self.0).expect("checked when the value was made")
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.as_str();
        match text.char_indices().nth(200) {
            Some((end, _)) => write!(f, "{}… ({} bytes)", &text[..end], text.len()),
            None => f.write_str(text),
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(Box::<str>::from(raw).into_string().into_bytes()).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

/// Deepest nesting of a JSON text whose syntax is known to be right. Iterative: the text may be hostile.
fn depth(text: &str) -> usize {
    let (mut now, mut most, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// SHA-256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest that was stored before.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{}\" is not 64 hexadecimal digits", text.escape_debug());
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A value as the history holds it: small ones in place, large ones by reference to the run's payloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The value itself, at most [`INLINE_BYTES`].
    Inline(Json),
    /// Where the payload store has it.
    Stored(PayloadRef),
}

/// Names a payload of a run by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRef {
    /// SHA-256 of the bytes; checked whenever they are read.
    pub hash: Digest,
    /// Size in bytes.
    pub len: u64,
}

impl PayloadRef {
    /// The reference to some bytes.
    #[must_use]
    pub fn to(bytes: &[u8]) -> Self {
        Self { hash: Digest::of(bytes), len: bytes.len() as u64 }
    }
}

impl Payload {
    /// How a value is to be held. If it is [`Payload::Stored`], the bytes must be in the payload store before an event
    /// names them.
    #[must_use]
    pub fn of(value: &Json) -> Self {
        if value.bytes().len() <= INLINE_BYTES {
            Self::Inline(value.clone())
        } else {
            Self::Stored(PayloadRef::to(value.bytes()))
        }
    }

    /// Size of the value in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(value) => value.bytes().len() as u64,
            Self::Stored(at) => at.len,
        }
    }

    /// False: JSON has no empty text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_bytes() {
        for text in ["1e100000", "12345678901234567890123456789012345678901", "-0", "{\"a\":1,\"a\":2}", "\"\\u0000\""]
        {
            let value = Json::parse(text).unwrap();
            assert_eq!(value.as_str(), text);
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
            assert_eq!(serde_json::from_str::<Json>(text).unwrap(), value);
        }
        assert_eq!(Json::parse(" [1] \n").unwrap().as_str(), "[1]");
    }

    #[test]
    fn bad_values_are_refused() {
        assert!(matches!(Json::parse("{"), Err(JsonError::Syntax(_))));
        assert!(matches!(Json::parse(&b"\"\xff\""[..]), Err(JsonError::Syntax(_))));
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(Json::parse(deep(MAX_DEPTH)).is_ok());
        assert_eq!(Json::parse(deep(MAX_DEPTH + 1)), Err(JsonError::Depth));
        assert!(Json::parse(deep(1_000_000)).is_err());
        assert!(matches!(Json::parse(vec![b'1'; MAX_VALUE_BYTES + 1]), Err(JsonError::Size(_))));
    }

    #[test]
    fn brackets_in_text_are_not_nesting() {
        assert_eq!(depth(r#"{"a":"[[[\"[["}"#), 1);
    }

    #[test]
    fn empty_answers_are_recognized() {
        for text in ["null", "{ }", "[]", "\"\""] {
            assert!(Json::parse(text).unwrap().is_empty());
        }
        for text in ["0", "false", "[null]", "\" \"", "{\"a\":null}"] {
            assert!(!Json::parse(text).unwrap().is_empty(), "{text}");
        }
    }

    #[test]
    fn digests_are_sha_256_and_round_trip() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("xyz".parse::<Digest>().is_err());
    }
}
