//! Payloads.

use bytes::Bytes;
use tutti_core::limits::MAX_VALUE_BYTES;
use tutti_core::value::PayloadRef;

use super::Subject;
use crate::given::{new_run, run_id};

pub async fn every_byte_is_kept_in_payloads(store: Subject) {
    let run = store.create(new_run(1)).await;
    let text = Bytes::from_static("{\"a\":1e100000,\"a\":\"\\u0000\u{1f3bc}\"}\n".as_bytes());
    let all = (0..=255_u8).cycle().take(1024 * 1024).collect();
    for bytes in [Bytes::new(), Bytes::from_static(b"\0"), Bytes::from_static(b"\0\0\0"), text, all] {
        let at = store.payloads.put(run, bytes.clone()).await.unwrap();
        assert_eq!(at, PayloadRef::to(&bytes));
        assert!(store.payloads.get(run, at).await == Ok(Some(bytes)));
    }
}

pub async fn a_large_payload_is_kept(store: Subject) {
    let bytes: Bytes = (0..=250_u8).cycle().take(MAX_VALUE_BYTES).collect();
    let at = store.payloads.put(run_id(1), bytes.clone()).await.unwrap();
    assert!(store.payloads.get(run_id(1), at).await == Ok(Some(bytes)));
}

pub async fn the_same_bytes_are_one_payload(store: Subject) {
    let bytes = Bytes::from_static(b"again and again");
    let first = store.payloads.put(run_id(1), bytes.clone()).await.unwrap();
    assert_eq!(store.payloads.put(run_id(1), bytes.clone()).await, Ok(first));
    assert_eq!(store.payloads.get(run_id(1), first).await, Ok(Some(bytes)));
}

pub async fn a_payload_belongs_to_its_run(store: Subject) {
    let bytes = Bytes::from_static(b"mine");
    let at = store.payloads.put(run_id(1), bytes.clone()).await.unwrap();
    assert_eq!(store.payloads.get(run_id(2), at).await, Ok(None));
    assert_eq!(store.payloads.get(run_id(1), PayloadRef::to(b"other")).await, Ok(None));
    store.payloads.put(run_id(2), bytes.clone()).await.unwrap();
    assert_eq!(store.payloads.get(run_id(2), at).await, Ok(Some(bytes)));
}

pub async fn a_payload_may_come_before_its_run(store: Subject) {
    let bytes = Bytes::from_static(b"an input");
    let at = store.payloads.put(run_id(1), bytes.clone()).await.unwrap();
    store.create(new_run(1)).await;
    assert_eq!(store.payloads.get(run_id(1), at).await, Ok(Some(bytes)));
}
