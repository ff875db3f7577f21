//! Where a database is, and how sessions with it are set up.

use std::env;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tutti_core::ports::store::StoreError;

use crate::hosts::{Hosts, name};

/// The parameter by which an address allows a database that can lose what it acknowledged.
const UNSAFE_DURABILITY: &str = "unsafe_durability";

/// The address of a database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS`, as libpq takes it.
///
/// Several hosts stand with commas between them, as `HOST:PORT,HOST:PORT`: the database is at the one that is no standby.
/// That is asked whenever a session is begun, so that sessions follow it to another host.
///
/// What it leaves open is taken from `PGHOST`, `PGUSER`, `PGPASSWORD` and their like, and from `~/.pgpass`. A host
/// that is not this machine must show a certificate of its name, unless `sslmode` or `PGSSLMODE` says otherwise. Of Tutti's
/// own is `unsafe_durability=true`, for a database that may lose what it acknowledged.
///
/// Shown without the password.
#[derive(Clone)]
pub struct Address {
    hosts: Arc<[PgConnectOptions]>,
    /// Which of them had the database last.
    last: Arc<AtomicUsize>,
    shown: String,
    unsafe_durability: bool,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Commits and other short writes.
    Write,
    /// Lists and histories.
    Read,
    /// To hold the lock of an engine.
    Lock,
    /// To hold slots, and to renew leases.
    Lease,
    /// To change the tables.
    Migrate,
}

impl Address {
    /// True if the database may lose what it acknowledged.
    #[must_use]
    pub const fn allows_unsafe_durability(&self) -> bool {
        self.unsafe_durability
    }

    /// How sessions are begun.
    pub(crate) fn sessions(&self, purpose: Purpose) -> Hosts {
        // A server that is gone without a word is noticed by both ends: here by the time that a call may take, there by
        // these, so that it does not keep locks.
        let common = [
            ("default_transaction_isolation", "read committed"),
            ("idle_in_transaction_session_timeout", "10s"),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "10s"),
            ("client_min_messages", "warning"),
            ("jit", "off"),
        ];
        let own: &[(&str, &str)] = match purpose {
            // A plan made for the number of rows of one call reads all of the guards; the generic one never does.
            Purpose::Write => {
                &[("plan_cache_mode", "force_generic_plan"), ("statement_timeout", "20s"), ("lock_timeout", "10s")]
            }
            Purpose::Read => &[("default_transaction_read_only", "on"), ("statement_timeout", "60s")],
            Purpose::Lock => &[("statement_timeout", "5s")],
            Purpose::Lease => &[("statement_timeout", "3s")],
            // As long as it takes.
            Purpose::Migrate => &[("statement_timeout", "0"), ("lock_timeout", "0")],
        };
        let name = match purpose {
            Purpose::Lock => format!("tutti engine (process {})", std::process::id()),
            _ => format!("tutti (process {})", std::process::id()),
        };
        let options =
            |host: &PgConnectOptions| host.clone().application_name(&name).options(common).options(own.iter().copied());
        Hosts::new(self.hosts.iter().map(options).collect(), self.last.clone())
    }
}

impl FromStr for Address {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let wrong = |reason: &str| StoreError::Permanent(format!("not the address of a database: {reason}"));
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(wrong("it begins with neither postgres:// nor postgresql://"));
        }
        let (address, parameters) = text.split_once('?').unwrap_or((text, ""));
        let (scheme, address) = address.split_once("://").unwrap_or_default();
        let (authority, rest) = address.split_at(address.find('/').unwrap_or(address.len()));
        let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let (ours, theirs): (Vec<&str>, Vec<&str>) =
            parameters.split('&').partition(|parameter| parameter.split('=').next() == Some(UNSAFE_DURABILITY));
        let unsafe_durability = match ours[..] {
            [] => false,
            ["unsafe_durability=true"] => true,
            ["unsafe_durability=false"] => false,
            _ => return Err(wrong("unsafe_durability is true or false")),
        };
        let says = |name: &str| theirs.iter().any(|parameter| parameter.split('=').next() == Some(name));
        let says_mode = says("sslmode") || says("ssl-mode") || env::var_os("PGSSLMODE").is_some();
        let options = |host: &str| {
            let url = format!("{scheme}://{user}{host}{rest}?{}", theirs.join("&"));
            // The reason may hold the password.
            let options: PgConnectOptions = url.parse().map_err(|_| wrong("it cannot be read as a URL"))?;
            let checked = says_mode || is_local(&options);
            let options = if checked { options } else { options.ssl_mode(PgSslMode::VerifyFull) };
            Ok(options.disable_statement_logging())
        };
        let hosts = hosts.split(',').map(options).collect::<Result<Arc<[_]>, StoreError>>()?;
        Ok(Self { shown: shown(&hosts), hosts, last: Arc::default(), unsafe_durability })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.shown == other.shown && self.unsafe_durability == other.unsafe_durability
    }
}

impl Eq for Address {}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn shown(hosts: &[PgConnectOptions]) -> String {
    let user = hosts[0].get_username();
    let database = hosts[0].get_database().unwrap_or(user);
    let hosts: Vec<String> = hosts.iter().map(name).collect();
    format!("postgres://{user}@{}/{database}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = address("postgres://me:secret@db.example:5433/runs?unsafe_durability=false");
        assert_eq!(shown.to_string(), "postgres://me@db.example:5433/runs");
        assert!(!format!("{shown:?}").contains("secret"));
        let socket = address("postgres://me@localhost/runs?host=/run/postgresql").to_string();
        assert_eq!(socket, "postgres://me@%2Frun%2Fpostgresql:5432/runs");
        assert_eq!(address(&socket).to_string(), socket);
        for bad in ["postgres://me:secret@[", "mysql://me:secret@h/d", "postgres://h/d?unsafe_durability=secret"] {
            let refused = bad.parse::<Address>().unwrap_err().to_string();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn several_hosts_share_the_rest() {
        let several = address("postgres://me:s%2Cc@one,two:5433,[::1]:5434/runs?port=6000");
        assert_eq!(several.to_string(), "postgres://me@one:6000,two:6000,[::1]:6000/runs");
        let several = address("postgres://me:secret@one.example,two.example:5433/runs");
        assert_eq!(several.to_string(), "postgres://me@one.example:5432,two.example:5433/runs");
        assert_eq!(address(&several.to_string()).to_string(), several.to_string());
        assert!(several.hosts.iter().all(|host| format!("{:?}", host.get_ssl_mode()) == "VerifyFull"));
        let sockets = address("postgres://me@%2Frun%2Fa,%2Frun%2Fb/runs");
        assert!(sockets.hosts.iter().all(|host| host.get_socket().is_some()));
        for bad in
            ["postgres://me:secret@one,/runs", "postgres://me:secret@,/runs", "postgres://me:secret@one,t[wo/runs"]
        {
            let refused = bad.parse::<Address>().unwrap_err().to_string();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn what_is_ours_is_not_theirs() {
        let both = address("postgresql://me@localhost/runs?unsafe_durability=true&application_name=x&port=5433");
        assert!(both.allows_unsafe_durability());
        assert_eq!(both.hosts[0].get_port(), 5433);
        assert!(!address("postgres://me@localhost/runs").allows_unsafe_durability());
    }

    #[test]
    fn another_machine_shows_its_certificate() {
        let mode = |text: &str| format!("{:?}", address(text).hosts[0].get_ssl_mode());
        assert_eq!(mode("postgres://me@db.example/runs"), "VerifyFull");
        assert_eq!(mode("postgres://me@db.example/runs?sslmode=disable"), "Disable");
        for local in ["localhost", "127.0.0.1", "[::1]", "%2Frun%2Fpostgresql"] {
            assert_eq!(mode(&format!("postgres://me@{local}/runs")), "Prefer", "{local}");
        }
        assert_eq!(mode("postgres:///runs?host=/run/postgresql"), "Prefer");
    }
}
