//! Page cursors: the last run of a page and a checksum over it and the namespace, so that what this store did not give
//! out is refused instead of read as some position. It protects from mistakes; a cursor gives access to nothing.

use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::store::StoreError;
use tutti_core::value::Digest;

/// Hexadecimal digits of a run id.
const RUN: usize = 32;

/// Hexadecimal digits of the checksum.
const CHECK: usize = 16;

/// The cursor of the page that follows a run.
pub fn encode(namespace: &Namespace, last: RunId) -> String {
    let run = last.as_uuid().simple();
    let sum = Digest::of(format!("list {namespace} {run}").as_bytes()).to_string();
    format!("{run}{}", &sum[..CHECK])
}

/// The run that a cursor follows.
pub fn decode(namespace: &Namespace, cursor: &str) -> Result<RunId, StoreError> {
    let run = cursor.get(..RUN).and_then(|run| run.parse().ok()).ok_or(StoreError::BadCursor)?;
    if encode(namespace, run) == cursor { Ok(run) } else { Err(StoreError::BadCursor) }
}
