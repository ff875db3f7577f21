//! One engine at a time, or servers that share: a lock that the database holds for a session.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tutti_core::ports::store::StoreError;

use crate::connections::connect;
use crate::error::classify;
use crate::hosts::{Hosts, Session};

/// The key of the lock ("TUTT") and what it is for.
const LOCK: (i32, i32) = (0x5455_5454, 1);

/// How long the lock may take to become free: the session of an engine that died ends a moment later.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often is asked whether the session still lives, and how soon it must answer.
const CHECK: Duration = Duration::from_secs(2);

/// With whom an engine shares a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody.
    Alone,
    /// With those who share it too.
    Shared,
}

/// Keeps engines away from a database for as long as it lives: all others, or those that want it alone.
///
/// It keeps mistakes away and no more: when its session is lost, another engine may get it, and what keeps histories whole
/// is the epoch in each run's guard.
#[derive(Debug)]
pub struct EngineLock {
    keeper: JoinHandle<()>,
}

impl EngineLock {
    /// Takes the lock.
    pub async fn take(hosts: Hosts, sharing: Sharing) -> Result<Self, StoreError> {
        let give_up = Instant::now() + PATIENCE;
        let mut db = connect(&hosts).await?.db;
        let mut wait = Duration::from_millis(2);
        loop {
            if try_lock(&mut db, sharing).await.map_err(|error| classify(&error))? {
                return Ok(Self { keeper: tokio::spawn(keep(db, hosts, sharing)) });
            }
            if Instant::now() >= give_up {
                let owner = owner(&mut db).await.unwrap_or_default();
                let owner = owner.as_deref().unwrap_or("another engine");
                return Err(StoreError::InUse(format!("{owner} runs on this database")));
            }
            sleep(wait).await;
            wait *= 2;
        }
    }
}

impl Drop for EngineLock {
    /// The session ends with the task.
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Holds the session; gets a new one when it is lost.
async fn keep(mut db: PgConnection, hosts: Hosts, sharing: Sharing) {
    loop {
        while matches!(timeout(CHECK, db.ping()).await, Ok(Ok(()))) {
            sleep(CHECK).await;
        }
        tracing::warn!("the session that keeps other engines away from the database is lost; it is taken again");
        db = retake(&hosts, sharing).await;
    }
}

async fn retake(hosts: &Hosts, sharing: Sharing) -> PgConnection {
    let mut told = false;
    loop {
        if let Ok(Session { mut db, .. }) = connect(hosts).await
            && let Ok(taken) = try_lock(&mut db, sharing).await
        {
            if taken {
                return db;
            }
            if !told {
                tracing::error!("another engine has the database; runs that it takes over are lost to this one");
                told = true;
            }
        }
        sleep(CHECK).await;
    }
}

async fn try_lock(db: &mut PgConnection, sharing: Sharing) -> sqlx::Result<bool> {
    let statement = match sharing {
        Sharing::Alone => "SELECT pg_try_advisory_lock($1, $2)",
        Sharing::Shared => "SELECT pg_try_advisory_lock_shared($1, $2)",
    };
    let locked = sqlx::query(statement).bind(LOCK.0).bind(LOCK.1).fetch_one(db).await?;
    locked.try_get(0)
}

/// Who has the lock, as far as this role may see it.
async fn owner(db: &mut PgConnection) -> sqlx::Result<Option<String>> {
    let found = sqlx::query(
        "SELECT concat_ws(' at ', a.application_name, host(a.client_addr)) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND l.classid = $1::int8::oid AND l.objid = $2::int8::oid
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .bind(i64::from(LOCK.0))
    .bind(i64::from(LOCK.1))
    .fetch_optional(db)
    .await?;
    let name: Option<String> = found.map(|row| row.try_get(0)).transpose()?;
    Ok(name.filter(|name| !name.is_empty()))
}
