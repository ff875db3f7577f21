//! A2A 1.0 on the wire: messages, client and server stubs, agent card, errors.
//!
//! The generated messages are in [`v1`]; `v1::a2a_service_client` and `v1::a2a_service_server` hold the stubs.
//! [`card`] is the agent card as JSON, [`json`] converts between JSON and the protobuf well-known types, [`task`] tells
//! what the states of a task mean, and [`error`] builds and reads errors as the gRPC binding of the specification defines
//! them.

pub mod card;
pub mod error;
pub mod json;
pub mod task;

/// The generated messages and stubs of package `lf.a2a.v1`.
#[expect(missing_docs, clippy::allow_attributes, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("lf.a2a.v1");
}

/// The error model of gRPC, as far as A2A uses it.
#[expect(missing_docs, reason = "generated")]
pub mod rpc {
    tonic::include_proto!("google.rpc");
}

/// The descriptors of package `lf.a2a.v1` and what it imports: a serialized `google.protobuf.FileDescriptorSet`, for
/// reflection and for tests that go through every method.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("lf.a2a.v1");

/// The version of the protocol spoken here, as it travels in [`metadata::VERSION`].
pub const VERSION: &str = "1.0";

/// The `protocolBinding` of an interface that speaks gRPC.
pub const GRPC_BINDING: &str = "GRPC";

/// The path under which an agent serves its card over HTTP.
pub const CARD_PATH: &str = "/.well-known/agent-card.json";

/// The media type of a part that carries JSON.
pub const JSON_MEDIA_TYPE: &str = "application/json";

/// The largest message sent or accepted here: 16 MiB of content and room for the envelope.
///
/// Both tonic and the public SDKs refuse more than 4 MiB unless told otherwise, so clients and servers set it.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024 + 256 * 1024;

/// Names of gRPC metadata entries.
pub mod metadata {
    /// The version of the protocol; a client must send it (an absent one means 0.3).
    pub const VERSION: &str = "a2a-version";
    /// Comma-separated URIs of the extensions in use.
    pub const EXTENSIONS: &str = "a2a-extensions";
    /// The trace and span the call belongs to (W3C Trace Context).
    pub const TRACEPARENT: &str = "traceparent";
    /// Vendor data that goes with [`TRACEPARENT`].
    pub const TRACESTATE: &str = "tracestate";
}

/// Extensions of the protocol; each is a key in metadata.
pub mod extension {
    /// How good an agent finds its answer, and what it took: an object with `quality` (scores by metric, 0 to 1) and `usage`
    /// (`cost`, `tokens_in`, `tokens_out`).
    pub const REPORT: &str = "https://tutti.dev/a2a/extensions/report/v1";
}

/// Keys of the entries Tutti adds to `SendMessageRequest.metadata`; an agent may use them or not.
pub mod request {
    /// The skill that is asked for, a string.
    pub const CAPABILITY: &str = "capability";
    /// What the agent is asked to do: the step's action, a string.
    pub const ACTION: &str = "action";
    /// `low`, `normal` or `high`.
    pub const PRIORITY: &str = "priority";
    /// When the caller will stop waiting: an RFC 3339 time, a string.
    pub const DEADLINE: &str = "deadline";
    /// What was not good enough about the agent's last answer, or another agent's: an object with `attempt`, `score`, `failed` (a
    /// list of `metric`, `score`, `threshold`) and `notes` (a list of texts). In the message's own metadata too.
    pub const FEEDBACK: &str = "feedback";
    /// The same for every attempt of one step, so that an agent can do its effects once; a string.
    pub const OPERATION_ID: &str = "operation_id";
}
