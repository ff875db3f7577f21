//! Suites that check whether an adapter keeps the contract of its port. An adapter's tests call them with a way to make
//! fresh adapters; nothing in them knows any adapter.

pub mod store;
