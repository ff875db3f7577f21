//! The agent port over A2A on gRPC.
