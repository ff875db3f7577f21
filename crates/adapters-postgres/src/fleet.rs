//! Which server has which slots, by the clock of the database.
//!
//! Whoever takes slots of a server whose lease is over holds that server's row meanwhile, and whoever renews his lease reads
//! his slots afterwards: what a server is told to hold nobody can take from it before its lease is over.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use tutti_core::ids::ServerId;
use tutti_core::ports::fleet::{Member, Standing};

use crate::connections::{Connections, Outcome};
use crate::hosts::{Hosts, timeline, timeline_numbers};
use crate::rows;

/// Longest that a call may take: less than a third of a usual lease, so that there is time for another.
const LONGEST: Duration = Duration::from_secs(3);

/// Connections of their own: no number of commits and lists can hold up a renewal, nor can anybody who waits for a slot.
#[derive(Debug)]
pub struct Lines {
    /// For renewals.
    pub renewals: Connections,
    /// For everything else.
    pub changes: Connections,
}

impl Lines {
    /// None is made yet.
    pub fn new(hosts: &Hosts) -> Self {
        let line = || Connections::new(hosts.clone(), 1, LONGEST);
        Self { renewals: line(), changes: line() }
    }
}

/// Takes part under an id, in the place of who did so before. His slots are named by the id, and so need no change.
pub async fn join(db: &mut PgConnection, (server, lease, reads): &(ServerId, Duration, u16)) -> Outcome<Member> {
    // Servers that did not come back. One that has slots is kept until they are taken.
    sqlx::query(
        "DELETE FROM server d USING (
            SELECT id FROM server s WHERE lease_until < clock_timestamp() - INTERVAL '7 days' AND id <> $1
              AND NOT EXISTS (SELECT FROM slot WHERE slot.server = s.id)
            FOR UPDATE SKIP LOCKED
         ) old WHERE d.id = old.id",
    )
    .bind(server.as_str())
    .execute(&mut *db)
    .await?;
    let row = sqlx::query(concat!(
        "INSERT INTO server AS s (id, incarnation, lease_until, lease_us, reads)
         VALUES ($1, greatest(1, ",
        timeline_numbers!(),
        "), clock_timestamp() + $2 * INTERVAL '1 microsecond', $2, $3)
         ON CONFLICT (id) DO UPDATE SET incarnation = greatest(s.incarnation + 1, excluded.incarnation),
            lease_us = excluded.lease_us, reads = excluded.reads,
            lease_until = clock_timestamp() + excluded.lease_us * INTERVAL '1 microsecond'
         RETURNING incarnation"
    ))
    .bind(server.as_str())
    .bind(rows::at_most(lease.as_micros()))
    .bind(i32::from(*reads))
    .fetch_one(db)
    .await?;
    Ok(Ok(Member { server: server.clone(), incarnation: rows::number(&row, 0)?, lease: *lease }))
}

/// Renews a lease. Two statements, and not one: the slots are read when nobody can take them any more.
pub async fn renew(db: &mut PgConnection, member: &Member) -> Outcome<Standing> {
    let (id, incarnation) = key(member);
    sqlx::query(
        "UPDATE server SET lease_until = clock_timestamp() + lease_us * INTERVAL '1 microsecond'
         WHERE id = $1 AND incarnation = $2 AND lease_us IS NOT NULL",
    )
    .bind(id)
    .bind(incarnation)
    .execute(&mut *db)
    .await?;
    let found = sqlx::query(concat!(
        "SELECT ARRAY(SELECT slot FROM slot WHERE server = $1),
                others.count + 1, least(me.reads, others.reads), coalesce(",
        timeline!(),
        ", 0)
         FROM server me,
              (SELECT count(*) AS count, min(reads) AS reads FROM server
               WHERE lease_until > clock_timestamp() AND id <> $1) others
         WHERE me.id = $1 AND me.incarnation = $2 AND me.lease_us IS NOT NULL"
    ))
    .bind(id)
    .bind(incarnation)
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = found else { return gone(db, member).await };
    let (servers, reads, timeline) = (rows::number(&row, 1)?, rows::small(&row, 2)?, rows::number(&row, 3)?);
    Ok(Ok(Standing::Holds { slots: slots(row.try_get(0)?)?, servers, reads, timeline }))
}

/// Why there is no lease to renew. Numbers of servers only rise: who finds a smaller one than his own, or none, was not replaced.
async fn gone(db: &mut PgConnection, member: &Member) -> Outcome<Standing> {
    let (id, incarnation) = key(member);
    let found = sqlx::query("SELECT FROM server WHERE id = $1 AND incarnation >= $2").bind(id).bind(incarnation);
    let is_known = found.fetch_optional(db).await?.is_some();
    Ok(Ok(if is_known { Standing::Replaced } else { Standing::Unknown }))
}

/// Takes slots that are free. Whatever another call is about to change is passed over, so that nobody waits for anybody.
pub async fn take(db: &mut PgConnection, (member, most): &(Member, usize)) -> Outcome<BTreeSet<u16>> {
    let (id, incarnation) = key(member);
    let taken = sqlx::query(
        "WITH me AS MATERIALIZED (
            SELECT id FROM server WHERE id = $1 AND incarnation = $2 AND lease_until > clock_timestamp() FOR SHARE
         ), over AS MATERIALIZED (
            SELECT id FROM server WHERE lease_until <= clock_timestamp() FOR SHARE SKIP LOCKED
         ), free AS MATERIALIZED (
            SELECT slot FROM slot WHERE EXISTS (SELECT FROM me) AND (server IS NULL OR server IN (SELECT id FROM over))
            ORDER BY slot LIMIT $3 FOR UPDATE SKIP LOCKED
         )
         UPDATE slot s SET server = $1 FROM free WHERE s.slot = free.slot RETURNING s.slot",
    )
    .bind(id)
    .bind(incarnation)
    .bind(rows::at_most(*most))
    .fetch_all(db)
    .await?;
    let taken = taken.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<Vec<_>>>()?;
    Ok(Ok(slots(taken)?))
}

/// Gives up slots.
pub async fn give_up(db: &mut PgConnection, (member, slots): &(Member, BTreeSet<u16>)) -> Outcome<()> {
    let (id, incarnation) = key(member);
    sqlx::query(
        "WITH me AS MATERIALIZED (SELECT id FROM server WHERE id = $1 AND incarnation = $2 FOR SHARE),
         held AS MATERIALIZED (
            SELECT slot FROM slot WHERE EXISTS (SELECT FROM me) AND server = $1 AND slot = ANY($3) ORDER BY slot FOR UPDATE
         )
         UPDATE slot s SET server = NULL FROM held WHERE s.slot = held.slot",
    )
    .bind(id)
    .bind(incarnation)
    .bind(slots.iter().map(|slot| i32::from(*slot)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(Ok(()))
}

/// Leaves. The row stays for a while, for the number that the next one under its id gets.
pub async fn leave(db: &mut PgConnection, member: &Member) -> Outcome<()> {
    let (id, incarnation) = key(member);
    sqlx::query(
        "WITH me AS (
            UPDATE server SET lease_until = clock_timestamp(), lease_us = NULL WHERE id = $1 AND incarnation = $2
            RETURNING id
         ), held AS MATERIALIZED (
            SELECT slot FROM slot WHERE EXISTS (SELECT FROM me) AND server = $1 ORDER BY slot FOR UPDATE
         )
         UPDATE slot s SET server = NULL FROM held WHERE s.slot = held.slot",
    )
    .bind(id)
    .bind(incarnation)
    .execute(db)
    .await?;
    Ok(Ok(()))
}

fn key(member: &Member) -> (&str, i64) {
    (member.server.as_str(), rows::compared(member.incarnation))
}

fn slots(kept: Vec<i32>) -> sqlx::Result<BTreeSet<u16>> {
    let slot = |kept| u16::try_from(kept).map_err(|_| sqlx::Error::Decode(format!("{kept} is no slot").into()));
    kept.into_iter().map(slot).collect()
}
