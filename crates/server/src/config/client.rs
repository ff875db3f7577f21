//! The section that says how the commands know a server, and are known by it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tutti_adapters_grpc::api::ClientTls;

/// How the commands speak TLS to a server at an `https://` address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// The authorities that sign the server's certificate, a PEM file. If none is named, those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// The certificate by which the server knows the caller, a PEM file. Needs `key`.
    pub cert: Option<PathBuf>,
    /// The private key of that certificate, a PEM file.
    pub key: Option<PathBuf>,
}

impl ClientConfig {
    /// What does not go together.
    pub fn problems(&self) -> Vec<&'static str> {
        match (&self.cert, &self.key) {
            (Some(_), None) => vec!["client.cert is given without client.key; a certificate needs both"],
            (None, Some(_)) => vec!["client.key is given without client.cert; a certificate needs both"],
            _ => Vec::new(),
        }
    }

    /// How a client knows a server, and is known by it.
    pub fn tls(&self) -> ClientTls {
        let Self { ca, cert, key } = self.clone();
        ClientTls { ca, cert, key }
    }
}
