//! What stands before definitions, payloads and documents in every store: a codec and a key id, as before events.

use super::store::StoreError;
use crate::value::Digest;
use bytes::{BufMut, BytesMut};

/// The body is plain.
const CODEC_PLAIN: u8 = 0;

/// The body is not encrypted.
const NO_KEY: u16 = 0;

/// Bytes before the body.
pub const HEADER: usize = 3;

/// A body with its header.
#[must_use]
pub fn wrap(body: &[u8]) -> BytesMut {
    let mut framed = BytesMut::with_capacity(HEADER + body.len());
    framed.put_u8(CODEC_PLAIN);
    framed.put_u16(NO_KEY);
    framed.put_slice(body);
    framed
}

/// The body of what was framed.
///
/// # Errors
/// [`StoreError::Permanent`] for a form that this build does not know, [`StoreError::Corrupt`] for what has no header.
pub fn unwrap(mut framed: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    match framed[..] {
        [CODEC_PLAIN, high, low, ..] if u16::from_be_bytes([high, low]) == NO_KEY => {
            framed.drain(..HEADER);
            Ok(framed)
        }
        [codec, high, low, ..] => Err(StoreError::Permanent(format!(
            "codec {codec} with key {} is not known to this build",
            u16::from_be_bytes([high, low])
        ))),
        _ => Err(StoreError::Corrupt(format!("{} bytes, less than the {HEADER} bytes of the header", framed.len()))),
    }
}

/// What was kept under a hash, checked.
///
/// # Errors
/// As [`unwrap`]; [`StoreError::Corrupt`] if it does not have the hash.
pub fn content(framed: Vec<u8>, hash: Digest) -> Result<Vec<u8>, StoreError> {
    let body = unwrap(framed)?;
    if Digest::of(&body) == hash { Ok(body) } else { Err(StoreError::Corrupt(format!("{hash} has another content"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_given_back() {
        for body in [&b""[..], b"\0", b"\0\0\0", b"{}"] {
            assert_eq!(unwrap(wrap(body).to_vec()), Ok(body.to_vec()));
        }
    }

    #[test]
    fn what_this_build_does_not_know_is_told_apart_from_damage() {
        assert!(matches!(unwrap(vec![1, 0, 0, 7]), Err(StoreError::Permanent(_))));
        assert!(matches!(unwrap(vec![0, 0, 1, 7]), Err(StoreError::Permanent(_))));
        assert!(matches!(unwrap(vec![0, 0]), Err(StoreError::Corrupt(_))));
    }
}
