//! The trace of a run (W3C Trace Context): a run is a trace, and its spans have ids that follow from their names. So the
//! spans of a run are the same before and after a crash, whoever tells them, and agents' spans join it.

use crate::ids::{AttemptKey, RunId};
use crate::value::Digest;

/// Where the spans of a run belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTrace {
    /// Id of the trace: the caller's, or the run's own.
    pub trace: [u8; 16],
    /// The caller's span, if the caller was in one.
    pub parent: Option<[u8; 8]>,
    /// Whether the trace is to be kept, as the caller said; true without a caller's trace.
    pub sampled: bool,
}

impl RunTrace {
    /// The trace of a run whose caller was in the context `trace_parent`; one that cannot be read counts as none.
    #[must_use]
    pub fn new(run: RunId, trace_parent: Option<&str>) -> Self {
        trace_parent.and_then(Self::parse).unwrap_or(Self {
            trace: *run.as_uuid().as_bytes(),
            parent: None,
            sampled: true,
        })
    }

    /// Reads a `traceparent` (W3C Trace Context, section 3.2). Versions to come are read as version 00, as it demands.
    #[must_use]
    pub fn parse(trace_parent: &str) -> Option<Self> {
        let mut parts = trace_parent.split('-');
        let [version] = bytes(parts.next()?)?;
        let (trace, parent): ([u8; 16], [u8; 8]) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
        let [flags] = bytes(parts.next()?)?;
        let valid = version != 0xff && trace != [0; 16] && parent != [0; 8] && (version != 0 || parts.next().is_none());
        valid.then_some(Self { trace, parent: Some(parent), sampled: flags & 1 == 1 })
    }

    /// The `traceparent` of a span in this trace, for those that are called from it.
    #[must_use]
    pub fn context(&self, span: [u8; 8]) -> String {
        format!("00-{}-{}-{:02x}", hex(&self.trace), hex(&span), u8::from(self.sampled))
    }
}

/// The id of a span by its name: the run's id, an [operation id](AttemptKey::operation_id) for a step, a
/// [message id](AttemptKey::message_id) for an attempt.
#[must_use]
pub fn span_id(name: &str) -> [u8; 8] {
    let digest = Digest::of(name.as_bytes());
    // An id of zeros would not be valid; a digest that begins with eight of them does not come up.
    std::array::from_fn(|n| digest.as_bytes()[n])
}

/// The span of an attempt.
#[must_use]
pub fn attempt_span(key: &AttemptKey) -> [u8; 8] {
    span_id(&key.message_id())
}

fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[test]
    fn a_run_continues_the_trace_of_its_caller_or_begins_its_own() {
        let run = RunId::new(1, [7; 10]);
        let own = RunTrace::new(run, None);
        assert_eq!((own.trace, own.parent, own.sampled), (*run.as_uuid().as_bytes(), None, true));
        assert_eq!(RunTrace::new(run, Some("nonsense")), own);
        let continued = RunTrace::new(run, Some(CALLER));
        assert_eq!(continued.context(continued.parent.unwrap()), CALLER);
        assert!(own.context(span_id("x")).ends_with("-01"));
        assert_ne!(span_id("x"), span_id("y"));
    }

    #[test]
    fn what_is_no_trace_context_is_not_taken_for_one() {
        let zeros = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for bad in [
            "",
            "00",
            &CALLER[1..],
            &CALLER.to_uppercase(),
            &format!("{CALLER}-x"),
            &zeros,
            &format!("ff{}", &CALLER[2..]),
        ] {
            assert_eq!(RunTrace::parse(bad), None, "{bad}");
        }
        assert!(RunTrace::parse(&format!("01{}-more", &CALLER[2..])).is_some(), "a version to come may have more");
    }
}
