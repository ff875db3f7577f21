//! Which store, and how it is opened: by the one engine that drives its runs, or to look on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use tutti_adapters_memory::MemoryStore;
use tutti_adapters_postgres as postgres;
use tutti_adapters_postgres::Postgres;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ids::Namespace;
use tutti_core::limits::STORE_PATIENCE;
use tutti_core::ports::agent::AgentTransport;
use tutti_core::ports::fleet::Fleet;
use tutti_core::ports::inbox::Inbox;
use tutti_core::ports::inspect::Inspect;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::records::RecordStore;
use tutti_core::ports::retention::Retention;
use tutti_core::ports::store::{RunStore, StoreError};
use tutti_core::value::Digest;
use tutti_engine::Ports;

use crate::agents::Place;
use crate::clock::SystemClock;
use crate::exit::{Failure, Result};
use crate::patience::patiently;
use crate::telemetry::Telemetry;

/// Where runs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSpec {
    /// In an SQLite file.
    Sqlite(PathBuf),
    /// In a PostgreSQL database.
    Postgres(postgres::Address),
    /// In this process, and gone with it.
    Memory,
}

/// A store opened by the engine that drives its runs.
pub struct Store {
    /// Makes runs durable.
    pub runs: Arc<dyn RunStore>,
    /// Keeps large values.
    pub payloads: Arc<dyn PayloadStore>,
    /// Reads runs.
    pub query: Arc<dyn RunQuery>,
    /// Keeps registered workflows and agents, and who may call.
    pub records: Arc<dyn RecordStore>,
    /// Brings commands that other processes took in.
    pub inbox: Arc<dyn Inbox>,
    /// Removes runs that have ended.
    pub retention: Arc<dyn Retention>,
    /// Shares the runs among servers, where several may have the store.
    pub fleet: Option<Arc<dyn Fleet>>,
}

/// A store opened for commands.
pub enum ForCommands {
    /// No engine has it.
    Alone(Store),
    /// An engine has it, and is reached by the inbox.
    Beside(Arc<dyn Inbox>),
}

/// A store opened to look on; whoever drives its runs is not disturbed.
#[derive(Clone)]
pub struct Reader {
    /// Reads runs.
    pub query: Arc<dyn RunQuery>,
    /// Keeps large values.
    pub payloads: Arc<dyn PayloadStore>,
    /// Knows what became of runs that are not there any more; a server is asked otherwise.
    pub retention: Option<Arc<dyn Retention>>,
    /// Whose runs are looked at.
    pub namespace: Namespace,
}

impl FromStr for StoreSpec {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", _)) => {
                text.parse().map(Self::Postgres).map_err(|error: StoreError| error.to_string())
            }
            None if text == "memory" => Ok(Self::Memory),
            _ => Err("a store is `sqlite:PATH`, `postgres://USER@HOST/DATABASE` or `memory`".to_owned()),
        }
    }
}

/// Without the password of a database.
impl fmt::Display for StoreSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(address) => write!(f, "{address}"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

impl StoreSpec {
    /// The store that is used if none is named.
    pub const DEFAULT: &str = "sqlite:.tutti/tutti.db";

    /// Opens the store to drive its runs; another engine is kept away.
    ///
    /// # Errors
    /// A store that is in use or cannot be used.
    pub async fn open(&self) -> Result<Store> {
        match self {
            Self::Memory => Ok(Store::of(MemoryStore::new())),
            Self::Sqlite(path) => open(path.clone(), OpenMode::Engine).await.map(Store::of),
            Self::Postgres(address) => connect(address, postgres::OpenMode::Engine).await.map(Store::of),
        }
    }

    /// Opens the store to drive its runs, beside other servers if it is one that several may have. A database that is away
    /// is waited for.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_to_serve(&self) -> Result<Store> {
        let Self::Postgres(address) = self else { return self.open().await };
        let open = async || Postgres::open(address, postgres::OpenMode::Server).await;
        let database = Arc::new(patiently(STORE_PATIENCE, StoreError::is_retryable, open).await.map_err(database)?);
        Ok(Store { fleet: Some(database.clone()), ..Store::shared(&database) })
    }

    /// Opens the store for commands: to apply them, or, if an engine has it, to post them to that engine.
    ///
    /// # Errors
    /// A store that cannot be used.
    pub async fn open_for_commands(&self) -> Result<ForCommands> {
        match self {
            Self::Memory => Err(gone()),
            Self::Sqlite(path) => match opened(path.clone(), OpenMode::Engine).await {
                Ok(store) => Ok(ForCommands::Alone(Store::of(store))),
                Err(StoreError::InUse(_)) => {
                    Ok(ForCommands::Beside(Arc::new(open(path.clone(), OpenMode::Beside).await?)))
                }
                Err(error) => Err(error.into()),
            },
            Self::Postgres(address) => match Postgres::open(address, postgres::OpenMode::Engine).await {
                Ok(store) => Ok(ForCommands::Alone(Store::of(store))),
                Err(StoreError::InUse(_)) => {
                    Ok(ForCommands::Beside(Arc::new(connect(address, postgres::OpenMode::Server).await?)))
                }
                Err(error) => Err(database(error)),
            },
        }
    }

    /// Opens the store for what is to be there when this command has ended.
    ///
    /// # Errors
    /// A store that is in use, cannot be used, or goes with this command.
    pub async fn open_for_keeping(&self) -> Result<Store> {
        match self {
            Self::Memory => Err(gone()),
            Self::Sqlite(_) | Self::Postgres(_) => self.open().await,
        }
    }

    /// Opens the store to look at its documents.
    ///
    /// # Errors
    /// A store that is not there or cannot be used.
    pub async fn open_documents(&self) -> Result<Arc<dyn RecordStore>> {
        self.look().await.map(|store| store.records)
    }

    /// Opens the store to look on.
    ///
    /// # Errors
    /// A store that is not there or cannot be used.
    pub async fn open_reader(&self) -> Result<Reader> {
        self.look().await.map(|store| store.reader())
    }

    /// Opens the store to look whether it is sound.
    ///
    /// # Errors
    /// A store that is not there or cannot be used.
    pub async fn open_to_inspect(&self) -> Result<(Reader, Arc<dyn Inspect>)> {
        match self {
            Self::Memory => Err(gone()),
            Self::Sqlite(path) => {
                let store = Arc::new(open(path.clone(), OpenMode::ReadOnly).await?);
                Ok((Store::shared(&store).reader(), store))
            }
            Self::Postgres(address) => {
                let store = Arc::new(connect(address, postgres::OpenMode::ReadOnly).await?);
                Ok((Store::shared(&store).reader(), store))
            }
        }
    }

    /// Opens the store to look on, whole; nothing can be written.
    ///
    /// # Errors
    /// A store that is not there or cannot be used.
    pub async fn look(&self) -> Result<Store> {
        match self {
            Self::Memory => Err(gone()),
            Self::Sqlite(path) if !path.exists() => {
                Err(Failure::unavailable(format!("there is no store at {}", path.display()))
                    .next("tutti run WORKFLOW.yaml makes it; another one is named by --store sqlite:PATH"))
            }
            Self::Sqlite(path) => open(path.clone(), OpenMode::ReadOnly).await.map(Store::of),
            Self::Postgres(address) => connect(address, postgres::OpenMode::ReadOnly).await.map(Store::of),
        }
    }

    /// The folder for the agents of its runs.
    pub fn place(&self) -> Place {
        match self {
            Self::Sqlite(path) => Place::beside(path),
            // On this machine, where its agents are; one folder for each database.
            Self::Postgres(address) => {
                let name = Digest::of(address.to_string().as_bytes()).to_string();
                Place::beside(&Path::new(".tutti").join(format!("postgres-{}", &name[..8])))
            }
            Self::Memory => Place::temporary(SystemClock.request_id()),
        }
    }
}

impl Store {
    /// The store as those who look on see it, with the runs of the namespace `default`.
    pub fn reader(&self) -> Reader {
        Reader {
            query: self.query.clone(),
            payloads: self.payloads.clone(),
            retention: Some(self.retention.clone()),
            namespace: Namespace::default(),
        }
    }

    /// What an engine works on that has this store and calls these agents.
    pub fn ports(&self, agents: Arc<dyn AgentTransport>, telemetry: &Telemetry) -> Ports {
        Ports {
            store: self.runs.clone(),
            payloads: self.payloads.clone(),
            query: self.query.clone(),
            records: self.records.clone(),
            inbox: self.inbox.clone(),
            agents,
            clock: Arc::new(SystemClock),
            observer: telemetry.observer(self.query.clone()),
        }
    }

    fn of<S: RunStore + RunQuery + PayloadStore + RecordStore + Inbox + Retention + 'static>(store: S) -> Self {
        Self::shared(&Arc::new(store))
    }

    fn shared<S: RunStore + RunQuery + PayloadStore + RecordStore + Inbox + Retention + 'static>(
        store: &Arc<S>,
    ) -> Self {
        Self {
            runs: store.clone(),
            payloads: store.clone(),
            query: store.clone(),
            records: store.clone(),
            inbox: store.clone(),
            retention: store.clone(),
            fleet: None,
        }
    }
}

fn gone() -> Failure {
    Failure::usage("a store in memory is gone with the command that made it")
        .next("give `run` and this command the same --store sqlite:PATH")
}

/// Opening a file reads it, and makes tables the first time.
async fn open(path: PathBuf, mode: OpenMode) -> Result<Sqlite> {
    Ok(opened(path, mode).await?)
}

async fn opened(path: PathBuf, mode: OpenMode) -> std::result::Result<Sqlite, StoreError> {
    let given_up = |error| StoreError::Unavailable(format!("opening the store was given up: {error}"));
    tokio::task::spawn_blocking(move || Sqlite::open(path, mode)).await.map_err(given_up)?
}

async fn connect(address: &postgres::Address, mode: postgres::OpenMode) -> Result<Postgres> {
    Postgres::open(address, mode).await.map_err(database)
}

/// A database that cannot be opened, and what to do about it.
pub fn database(error: StoreError) -> Failure {
    let next = match error {
        StoreError::Unavailable(_) => "look whether the server runs and lets this user in",
        StoreError::Permanent(_) => {
            "tutti migrate makes the tables of a database and brings them up to date; docs/store.md tells the rest"
        }
        StoreError::InUse(_) | StoreError::Corrupt(_) | StoreError::BadCursor => return error.into(),
    };
    Failure::unavailable(error.to_string()).next(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_kind_and_path() {
        assert_eq!("sqlite:a/b:c.db".parse(), Ok(StoreSpec::Sqlite("a/b:c.db".into())));
        assert_eq!("memory".parse(), Ok(StoreSpec::Memory));
        for bad in ["", "sqlite", "sqlite:", "memory:x", "postgres:x", "postgres://[", "mysql://h/d", "a.db"] {
            assert!(bad.parse::<StoreSpec>().is_err(), "{bad}");
        }
        let database: StoreSpec = "postgres://me:secret@db.example/runs".parse().unwrap();
        assert_eq!(database.to_string(), "postgres://me@db.example:5432/runs");
    }
}
