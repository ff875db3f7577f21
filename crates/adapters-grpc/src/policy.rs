//! Which addresses agents may have, so that nobody makes a server call into networks of its own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tutti_core::ports::agent::{AgentAccess, SecretRef};

use crate::address::{Address, Host};

/// Which addresses agents may have. Public ones always; some never: unspecified, multicast, reserved, and those at which
/// clouds tell their machines secrets. The default allows nothing else.
///
/// It binds agents that are not [trusted](AgentAccess::trusted). Trusted ones may be on loopback and in private networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointPolicy {
    /// Networks and hosts that are allowed though they are private, link-local or loopback.
    pub allow: Vec<Allowed>,
    /// Whether loopback is allowed.
    pub allow_loopback: bool,
    /// Whether private networks are allowed: RFC 1918, RFC 6598, unique and site local IPv6.
    pub allow_private: bool,
    /// The secrets, and the files for TLS (as `file:`), that agents which are not trusted may be given.
    pub secrets: Vec<SecretRef>,
}

/// What is allowed: `10.1.0.0/16`, `fd00::/8`, `10.0.0.7`, `agents.example`, or `*.agents.example` for all names below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Allowed {
    /// The addresses that begin with so many bits of this one.
    Network(IpAddr, u8),
    /// A host of this name.
    Host(String),
    /// Every host whose name ends with a dot and this.
    Below(String),
}

/// What sort of address it is, as far as the policy asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// In the internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network.
    Private,
    /// The network segment.
    LinkLocal,
    /// Where clouds tell machines about themselves.
    Metadata,
    /// No address of one machine.
    Unusable,
}

impl EndpointPolicy {
    /// Checks a URL as far as it can be without looking its host up: its form, and its host if that is an address. For
    /// agents that are not trusted, when they are registered.
    ///
    /// # Errors
    /// Why it is not allowed, for a person.
    pub fn check_url(&self, url: &str) -> Result<(), String> {
        self.check(&Address::parse(url, None)?, &AgentAccess::default())
    }

    /// As [`check_url`](Self::check_url), for an address that was read already.
    pub(crate) fn check(&self, address: &Address, access: &AgentAccess) -> Result<(), String> {
        match &address.host {
            Host::Ip(ip) => self.check_ip(&address.host, *ip, access.trusted),
            Host::Name(name) if name == "localhost" || name.ends_with(".localhost") => {
                self.check_ip(&address.host, Ipv4Addr::LOCALHOST.into(), access.trusted)
            }
            Host::Name(_) => Ok(()),
        }
    }

    /// Checks an address that a host has.
    pub(crate) fn check_ip(&self, host: &Host, ip: IpAddr, trusted: bool) -> Result<(), String> {
        let class = Class::of(ip);
        let allowed = match class {
            Class::Public => true,
            Class::Metadata | Class::Unusable => false,
            Class::Loopback => trusted || self.allow_loopback || self.lists(host, ip),
            Class::Private => trusted || self.allow_private || self.lists(host, ip),
            Class::LinkLocal => self.lists(host, ip),
        };
        if allowed { Ok(()) } else { Err(format!("{ip} is {class}, where agents are not allowed to be")) }
    }

    /// Checks that an agent may be given a secret or a file.
    pub(crate) fn check_secret(&self, secret: &SecretRef, trusted: bool) -> Result<(), String> {
        if trusted || self.secrets.contains(secret) {
            return Ok(());
        }
        Err(format!("{secret} is not among the secrets that registered agents may be given"))
    }

    fn lists(&self, host: &Host, ip: IpAddr) -> bool {
        self.allow.iter().any(|allowed| match (allowed, host) {
            (Allowed::Network(network, bits), _) => {
                contains(*network, *bits, ip) || embedded(ip).is_some_and(|ip| contains(*network, *bits, ip.into()))
            }
            (Allowed::Host(name), Host::Name(host)) => name == host,
            (Allowed::Below(name), Host::Name(host)) => {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
            }
            (Allowed::Host(_) | Allowed::Below(_), Host::Ip(_)) => false,
        })
    }
}

impl Class {
    /// The class of an address; IPv6 addresses that stand for an IPv4 address are of its class.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => of_v4(ip),
            IpAddr::V6(ip) if ip == Ipv6Addr::LOCALHOST => Self::Loopback,
            IpAddr::V6(ip) if ip == Ipv6Addr::UNSPECIFIED => Self::Unusable,
            IpAddr::V6(v6) => embedded(ip).map_or_else(|| of_v6(v6), of_v4),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "an address of a private network",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's metadata address",
            Self::Unusable => "no address of a machine",
        })
    }
}

fn of_v4(ip: Ipv4Addr) -> Class {
    match ip.octets() {
        // AWS and most others; Amazon ECS; Alibaba; Azure; Oracle.
        [169, 254, 169, 254] | [169, 254, 170, 2] | [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => {
            Class::Metadata
        }
        [127, ..] => Class::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Class::Private,
        [169, 254, ..] => Class::LinkLocal,
        // "This network", protocol assignments, documentation, benchmarks, multicast, reserved, broadcast (RFC 6890).
        [0, ..] | [192, 0, 0 | 2, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [224..=255, ..] => {
            Class::Unusable
        }
        _ => Class::Public,
    }
}

fn of_v6(ip: Ipv6Addr) -> Class {
    match ip.segments() {
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Class::Metadata,
        // A network's own NAT64 may lead anywhere in it (RFC 8215).
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Class::Private,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        // Teredo, benchmarks, ORCHID, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Unusable,
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Unusable,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, translated (NAT64) or 6to4.
fn embedded(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(v4(high, low))
        }
        _ => None,
    }
}

fn contains(network: IpAddr, bits: u8, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or_default();
            u32::from(network) & mask == u32::from(ip) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or_default();
            u128::from(network) & mask == u128::from(ip) & mask
        }
        _ => false,
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no network (10.0.0.0/8) and no host (agents.example, *.agents.example)");
        let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        if let Ok(ip) = ip.parse::<IpAddr>() {
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
            return if bits <= most { Ok(Self::Network(ip, bits)) } else { Err(wrong()) };
        }
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        match Address::parse(name, Some(false)) {
            Ok(Address { host: Host::Name(host), .. }) if host.eq_ignore_ascii_case(name) => {
                Ok(if below { Self::Below(host) } else { Self::Host(host) })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(ip, bits) => write!(f, "{ip}/{bits}"),
            Self::Host(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl TryFrom<String> for Allowed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Allowed> for String {
    fn from(allowed: Allowed) -> Self {
        allowed.to_string()
    }
}

#[cfg(test)]
mod tests;
