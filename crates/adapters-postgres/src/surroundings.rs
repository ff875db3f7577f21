//! What stands around the runs of a database: its clock, its settings, its tables, and who else uses it.

use sqlx::{PgConnection, Row as _};
use tutti_core::ports::inspect::{Surroundings, Trouble};
use tutti_core::time::Timestamp;

use crate::connections::Outcome;
use crate::open::DURABILITY;
use crate::schema;

/// How old in seconds a transaction is that is told of: one that does nothing, and one that works.
const OLD: (f64, f64) = (60.0, 900.0);

/// Age in transactions from which the numbers of transactions may run out before long; the end is near 2,000 million.
const AGED: i64 = 1_000_000_000;

/// Most troubles of a sort.
const MOST: i64 = 5;

/// Looks at it all. With `allows_unsafe`, what can lose acknowledged commits is a note.
pub async fn look(db: &mut PgConnection, allows_unsafe: &bool) -> Outcome<Surroundings> {
    let row =
        sqlx::query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").fetch_one(&mut *db).await?;
    let now = Timestamp::from_micros(row.try_get(0)?);
    let mut troubles = Vec::new();
    settings(db, *allows_unsafe, &mut troubles).await?;
    tables(db, &mut troubles).await?;
    transactions(db, OLD, &mut troubles).await?;
    limits(db, &mut troubles).await?;
    Ok(Ok(Surroundings { now, troubles }))
}

fn wrong(check: &'static str, detail: String, next: &str) -> Trouble {
    Trouble { check, wrong: true, detail, next: next.to_owned() }
}

fn note(check: &'static str, detail: String, next: &str) -> Trouble {
    Trouble { wrong: false, ..wrong(check, detail, next) }
}

/// Settings by which the database can lose or damage what it holds, or slows down with time.
async fn settings(db: &mut PgConnection, allows_unsafe: bool, troubles: &mut Vec<Trouble>) -> sqlx::Result<()> {
    for name in DURABILITY {
        if setting(db, name).await? == "off" {
            let detail = format!("`{name}` is off: the database can lose what it acknowledged");
            let next = format!("set {name} = on; look also at ALTER ROLE and ALTER DATABASE … SET");
            troubles.push(Trouble { wrong: !allows_unsafe, ..wrong("settings", detail, &next) });
        }
    }
    for name in ["zero_damaged_pages", "ignore_checksum_failure"] {
        if setting(db, name).await? == "on" {
            let detail = format!("`{name}` is on: damaged pages are read as if they were sound");
            troubles.push(wrong("settings", detail, &format!("set {name} = off; restore what is damaged from a copy")));
        }
    }
    for name in ["autovacuum", "track_counts"] {
        if setting(db, name).await? == "off" {
            let detail =
                format!("`{name}` is off: dead rows are not cleaned up, and the database gets slower and larger");
            troubles.push(wrong("settings", detail, &format!("set {name} = on")));
        }
    }
    if sqlx::query("SELECT pg_is_in_recovery()").fetch_one(db).await?.try_get(0)? {
        let detail = "it is a standby: what is seen here may be older than what servers were told".to_owned();
        troubles.push(note("database", detail, "look at the primary"));
    }
    Ok(())
}

/// Tables and indexes that are missing or cannot be used, and checksums that failed.
async fn tables(db: &mut PgConnection, troubles: &mut Vec<Trouble>) -> sqlx::Result<()> {
    let names: Vec<String> = schema::relations();
    let missing = sqlx::query("SELECT name FROM unnest($1::text[]) name WHERE to_regclass(quote_ident(name)) IS NULL")
        .bind(&names)
        .fetch_all(&mut *db)
        .await?;
    for row in &missing {
        let detail = format!("{} is not there", row.try_get::<&str, _>(0)?);
        troubles.push(wrong(
            "tables",
            detail,
            "restore the database from a copy, or make it anew as migrations/postgres does",
        ));
    }
    let unusable = sqlx::query(
        "SELECT i.indexrelid::regclass::text FROM pg_index i
         WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
           AND i.indrelid = ANY(SELECT to_regclass(quote_ident(name)) FROM unnest($1::text[]) name)",
    )
    .bind(&names)
    .fetch_all(&mut *db)
    .await?;
    for row in &unusable {
        let index: &str = row.try_get(0)?;
        troubles.push(wrong(
            "tables",
            format!("index {index} cannot be used"),
            &format!("REINDEX INDEX CONCURRENTLY {index}"),
        ));
    }
    let failures =
        sqlx::query("SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()")
            .fetch_optional(db)
            .await?;
    let failures: i64 = failures.map_or(Ok(0), |row| row.try_get(0))?;
    if failures > 0 {
        let detail =
            format!("{failures} pages did not have their checksum: the disk or the memory of its machine is not sound");
        troubles.push(wrong("tables", detail, "look into the log of the database; restore it on another machine"));
    }
    Ok(())
}

/// Transactions that stay open: they hold locks, and keep dead rows from being cleaned up.
async fn transactions(db: &mut PgConnection, old: (f64, f64), troubles: &mut Vec<Trouble>) -> sqlx::Result<()> {
    let (idle, works) = old;
    let old = sqlx::query(
        "SELECT pid, coalesce(usename, '?'), coalesce(nullif(application_name, ''), '?'), state,
            extract(epoch FROM clock_timestamp() - xact_start)::bigint
         FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
           AND clock_timestamp() - xact_start > make_interval(secs => CASE WHEN state = 'active' THEN $2 ELSE $1 END)
         ORDER BY xact_start LIMIT $3",
    )
    .bind(idle)
    .bind(works)
    .bind(MOST)
    .fetch_all(&mut *db)
    .await?;
    for row in &old {
        let (pid, state, age): (i32, &str, i64) = (row.try_get(0)?, row.try_get(3)?, row.try_get(4)?);
        let (user, program): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
        let detail = format!("session {pid} of {user} ({program}) is in one transaction for {age} s, now {state}");
        let next = format!("end it, or: SELECT pg_terminate_backend({pid})");
        troubles.push(Trouble { wrong: state != "active", ..wrong("transactions", detail, &next) });
    }
    let prepared = sqlx::query(
        "SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::bigint FROM pg_prepared_xacts
         WHERE database = current_database() AND clock_timestamp() - prepared > make_interval(secs => $1) LIMIT $2",
    )
    .bind(idle)
    .bind(MOST)
    .fetch_all(&mut *db)
    .await?;
    for row in &prepared {
        let (name, age): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
        let detail = format!("prepared transaction {name} waits for {age} s for somebody to end it");
        troubles.push(wrong("transactions", detail, "COMMIT PREPARED or ROLLBACK PREPARED; Tutti prepares none"));
    }
    let hidden = sqlx::query(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type IS NULL AND usename <> current_user",
    );
    let hidden: i64 = hidden.fetch_one(db).await?.try_get(0)?;
    if hidden > 0 {
        let detail = format!("{hidden} sessions of other roles are not shown to this one");
        troubles.push(note("transactions", detail, "GRANT pg_read_all_stats to the role, to have them looked at"));
    }
    Ok(())
}

/// What may run out.
async fn limits(db: &mut PgConnection, troubles: &mut Vec<Trouble>) -> sqlx::Result<()> {
    let row = sqlx::query(
        "SELECT (SELECT age(datfrozenxid)::bigint FROM pg_database WHERE datname = current_database()),
            (SELECT sum(numbackends)::bigint FROM pg_stat_database),
            current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint",
    )
    .fetch_one(db)
    .await?;
    let (age, sessions, most): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if age > AGED {
        let detail =
            format!("its oldest rows are {} million transactions old: the numbers run out at 2,000", age / 1_000_000);
        troubles.push(wrong("database", detail, "VACUUM FREEZE; look why autovacuum does not get there"));
    }
    if sessions * 10 > most * 9 {
        let detail = format!("{sessions} of {most} sessions are taken; a server needs up to 23");
        troubles.push(note("database", detail, "raise max_connections, or have fewer servers"));
    }
    Ok(())
}

async fn setting(db: &mut PgConnection, name: &str) -> sqlx::Result<String> {
    sqlx::query("SELECT current_setting($1)").bind(name).fetch_one(db).await?.try_get(0)
}

#[cfg(test)]
mod tests {
    use sqlx::Executor as _;
    use tutti_testkit::postgres::{Database, Server};

    use super::*;
    use crate::address::{Address, Purpose};
    use crate::connections::connect;

    #[tokio::test]
    async fn transactions_that_stay_open_are_named() {
        let server = Server::start(&["fsync=off", "max_prepared_transactions=2"]);
        let database = Database::fresh_in(&server.url());
        let address: Address = database.url().parse().unwrap();
        let mut sessions = Vec::new();
        for _ in 0..3 {
            sessions.push(connect(&address.sessions(Purpose::Migrate)).await.unwrap().db);
        }
        let [idle, prepared, own] = &mut sessions[..] else { unreachable!("there are three") };
        idle.execute("BEGIN; SELECT 1").await.unwrap();
        prepared.execute("BEGIN; CREATE TABLE t (x int); PREPARE TRANSACTION 'left behind'").await.unwrap();
        let mut troubles = Vec::new();
        transactions(own, OLD, &mut troubles).await.unwrap();
        assert_eq!(troubles, [], "they are not old");
        transactions(own, (0.0, 0.0), &mut troubles).await.unwrap();
        let told: Vec<&str> = troubles.iter().map(|trouble| trouble.detail.as_str()).collect();
        assert!(told.iter().any(|told| told.contains("idle in transaction")), "{told:?}");
        assert!(told.iter().any(|told| told.contains("left behind")), "{told:?}");
        assert!(troubles.iter().all(|trouble| trouble.wrong));
    }
}
