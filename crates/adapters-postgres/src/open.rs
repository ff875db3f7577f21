//! What a database must be like.

use sqlx::{PgConnection, Row as _};
use tutti_core::ports::store::StoreError;

use crate::error::classify;

/// The oldest server that is tested.
const OLDEST: i32 = 150_000;

/// Settings by which a server can lose what it acknowledged.
pub const DURABILITY: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

/// Checks the server's version and how it keeps texts.
pub async fn check_server(db: &mut PgConnection) -> Result<(), StoreError> {
    let version: i32 = setting(db, "server_version_num").await?.parse().unwrap_or(0);
    if version < OLDEST {
        let (version, oldest) = (version / 10_000, OLDEST / 10_000);
        return Err(StoreError::Permanent(format!("it is PostgreSQL {version}, and {oldest} or newer is needed")));
    }
    let encoding = setting(db, "server_encoding").await?;
    if encoding != "UTF8" {
        return Err(StoreError::Permanent(format!("it keeps texts as {encoding}, and UTF8 is needed")));
    }
    Ok(())
}

/// Refuses a server that only reads, or can lose what it acknowledged.
pub async fn check_writes(db: &mut PgConnection, allow_unsafe: bool) -> Result<(), StoreError> {
    if setting(db, "transaction_read_only").await? == "on" {
        let reason = "it only reads: it is a standby, or `default_transaction_read_only` is on";
        return Err(StoreError::Unavailable(reason.to_owned()));
    }
    for name in DURABILITY {
        if setting(db, name).await? != "off" {
            continue;
        }
        if !allow_unsafe {
            return Err(StoreError::Permanent(format!(
                "`{name}` is off, so that it can lose what it acknowledged; \
                 if that may be, add unsafe_durability=true to its address"
            )));
        }
        tracing::warn!("`{name}` is off in the database: what it acknowledged can be lost");
    }
    Ok(())
}

async fn setting(db: &mut PgConnection, name: &str) -> Result<String, StoreError> {
    let row = sqlx::query("SELECT current_setting($1)").bind(name).fetch_one(db).await;
    row.and_then(|row| row.try_get(0)).map_err(|error| classify(&error))
}
