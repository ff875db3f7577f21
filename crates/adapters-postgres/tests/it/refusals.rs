//! What cannot be opened or done says why.

use tutti_adapters_postgres::{Address, Migrated, OpenMode, Postgres, TABLES, migrate};
use tutti_core::ports::store::{RunStore as _, StoreError};
use tutti_testkit::given::new_run;
use tutti_testkit::postgres::{Database, Server};

use crate::{address, engine};

const BOTH: [OpenMode; 2] = [OpenMode::ReadOnly, OpenMode::Engine];

async fn refusal(database: &Database, mode: OpenMode) -> StoreError {
    let error = Postgres::open(&address(database), mode).await.unwrap_err();
    assert!(error.to_string().contains("postgres://"), "{error} names the database");
    error
}

#[tokio::test]
async fn tables_are_made_by_those_who_are_told_to() {
    let database = Database::fresh();
    for mode in BOTH {
        assert!(refusal(&database, mode).await.to_string().contains("`tutti migrate` makes them"));
    }
    assert_eq!(migrate(&address(&database)).await, Ok(Migrated { from: 0, to: TABLES }));
    assert_eq!(migrate(&address(&database)).await, Ok(Migrated { from: TABLES, to: TABLES }));
    Postgres::open(&address(&database), OpenMode::Engine).await.unwrap();
}

#[tokio::test]
async fn several_may_make_the_tables_at_once() {
    let database = Database::fresh();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let address = address(&database);
        all.spawn(async move { migrate(&address).await });
    }
    for made in all.join_all().await {
        assert_eq!(made.unwrap().to, TABLES);
    }
    assert_eq!(database.sql("SELECT count(*) FROM tutti_migration"), TABLES.to_string());
    Postgres::open(&address(&database), OpenMode::Engine).await.unwrap();
}

#[tokio::test]
async fn older_newer_and_changed_tables_are_refused() {
    let database = Database::fresh();
    drop(engine(&database).await);
    // As it was before the last migration.
    database.sql(&format!("DELETE FROM tutti_migration WHERE version = {TABLES}"));
    let before = TABLES - 1;
    for mode in BOTH {
        let text = refusal(&database, mode).await.to_string();
        let (has, needs) = (format!("has version {before}"), format!("needs version {TABLES}"));
        assert!(text.contains(&has) && text.contains(&needs), "{text}");
    }
    assert_eq!(migrate(&address(&database)).await, Ok(Migrated { from: before, to: TABLES }), "the rest is made");
    drop(Postgres::open(&address(&database), OpenMode::ReadOnly).await.unwrap());

    let newer = TABLES + 1;
    database.sql(&format!("INSERT INTO tutti_migration SELECT {newer}, 'future', now(), true, 'x', 0"));
    database.sql(&format!("UPDATE compatibility SET oldest = {newer}"));
    for mode in BOTH {
        let text = refusal(&database, mode).await.to_string();
        let (has, knows) = (format!("for programs that know version {newer}"), format!("knows up to {TABLES}"));
        assert!(text.contains("newer version of Tutti") && text.contains(&has) && text.contains(&knows), "{text}");
    }
    let refused = migrate(&address(&database)).await.unwrap_err();
    assert!(refused.to_string().contains("newer version of Tutti"), "{refused}");
    database.sql(&format!("UPDATE compatibility SET oldest = {TABLES}"));
    for mode in BOTH {
        Postgres::open(&address(&database), mode).await.expect("what was added is not in the way");
    }
    assert_eq!(migrate(&address(&database)).await, Ok(Migrated { from: newer, to: newer }), "they stay as they are");

    database.sql(&format!("DELETE FROM tutti_migration WHERE version = {newer}"));
    database.sql("UPDATE tutti_migration SET checksum = 'changed' WHERE version = 1");
    for mode in BOTH {
        assert!(refusal(&database, mode).await.to_string().contains("0001_store"));
    }
    assert!(matches!(migrate(&address(&database)).await, Err(StoreError::Permanent(_))));
}

#[tokio::test]
async fn another_programs_tables_are_left_alone() {
    let database = Database::fresh();
    database.sql("CREATE TABLE run (x INTEGER); INSERT INTO run VALUES (7)");
    let refused = migrate(&address(&database)).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Permanent(why) if why.contains("already exists")), "{refused}");
    assert_eq!(database.sql("SELECT x FROM run"), "7");
    assert_eq!(database.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'event'"), "0", "all or nothing");
}

#[tokio::test]
async fn a_server_that_can_lose_what_it_acknowledged_is_refused() {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let server = Server::start(&[&format!("{setting}=off")]);
        let database = Database::fresh_in(&server.url());
        migrate(&address(&database)).await.unwrap();
        let text = refusal(&database, OpenMode::Engine).await.to_string();
        assert!(text.contains(setting) && text.contains("unsafe_durability=true"), "{text}");
        Postgres::open(&address(&database), OpenMode::ReadOnly).await.expect("looking loses nothing");
        let told: Address = format!("{}&unsafe_durability=true", database.url()).parse().unwrap();
        Postgres::open(&told, OpenMode::Engine).await.unwrap();
    }
}

#[tokio::test]
async fn what_only_reads_takes_no_engine() {
    let database = Database::fresh();
    drop(engine(&database).await);
    set(&database, "default_transaction_read_only = on");
    let refused = refusal(&database, OpenMode::Engine).await;
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("only reads")), "{refused}");
    Postgres::open(&address(&database), OpenMode::ReadOnly).await.unwrap();
}

#[tokio::test]
async fn other_encodings_are_refused() {
    let database = Database::fresh();
    let name = format!("{}_latin", database.sql("SELECT current_database()"));
    database.sql(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"));
    let url = database.url().replace(&name.replace("_latin", "?"), &format!("{name}?"));
    let refused = migrate(&url.parse().unwrap()).await.unwrap_err();
    database.sql(&format!("DROP DATABASE {name} WITH (FORCE)"));
    assert!(refused.to_string().contains("LATIN1"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_reached_is_unavailable() {
    let database = Database::fresh();
    let gone: Address = format!("{}&dbname=nowhere", database.url()).parse().unwrap();
    let refused = Postgres::open(&gone, OpenMode::ReadOnly).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("nowhere")), "{refused}");
    let nobody: Address = "postgres://me@127.0.0.1:1/runs".parse().unwrap();
    let refused = Postgres::open(&nobody, OpenMode::ReadOnly).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("127.0.0.1:1")), "{refused}");
}

#[tokio::test]
async fn a_role_of_few_rights_is_enough() {
    let database = Database::fresh();
    drop(engine(&database).await);
    let role = database.sql("SELECT current_database()") + "_role";
    database.sql(&format!("CREATE ROLE {role} LOGIN"));
    database.sql(&RIGHTS.replace("ROLE", &role));
    let url = database.url().replace("postgres://postgres@", &format!("postgres://{role}@"));
    let store = Postgres::open(&url.parse().unwrap(), OpenMode::Engine).await.unwrap();
    crate::durable::use_everything(&store).await;
    crate::inbox::use_inbox(&store).await;
    crate::fleet::use_fleet(&store).await;
    let refused = database_as(&url, "UPDATE event SET kind = 1").await;
    assert!(refused.contains("permission denied"), "{refused}");
    let refused = database_as(&url, "CREATE TABLE mine (x INTEGER)").await;
    assert!(refused.contains("permission denied"), "{refused}");
    drop(store);
    database.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// As docs/store.md says.
const RIGHTS: &str = "
    GRANT USAGE ON SCHEMA public TO ROLE;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO ROLE;
    GRANT INSERT ON definition, event, payload, request TO ROLE;
    GRANT UPDATE (unused_since) ON definition TO ROLE;
    GRANT INSERT, UPDATE ON run, run_view, run_key, snapshot TO ROLE;
    GRANT INSERT, UPDATE, DELETE ON record, inbox, inbox_outcome, server TO ROLE;
    GRANT UPDATE ON slot TO ROLE;";

async fn database_as(url: &str, statement: &'static str) -> String {
    use sqlx::Connection as _;
    let mut db = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut db).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_right_that_was_taken_away_can_be_given_back() {
    let database = Database::fresh();
    let store = engine(&database).await;
    database.sql("ALTER TABLE event RENAME TO hidden");
    let refused = store.create(new_run(1)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    database.sql("ALTER TABLE hidden RENAME TO event");
    store.create(new_run(1)).await.unwrap();
}

/// Sets something for all sessions to come.
fn set(database: &Database, setting: &str) {
    database.sql(&format!("ALTER DATABASE {} SET {setting}", database.sql("SELECT current_database()")));
}
