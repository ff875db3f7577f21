//! The gRPC API of a Tutti server on the wire; a room of its own because the server, its clients and tests speak it.
//!
//! What each message and field means stands in `proto/tutti/v1`.

/// The generated messages and stubs of package `tutti.v1`.
#[expect(clippy::allow_attributes, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("tutti.v1");
}

/// The descriptors of package `tutti.v1` and what it imports: a serialized `google.protobuf.FileDescriptorSet`, for
/// reflection and for tests that go through every method.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("tutti.v1");

/// The largest message sent or accepted: a value of 16 MiB and room for a workflow and the envelope.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;

/// The domain of the reasons in `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "tutti.v1";

/// The reason of the error that ends the stream of a reader that is too slow; its metadata hold [`LAST_SEQ`].
pub const SLOW_READER: &str = "SLOW_READER";

/// In the metadata of [`SLOW_READER`]: the last sequence number that was sent, where the stream has such numbers.
pub const LAST_SEQ: &str = "last_seq";

/// The reason of the error for a name or a request id that something else stands under; its metadata hold
/// [`EXISTING_HASH`] and [`GIVEN_HASH`].
pub const ALREADY_EXISTS: &str = "ALREADY_EXISTS";

/// In the metadata of [`ALREADY_EXISTS`]: the hash of what stands there, in hexadecimal digits.
pub const EXISTING_HASH: &str = "existing_hash";

/// In the metadata of [`ALREADY_EXISTS`]: the hash of what was given, in hexadecimal digits.
pub const GIVEN_HASH: &str = "given_hash";

/// The reason of the error that ends a stream of changes of which more came than the server keeps.
pub const CHANGES_LOST: &str = "CHANGES_LOST";

/// Most bytes in one piece of an artifact.
pub const CHUNK_BYTES: usize = 64 * 1024;
