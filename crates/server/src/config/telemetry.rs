//! The section of traces, metrics and logs.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Traces, metrics and logs for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Tell what happens: by OTLP if a receiver is named, and at `/metrics` of a server. `false` switches all of it off.
    #[schemars(extend("x-environment" = "ENABLE_OBSERVABILITY"))]
    pub enabled: bool,
    /// Where traces, metrics and logs are sent: an OTLP receiver that speaks gRPC, such as `http://127.0.0.1:4317`. If none
    /// is named, nothing is sent.
    #[schemars(with = "Option<String>", extend("x-environment" = "OTEL_EXPORTER_OTLP_ENDPOINT"))]
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// The name of this service in what is sent. If none is given, that of `OTEL_RESOURCE_ATTRIBUTES`, or `tutti`.
    #[schemars(extend("x-environment" = "OTEL_SERVICE_NAME"))]
    pub service_name: Option<String>,
    /// Send a trace of every run.
    pub traces: bool,
    /// Send metrics.
    pub metrics: bool,
    /// Send the log, from level `info` on, whatever is shown on stderr.
    pub logs: bool,
    /// A server shows its metrics at `/metrics`, in the form of Prometheus, to whoever may read.
    pub prometheus: bool,
    /// The form of the log on stderr, if `--log` asks for one.
    pub log_format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            otlp_endpoint: None,
            service_name: None,
            traces: true,
            metrics: true,
            logs: true,
            prometheus: true,
            log_format: LogFormat::Human,
        }
    }
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A line of text for each entry.
    Human,
    /// A JSON object on a line for each entry.
    Json,
}

/// The address of an OTLP receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OtlpEndpoint(String);

impl OtlpEndpoint {
    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OtlpEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri = text.parse::<axum::http::Uri>().ok();
        let is_url = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        if is_url {
            return Ok(Self(text.to_owned()));
        }
        Err("it takes a URL of http or https, such as http://127.0.0.1:4317".to_owned())
    }
}

impl TryFrom<String> for OtlpEndpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<OtlpEndpoint> for String {
    fn from(endpoint: OtlpEndpoint) -> Self {
        endpoint.0
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_a_url() {
        for good in ["http://127.0.0.1:4317", "https://collector.example"] {
            assert_eq!(good.parse::<OtlpEndpoint>().unwrap().as_str(), good);
        }
        for bad in ["", "127.0.0.1:4317", "grpc://x", "http://", "http://a b"] {
            assert!(bad.parse::<OtlpEndpoint>().is_err(), "{bad}");
        }
    }
}
