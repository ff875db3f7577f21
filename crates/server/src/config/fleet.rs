//! The section that says how a server takes part among several that share a database.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tutti_core::ids::ServerId;
use tutti_engine::FleetOptions;

/// Shortest and longest lease, in seconds.
const LEASE: (u64, u64) = (1, 300);

/// Servers that share one PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FleetConfig {
    /// The id of this server among those that share the database; it takes over its own runs at once when it is started
    /// again. Not set: the name of the machine and the port that it listens on.
    #[schemars(with = "Option<String>")]
    pub server_id: Option<ServerId>,
    /// How long the server is trusted after a sign of life, in seconds, 1 to 300: after so long its runs are taken over by
    /// others.
    #[schemars(range(min = 1, max = 300))]
    pub lease_seconds: u64,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self { server_id: None, lease_seconds: 10 }
    }
}

impl FleetConfig {
    /// What cannot be.
    pub fn problems(&self) -> Vec<&'static str> {
        let fits = (LEASE.0..=LEASE.1).contains(&self.lease_seconds);
        if fits { Vec::new() } else { vec!["fleet.lease_seconds must be from 1 to 300"] }
    }

    /// How the engine takes part.
    pub fn options(&self, listen: SocketAddr) -> FleetOptions {
        let server = self.server_id.clone().unwrap_or_else(|| of_machine(listen));
        FleetOptions { server, lease: Duration::from_secs(self.lease_seconds.clamp(LEASE.0, LEASE.1)) }
    }
}

/// The name of the machine and the port.
fn of_machine(listen: SocketAddr) -> ServerId {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-') { letter } else { '-' };
    let machine: String = machine.chars().take(150).map(letter).collect();
    format!("{machine}-{}", listen.port()).parse().expect("letters, digits and a port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_its_machine_and_port_unless_it_is_told_otherwise() {
        let listen = "127.0.0.1:7780".parse().unwrap();
        assert!(FleetConfig::default().options(listen).server.as_str().ends_with("-7780"));
        let named = FleetConfig { server_id: Some("a".parse().unwrap()), ..FleetConfig::default() };
        assert_eq!(named.options(listen).server.as_str(), "a");
        assert!(named.problems().is_empty());
        assert!(!FleetConfig { lease_seconds: 0, ..named }.problems().is_empty());
    }
}
