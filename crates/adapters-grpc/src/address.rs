//! Addresses of agents, taken apart: what cannot be told apart for sure is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Whether over TLS.
    pub tls: bool,
    /// Whom to connect to.
    pub host: Host,
    /// On which port.
    pub port: u16,
    /// What follows: empty, or a path that begins with `/` and does not end with one.
    pub path: String,
}

/// A host as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name to be looked up, in lower case.
    Name(String),
    /// An address in its usual form.
    Ip(IpAddr),
}

impl Address {
    /// Reads a URL of scheme http, https, grpc or grpcs. Without a scheme (as cards may spell gRPC addresses) it is
    /// over TLS if `tls`.
    ///
    /// # Errors
    /// Why it is none, for a person.
    pub fn parse(text: &str, tls: Option<bool>) -> Result<Self, String> {
        if text.bytes().any(|c| !c.is_ascii_graphic() || c == b'\\') {
            return Err("has a character that no URL has".to_owned());
        }
        let (tls, rest) = match (text.split_once("://"), tls) {
            (Some((scheme, rest)), _) => (is_tls(scheme)?, rest),
            (None, Some(tls)) => (tls, text),
            (None, None) => return Err("is no URL: it has no scheme".to_owned()),
        };
        if rest.contains(['?', '#']) {
            return Err("must not have a query or a fragment".to_owned());
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("must not hold a user or a password".to_owned());
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(port) if port.bytes().all(|c| c.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port != 0).ok_or("has no usable port")?
            }
            Some(_) => return Err("has no usable port".to_owned()),
            None if tls => 443,
            None => 80,
        };
        Ok(Self { tls, host: Host::parse(host)?, port, path: path.trim_end_matches('/').to_owned() })
    }

    /// Host and port, as in a `host` header.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, String> {
        if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            let ip: Ipv6Addr = inner.parse().map_err(|_| "has an IPv6 address that is none")?;
            return Ok(Self::Ip(ip.into()));
        }
        if let Ok(ip) = host.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(ip.into()));
        }
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
        };
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err("has no usable host".to_owned());
        }
        // Systems read such names as IPv4 addresses: in decimal, octal, hexadecimal, or with parts left out.
        let last = name.rsplit('.').next().unwrap_or_default();
        let hexadecimal = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()));
        if hexadecimal || last.bytes().all(|c| c.is_ascii_digit()) {
            return Err("has an IPv4 address that is not written as four decimal numbers".to_owned());
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

fn is_tls(scheme: &str) -> Result<bool, String> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "grpc" => Ok(false),
        "https" | "grpcs" => Ok(true),
        _ => Err("must be of scheme http, https, grpc or grpcs".to_owned()),
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), String> {
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[bracket..].find(':') {
        None if bracket != 0 && bracket != authority.len() => Err("has no usable host".to_owned()),
        None => Ok((authority, None)),
        Some(at) => Ok((&authority[..bracket + at], Some(&authority[bracket + at + 1..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_cards_and_files_spell_them() {
        for (text, shown) in [
            ("h:1", "http://h:1"),
            ("http://H:1/", "http://h:1"),
            ("grpc://h", "http://h:80"),
            ("grpcs://h/a/", "https://h:443/a"),
            ("[::1]:5", "http://[::1]:5"),
            ("https://[::1]", "https://[::1]:443"),
        ] {
            assert_eq!(Address::parse(text, Some(false)).unwrap().to_string(), shown);
        }
        assert!(Address::parse("h:1", Some(true)).unwrap().tls);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "file:///etc/passwd",
            "http://u:p@h",
            "http://h\r\nx: y",
            "http://h\\@x",
            "http://h?x",
            "http://h#x",
            "http://2130706433",
            "http://0x7f000001",
            "http://0x",
            "http://0177.0.0.1",
            "http://127.1",
            "http://127.0.0.1.",
            "http://[::1%25lo]",
            "http://[::1]x:1",
            "http://h:0",
            "http://h:99999",
            "http://h:+80",
            "http://%31",
            "http://",
            "h:1",
        ] {
            assert!(Address::parse(text, None).is_err(), "{text}");
        }
    }
}
