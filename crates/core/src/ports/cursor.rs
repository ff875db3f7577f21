//! Page cursors, for every store alike: the last run of a page and a checksum over it and the namespace, so that what no
//! store gave out is refused instead of read as some position. It protects from mistakes; a cursor gives access to
//! nothing.

use super::store::StoreError;
use crate::ids::{Namespace, RunId};
use crate::value::Digest;

/// Hexadecimal digits of a run id.
const RUN: usize = 32;

/// Hexadecimal digits of the checksum.
const CHECK: usize = 16;

/// The cursor of the page that follows a run.
#[must_use]
pub fn encode(namespace: &Namespace, last: RunId) -> String {
    let run = last.as_uuid().simple();
    let sum = Digest::of(format!("list {namespace} {run}").as_bytes()).to_string();
    format!("{run}{}", &sum[..CHECK])
}

/// The run that a cursor follows.
///
/// # Errors
/// [`StoreError::BadCursor`].
pub fn decode(namespace: &Namespace, cursor: &str) -> Result<RunId, StoreError> {
    let run = cursor.get(..RUN).and_then(|run| run.parse().ok()).ok_or(StoreError::BadCursor)?;
    if encode(namespace, run) == cursor { Ok(run) } else { Err(StoreError::BadCursor) }
}

/// The cursor of the page that follows a name in a list.
#[must_use]
pub fn encode_name(list: &str, last: &str) -> String {
    let sum = Digest::of(format!("names {list} {last}").as_bytes()).to_string();
    let hex: String = last.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{}{hex}", &sum[..CHECK])
}

/// The name that a cursor follows.
///
/// # Errors
/// [`StoreError::BadCursor`].
pub fn decode_name(list: &str, cursor: &str) -> Result<String, StoreError> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let hex = cursor.as_bytes().get(CHECK..).ok_or(StoreError::BadCursor)?;
    let bytes: Option<Vec<u8>> = hex.chunks(2).map(byte).collect();
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(StoreError::BadCursor)?;
    if encode_name(list, &name) == cursor { Ok(name) } else { Err(StoreError::BadCursor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_in_its_namespace_only() {
        let (namespace, run) = (Namespace::default(), RunId::new(7, [3; 10]));
        let cursor = encode(&namespace, run);
        assert_eq!(decode(&namespace, &cursor), Ok(run));
        assert_eq!(decode(&"other".parse().unwrap(), &cursor), Err(StoreError::BadCursor));
        for forged in ["", "x", &cursor[1..], &run.to_string(), &cursor.replace('0', "1"), "é".repeat(40).as_str()] {
            assert_eq!(decode(&namespace, forged), Err(StoreError::BadCursor), "{forged}");
        }
    }

    #[test]
    fn a_name_reads_back_in_its_list_only() {
        let cursor = encode_name("workflows", "a/é");
        assert_eq!(decode_name("workflows", &cursor).as_deref(), Ok("a/é"));
        assert_eq!(decode_name("agents", &cursor), Err(StoreError::BadCursor));
        for forged in ["", "x", &cursor[1..], &cursor.replace('0', "1"), "é".repeat(40).as_str()] {
            assert_eq!(decode_name("workflows", forged), Err(StoreError::BadCursor), "{forged}");
        }
    }
}
