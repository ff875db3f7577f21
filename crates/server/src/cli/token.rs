//! `tutti token`: who may call a server. At a server as its caller may, in a local store as its owner.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use tutti_core::ids::{Namespace, RequestId};
use tutti_core::ports::clock::Clock as _;
use tutti_core::ports::inbound::access::{Access as _, Caller, CreateToken, CreatedToken, Role, TokenInfo};
use tutti_core::report::rfc3339;
use tutti_core::time::{Span, Timestamp};
use tutti_engine::AccessService;

use super::operate::confirm;
use super::table::table;
use super::{At, Global, TextOrJson, by};
use crate::clock::SystemClock;
use crate::exit::{Exit, Result};
use crate::output::{answer, answer_json, say};
use crate::remote;

#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a token and print it: it is told this once.
    Create(CreateArgs),
    /// List tokens, without their text.
    List(ListArgs),
    /// Revoke a token.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The name under which what its bearer does is recorded. Default: yours.
    #[arg(long)]
    name: Option<String>,
    /// What its bearer may do: reader, operator, author or admin; each may do what those before it may.
    #[arg(long)]
    role: Role,
    /// The namespace in which it may do that. Default: every one that the caller may name.
    #[arg(long, value_name = "NAME")]
    namespace: Option<Namespace>,
    /// How long it counts, such as 12h or 30d. Default: until it is revoked.
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    expires_in: Option<Span>,
    /// A UUID of the caller's for this request: one makes one token.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: At,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: At,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// The token, by its id.
    id: String,
    /// Why; recorded in the server's log.
    #[arg(long, default_value = "revoked")]
    reason: String,
    /// A UUID of the caller's for this request.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
    /// Do not ask before.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    source: At,
}

/// A token as JSON.
#[derive(Serialize)]
struct Shown<'t> {
    id: &'t str,
    name: &'t str,
    role: Role,
    /// Null: every one.
    namespace: Option<&'t Namespace>,
    created_at: String,
    created_by: &'t str,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    /// Only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'t str>,
}

#[derive(Serialize)]
struct Page<'t> {
    tokens: Vec<Shown<'t>>,
}

/// # Errors
/// What the server or the store refuses.
pub async fn execute(args: TokenArgs, global: &Global) -> Result<Exit> {
    match args.verb {
        Verb::Create(args) => create(args, global).await?,
        Verb::List(args) => list(args, global).await?,
        Verb::Revoke(args) => revoke(args, global).await?,
    }
    Ok(Exit::Done)
}

async fn create(args: CreateArgs, global: &Global) -> Result<()> {
    let request = CreateToken {
        request: args.request_id.unwrap_or_else(|| SystemClock.request_id()),
        caller: Caller { name: args.name.unwrap_or_else(user), role: args.role, namespace: args.namespace },
        expires_at: args.expires_in.map(|span| SystemClock.now().plus(span.0)),
        by: by(),
    };
    let created = match &args.source.server {
        Some(url) => {
            let client = remote::client(url)?;
            client.create_token(request).await.map_err(|error| remote::failure(url, error))?
        }
        None => local(global).await?.create_token(request).await?,
    };
    match args.output {
        TextOrJson::Json => answer_json(&shown(&created.info, Some(&created.token))),
        TextOrJson::Text => told(&created),
    }
}

fn told(created: &CreatedToken) -> Result<()> {
    let TokenInfo { id, caller, expires_at, .. } = &created.info;
    let place = caller.namespace.as_ref().map_or("every namespace".to_owned(), |name| format!("namespace {name}"));
    let end = expires_at.map(|at| format!(", until {}", rfc3339(at))).unwrap_or_default();
    answer(&format!("{}\n", created.token))?;
    say(format!("token {id}: {} is {} in {place}{end}", caller.name, caller.role));
    say("keep it: it is not told again");
    Ok(())
}

async fn list(args: ListArgs, global: &Global) -> Result<()> {
    let tokens = match &args.source.server {
        Some(url) => {
            let client = remote::client(url)?;
            client.list_tokens().await.map_err(|error| remote::failure(url, error))?
        }
        None => {
            let records = global.store.open_documents().await?;
            AccessService::new(records, Arc::new(SystemClock)).list_tokens().await?
        }
    };
    if args.output == TextOrJson::Json {
        return answer_json(&Page { tokens: tokens.iter().map(|token| shown(token, None)).collect() });
    }
    if tokens.is_empty() {
        say("no tokens");
        return Ok(());
    }
    let now = SystemClock.now();
    let row = |token: &TokenInfo| {
        let Caller { name, role, namespace } = &token.caller;
        let namespace = namespace.as_ref().map_or("*", Namespace::as_str);
        [&token.id, name, role.as_str(), namespace, &state(token, now), &token.created_by]
            .map(ToString::to_string)
            .to_vec()
    };
    let rows: Vec<_> = tokens.iter().map(row).collect();
    answer(&table(&["ID", "NAME", "ROLE", "NAMESPACE", "STATE", "BY"], &rows))
}

async fn revoke(args: RevokeArgs, global: &Global) -> Result<()> {
    if !args.yes {
        confirm(&format!("revoke token {}?", args.id))?;
    }
    let revoked = match &args.source.server {
        Some(url) => {
            let client = remote::client(url)?;
            let request = args.request_id.unwrap_or_else(|| SystemClock.request_id());
            client.revoke_token(&args.id, request, &args.reason).await.map_err(|error| remote::failure(url, error))?
        }
        None => local(global).await?.revoke_token(&args.id).await?,
    };
    say(format!("token {} is revoked{}", args.id, if revoked { "" } else { ", as before" }));
    Ok(())
}

/// The tokens of the store, which no server may have.
async fn local(global: &Global) -> Result<AccessService> {
    let store = global.store.open_for_keeping().await?;
    Ok(AccessService::new(store.records, Arc::new(SystemClock)))
}

/// Who sits at this terminal.
pub fn user() -> String {
    std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// By the day, so that a line fits a terminal; JSON tells the moment.
fn state(token: &TokenInfo, now: Timestamp) -> String {
    let day = |at| rfc3339(at).chars().take("2026-01-31".len()).collect::<String>();
    match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {}", day(at)),
        (None, Some(at)) if at <= now => format!("expired {}", day(at)),
        (None, Some(at)) => format!("until {}", day(at)),
        (None, None) => "counts".to_owned(),
    }
}

fn shown<'t>(info: &'t TokenInfo, token: Option<&'t str>) -> Shown<'t> {
    Shown {
        id: &info.id,
        name: &info.caller.name,
        role: info.caller.role,
        namespace: info.caller.namespace.as_ref(),
        created_at: rfc3339(info.created_at),
        created_by: &info.created_by,
        expires_at: info.expires_at.map(rfc3339),
        revoked_at: info.revoked_at.map(rfc3339),
        token,
    }
}
