//! Who gets to a server: on which addresses it may listen, and how its callers are known.

use std::sync::Arc;

use tutti_adapters_grpc::api::Auth;
use tutti_core::ports::clock::Clock as _;
use tutti_core::ports::inbound::access::Access;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::exit::{Failure, Result};
use crate::output::say;

/// Refuses to listen where other machines reach it, unless what is said is hidden and callers are known: TLS and auth
/// together. An operator who wants it otherwise has to say so, and is told what it means.
///
/// # Errors
/// An address that is not for a server as it is configured.
pub fn check_address(config: &Config) -> Result<()> {
    let listen = config.server.listen;
    if listen.ip().is_loopback() {
        return Ok(());
    }
    let (tls, auth) = (config.tls.cert.is_some(), config.auth.enabled);
    let lacks = match (tls, auth) {
        (true, true) => return Ok(()),
        (false, false) => "TLS (tls.cert, tls.key) and auth (auth.enabled)",
        (false, true) => "TLS (tls.cert, tls.key)",
        (true, false) => "auth (auth.enabled)",
    };
    if !config.server.insecure_public {
        return Err(Failure::usage(format!(
            "{listen} can be reached from other machines; for that a server needs {lacks}"
        ))
        .next("set it in tutti.toml, listen on 127.0.0.1 behind a proxy, or accept it by --insecure-public"));
    }
    let whoever = if config.tls.requires_certificate() {
        "whoever has a certificate of tls.client_ca"
    } else {
        "whoever reaches it"
    };
    if !auth {
        say(format!("warning: {listen} can be reached from other machines: {whoever} may do everything here"));
    }
    if !tls {
        say(format!(
            "warning: {listen} can be reached from other machines: what is said, tokens too, can be read on the way"
        ));
    }
    Ok(())
}

/// Lets registered agents be on this machine where that gives a caller nothing: whoever may call a server that listens on
/// loopback and asks nobody can reach them as well. What the operator says counts first.
pub fn settle_policy(config: &mut Config) {
    let nearby = config.server.listen.ip().is_loopback() && !config.auth.enabled;
    config.agents.policy.allow_loopback.get_or_insert(nearby);
}

/// How callers are known. Where nobody could be, it is told how somebody can.
///
/// # Errors
/// A store that cannot be read.
pub async fn auth(config: &Config, access: Arc<dyn Access>, named: &str) -> Result<Auth> {
    if !config.auth.enabled {
        return Ok(Auth::off());
    }
    let now = SystemClock.now();
    let tokens = access.list_tokens().await?;
    let counts = tokens.iter().any(|token| token.revoked_at.is_none() && token.expires_at.is_none_or(|at| now < at));
    if !counts && config.auth.certificates.is_empty() {
        say("nobody can call this server yet: there is no token");
        say(format!("next:  stop it, and make one by: tutti token create --role admin{named}"));
    }
    Ok(Auth::on(access, config.auth.callers()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(listen: &str, tls: bool, auth: bool, insecure: bool) -> bool {
        let mut config = Config::default();
        config.server.listen = listen.parse().unwrap();
        config.server.insecure_public = insecure;
        config.tls.cert = tls.then(|| "server.pem".into());
        config.auth.enabled = auth;
        check_address(&config).is_ok()
    }

    #[test]
    fn other_machines_reach_a_server_by_tls_and_auth_or_by_a_word() {
        for loopback in ["127.0.0.1:1", "[::1]:1"] {
            assert!(allowed(loopback, false, false, false));
        }
        for public in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:127.0.0.1]:1"] {
            assert!(allowed(public, true, true, false));
            assert!(!allowed(public, true, false, false) && !allowed(public, false, true, false));
            assert!(!allowed(public, false, false, false));
            assert!(allowed(public, false, false, true));
        }
    }
}
