//! The tables, and how files of older versions come to have them.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use tutti_core::ports::store::StoreError;
use tutti_core::value::Digest;

use crate::error::classify;

/// A change of the tables.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($name:literal),+ $(,)?) => {
        &[$(Migration {
            name: $name,
            sql: include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
        }),+]
    };
}

/// All of them, in order; the first is version 1. Released ones never change: add another.
const MIGRATIONS: &[Migration] = migrations![
    "0001_store",
    "0002_history",
    "0003_commands",
    "0004_documents",
    "0005_inbox",
    "0006_queue",
    "0007_retention",
    "0008_upgrades",
    "0009_recovery",
    "0010_orchestration"
];

/// Version of the tables that this build makes.
pub const TABLES: usize = MIGRATIONS.len();

/// Marks the file as one of ours ("TUTT"), so that no other program's database is taken for it.
const APPLICATION_ID: i32 = 0x5455_5454;

/// Brings a file to this build's tables; an empty one gets them all.
pub fn migrate(db: &mut Connection) -> Result<(), StoreError> {
    migrate_to(db, MIGRATIONS)
}

/// Checks that a file has tables that this build works with: its own, or newer ones that say so.
pub fn check(db: &Connection) -> Result<(), StoreError> {
    match applied(db, MIGRATIONS)? {
        0 => Err(StoreError::Permanent("it holds no runs yet, and nothing has written to it".to_string())),
        version if version < MIGRATIONS.len() => Err(StoreError::Permanent(format!(
            "it has version {version} of the tables and this build reads version {}: open it for writing once",
            MIGRATIONS.len()
        ))),
        _ => Ok(()),
    }
}

/// A database of its own with this build's tables, to compare others with.
pub fn fresh() -> Result<Connection, StoreError> {
    let mut db = Connection::open_in_memory().map_err(|error| classify(&error))?;
    migrate(&mut db)?;
    Ok(db)
}

fn migrate_to(db: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    let version = applied(db, migrations)?;
    for (number, migration) in (1_u32..).zip(migrations).skip(version) {
        apply(db, number, migration).map_err(|error| classify(&error))?;
    }
    Ok(())
}

fn apply(db: &mut Connection, number: u32, migration: &Migration) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if number == 1 {
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.execute_batch(
            "CREATE TABLE migration (
                version    INTEGER PRIMARY KEY,
                name       TEXT NOT NULL,
                checksum   TEXT NOT NULL, -- SHA-256 of its SQL
                applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
            ) STRICT",
        )?;
    }
    tx.execute_batch(migration.sql)?;
    tx.execute(
        "INSERT INTO migration (version, name, checksum) VALUES (?, ?, ?)",
        (number, migration.name, checksum(migration)),
    )?;
    tx.commit()
}

/// How many migrations a file has; refuses one that is not ours, got there another way, or is newer than what this build works
/// with.
fn applied(db: &Connection, migrations: &[Migration]) -> Result<usize, StoreError> {
    let error = |error: rusqlite::Error| classify(&error);
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(error)?;
    let tables: Option<i32> =
        db.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", (), |row| row.get(0)).optional().map_err(error)?;
    if application == 0 && tables.is_none() {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        return Err(StoreError::Permanent("it is a database of another program".to_string()));
    }
    let mut rows = db.prepare("SELECT version, name, checksum FROM migration ORDER BY version").map_err(error)?;
    let rows = rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(error)?;
    let rows: Vec<(usize, String, String)> = rows.collect::<Result<_, _>>().map_err(error)?;
    if rows.len() > migrations.len() {
        let oldest: usize = db.query_row("SELECT oldest FROM compatibility", (), |row| row.get(0)).map_err(error)?;
        if oldest > migrations.len() {
            return Err(StoreError::Permanent(format!(
                "it was written by a newer version of Tutti: it has version {} of the tables, for programs that know \
                 version {oldest}, and this build knows up to {}",
                rows.len(),
                migrations.len()
            )));
        }
    }
    for ((number, migration), (version, name, sum)) in (1..).zip(migrations).zip(&rows) {
        if *version != number || *sum != checksum(migration) {
            return Err(StoreError::Permanent(format!(
                "its tables were changed by \"{name}\" (version {version}), which is not this build's \"{}\"",
                migration.name
            )));
        }
    }
    Ok(rows.len())
}

fn checksum(migration: &Migration) -> String {
    Digest::of(migration.sql.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Migration = Migration { name: "one", sql: "CREATE TABLE a (x INTEGER)" };
    const TWO: Migration =
        Migration { name: "two", sql: "CREATE TABLE b (x INTEGER); CREATE TABLE compatibility AS SELECT 2 AS oldest" };
    const THREE: Migration = Migration { name: "three", sql: "CREATE TABLE c (x INTEGER)" };
    const FOUR: Migration = Migration { name: "four", sql: "DROP TABLE b; UPDATE compatibility SET oldest = 4" };

    fn refusal(result: Result<(), StoreError>) -> String {
        match result {
            Err(StoreError::Permanent(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_migration_is_applied_once() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate_to(&mut db, &[ONE]).unwrap();
        migrate_to(&mut db, &[ONE]).unwrap();
        migrate_to(&mut db, &[ONE, TWO]).unwrap();
        assert_eq!(applied(&db, &[ONE, TWO]), Ok(2));
        db.execute_batch("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)").unwrap();
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        const BAD: Migration = Migration { name: "bad", sql: "CREATE TABLE b (x INTEGER); CREATE TABLE a (x INTEGER)" };
        let mut db = Connection::open_in_memory().unwrap();
        migrate_to(&mut db, &[ONE]).unwrap();
        refusal(migrate_to(&mut db, &[ONE, BAD]));
        migrate_to(&mut db, &[ONE, TWO]).unwrap();
    }

    #[test]
    fn newer_tables_say_for_which_programs_they_are() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate_to(&mut db, &[ONE, TWO, THREE]).unwrap();
        assert_eq!(migrate_to(&mut db, &[ONE, TWO]), Ok(()), "what was added is not in its way");
        assert_eq!(applied(&db, &[ONE, TWO]), Ok(3));
        let refused = refusal(migrate_to(&mut db, &[ONE]));
        assert!(
            refused.contains("version 3 of the tables, for programs that know version 2, and this build knows up to 1")
        );
        migrate_to(&mut db, &[ONE, TWO, THREE, FOUR]).unwrap();
        let refused = refusal(migrate_to(&mut db, &[ONE, TWO, THREE]));
        assert!(refused.contains("newer version of Tutti") && refused.contains("know version 4"), "{refused}");
    }

    #[test]
    fn migrations_say_whether_older_programs_survive_them() {
        let made =
            MIGRATIONS.iter().position(|migration| migration.sql.contains("CREATE TABLE compatibility")).unwrap();
        for migration in &MIGRATIONS[made..] {
            assert!(migration.sql.contains("compatib"), "{} does not", migration.name);
        }
    }

    #[test]
    fn a_changed_migration_is_refused() {
        const CHANGED: Migration = Migration { name: "one", sql: "CREATE TABLE a (x INTEGER, y INTEGER)" };
        let mut db = Connection::open_in_memory().unwrap();
        migrate_to(&mut db, &[ONE]).unwrap();
        assert!(refusal(migrate_to(&mut db, &[CHANGED, TWO])).contains("\"one\""));
        assert_eq!(applied(&db, &[ONE]), Ok(1), "nothing was done");
    }

    #[test]
    fn another_programs_database_is_refused() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE theirs (x INTEGER)").unwrap();
        assert!(refusal(migrate(&mut db)).contains("another program"));
    }

    #[test]
    fn readers_need_all_of_the_tables() {
        let mut db = Connection::open_in_memory().unwrap();
        assert!(refusal(check(&db)).contains("no runs yet"));
        migrate_to(&mut db, &MIGRATIONS[..1]).unwrap();
        assert!(refusal(check(&db)).contains("version 1"));
        migrate(&mut db).unwrap();
        assert_eq!(check(&db), Ok(()));
    }

    #[test]
    fn hot_columns_have_no_index() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db).unwrap();
        let sql = "SELECT c.name FROM pragma_index_list('run') i, pragma_index_info(i.name) c WHERE i.origin = 'c'";
        let mut rows = db.prepare(sql).unwrap();
        let indexed: Vec<String> = rows.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for column in ["epoch", "last_seq", "commit_id", "claims", "min_reader"] {
            assert!(!indexed.iter().any(|name| name == column), "{column}");
        }
    }
}
