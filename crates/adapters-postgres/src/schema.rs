//! The tables, and how databases of older versions come to have them.

use std::borrow::Cow;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, Row as _, SqlSafeStr as _};
use tutti_core::ports::store::StoreError;

use crate::error::classify;

/// Which migrations a database has.
const TABLE: &str = "tutti_migration";

macro_rules! migrations {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../migrations/postgres/", $name, ".sql")))),+]
    };
}

/// All of them by name and statements, in order; the first is version 1. Released ones never change: add another.
const MIGRATIONS: &[(&str, &str)] = migrations![
    "0001_store",
    "0002_history",
    "0003_servers",
    "0004_queue",
    "0005_retention",
    "0006_upgrades",
    "0007_recovery",
    "0008_orchestration"
];

/// Version of the tables that this build makes.
pub const TABLES: usize = MIGRATIONS.len();

/// What [`migrate`](crate::migrate) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Version of the tables before; 0 if there were none.
    pub from: usize,
    /// Version of the tables now.
    pub to: usize,
}

/// Brings a database to this build's tables. Of several at once, one does it and the others wait.
pub async fn migrate(db: &mut PgConnection) -> Result<Migrated, StoreError> {
    let from = applied(db, MIGRATIONS).await?;
    // Newer tables that this build works with stay as they are.
    if from < MIGRATIONS.len() {
        migrator(MIGRATIONS).run_direct(None, &mut *db, false).await.map_err(failed)?;
    }
    Ok(Migrated { from, to: from.max(MIGRATIONS.len()) })
}

/// Checks that a database has tables that this build works with: its own, or newer ones that say so.
pub async fn check(db: &mut PgConnection) -> Result<(), StoreError> {
    match applied(db, MIGRATIONS).await? {
        0 => Err(StoreError::Permanent("it has no tables yet: `tutti migrate` makes them".to_owned())),
        version if version < MIGRATIONS.len() => Err(StoreError::Permanent(format!(
            "it has version {version} of the tables and this build needs version {}: `tutti migrate` brings it there",
            MIGRATIONS.len()
        ))),
        _ => Ok(()),
    }
}

/// The tables, indexes and views that the migrations make.
pub fn relations() -> Vec<String> {
    let words = |sql: &'static str| sql.lines().filter(|line| line.starts_with("CREATE ") || line.starts_with("DROP "));
    let mut names: Vec<String> = Vec::new();
    for line in MIGRATIONS.iter().flat_map(|(_, sql)| words(sql)) {
        let mut words = line.split_whitespace().map(|word| word.trim_end_matches(';'));
        let makes = words.next() == Some("CREATE");
        // `OR REPLACE`, `UNIQUE` and `CONCURRENTLY` stand between the verb and the name.
        let name = words.skip_while(|word| !matches!(*word, "TABLE" | "INDEX" | "VIEW")).nth(1).unwrap_or_default();
        names.retain(|known| known != name);
        if makes && !name.is_empty() {
            names.push(name.to_owned());
        }
    }
    names
}

fn migrator(migrations: &[(&'static str, &'static str)]) -> Migrator {
    let migrations = (1..).zip(migrations).map(|(version, (name, sql))| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // Of our own: other programs may keep theirs by the same means.
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// How many migrations a database has; refuses one that got there another way, or is newer than what this build works with.
async fn applied(db: &mut PgConnection, migrations: &[(&'static str, &'static str)]) -> Result<usize, StoreError> {
    let error = |error: sqlx::Error| classify(&error);
    let known = sqlx::query("SELECT to_regclass($1) IS NOT NULL").bind(TABLE).fetch_one(&mut *db).await;
    if !known.and_then(|row| row.try_get(0)).map_err(error)? {
        return Ok(0);
    }
    let rows = sqlx::query("SELECT version, description, checksum FROM tutti_migration ORDER BY version")
        .fetch_all(&mut *db)
        .await
        .and_then(|rows| rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect());
    let rows: Vec<(i64, String, Vec<u8>)> = rows.map_err(error)?;
    if rows.len() > migrations.len() {
        let oldest = oldest(db).await?;
        if oldest > migrations.len() {
            return Err(StoreError::Permanent(format!(
                "it was written by a newer version of Tutti: it has version {} of the tables, for programs that know \
                 version {oldest}, and this build knows up to {}",
                rows.len(),
                migrations.len()
            )));
        }
    }
    for (ours, (version, name, sum)) in migrator(migrations).iter().zip(&rows) {
        if *version != ours.version || *sum != *ours.checksum {
            return Err(StoreError::Permanent(format!(
                "its tables were changed by \"{name}\" (version {version}), which is not this build's \"{}\"",
                ours.description
            )));
        }
    }
    Ok(rows.len())
}

/// The oldest version of the tables whose programs work with those of a database.
async fn oldest(db: &mut PgConnection) -> Result<usize, StoreError> {
    let oldest = sqlx::query("SELECT oldest FROM compatibility").fetch_one(db).await;
    let oldest: i32 = oldest.and_then(|row| row.try_get(0)).map_err(|error| classify(&error))?;
    Ok(usize::try_from(oldest).unwrap_or(usize::MAX))
}

fn failed(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => match classify(&error) {
            StoreError::Permanent(text) => StoreError::Permanent(format!("its tables could not be made: {text}")),
            other => other,
        },
        other => StoreError::Permanent(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_migrations_make_is_known_by_name() {
        let names = relations();
        for name in ["run", "run_view_namespace", "event", "history", "inbox_slot", "slot"] {
            assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
        }
        let made =
            MIGRATIONS.iter().flat_map(|(_, sql)| sql.lines()).filter(|line| line.starts_with("CREATE ")).count();
        assert!(names.len() <= made && names.iter().all(|name| name.starts_with(|c: char| c.is_ascii_lowercase())));
    }

    #[test]
    fn migrations_say_whether_older_programs_survive_them() {
        let made = MIGRATIONS.iter().position(|(_, sql)| sql.contains("CREATE TABLE compatibility")).unwrap();
        for (name, sql) in &MIGRATIONS[made..] {
            assert!(sql.contains("compatib"), "{name} does not");
        }
    }
}
