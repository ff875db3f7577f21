//! Which store, and how it is opened: by the one engine that drives its runs, or to look on.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use tutti_adapters_memory::MemoryStore;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::records::RecordStore;
use tutti_core::ports::store::RunStore;

use crate::agents::Place;
use crate::clock::SystemClock;
use crate::exit::{Failure, Result};

/// Where runs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSpec {
    /// In an SQLite file.
    Sqlite(PathBuf),
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
}

/// A store opened to look on; whoever drives its runs is not disturbed.
#[derive(Clone)]
pub struct Reader {
    /// Reads runs.
    pub query: Arc<dyn RunQuery>,
    /// Keeps large values.
    pub payloads: Arc<dyn PayloadStore>,
}

impl FromStr for StoreSpec {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            None if text == "memory" => Ok(Self::Memory),
            _ => Err("a store is `sqlite:PATH` or `memory`".to_owned()),
        }
    }
}

impl fmt::Display for StoreSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
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
        }
    }

    /// Opens the store for what is to be there when this command has ended.
    ///
    /// # Errors
    /// A store that is in use, cannot be used, or goes with this command.
    pub async fn open_for_keeping(&self) -> Result<Store> {
        match self {
            Self::Memory => Err(gone()),
            Self::Sqlite(_) => self.open().await,
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
        }
    }

    /// The folder for the agents of its runs.
    pub fn place(&self) -> Place {
        match self {
            Self::Sqlite(path) => Place::beside(path),
            Self::Memory => Place::temporary(SystemClock.request_id()),
        }
    }
}

impl Store {
    /// The store as those who look on see it.
    pub fn reader(&self) -> Reader {
        Reader { query: self.query.clone(), payloads: self.payloads.clone() }
    }

    fn of<S: RunStore + RunQuery + PayloadStore + RecordStore + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        Self { runs: store.clone(), payloads: store.clone(), query: store.clone(), records: store }
    }
}

fn gone() -> Failure {
    Failure::usage("a store in memory is gone with the command that made it")
        .next("give `run` and this command the same --store sqlite:PATH")
}

/// Opening a file reads it, and makes tables the first time.
async fn open(path: PathBuf, mode: OpenMode) -> Result<Sqlite> {
    match tokio::task::spawn_blocking(move || Sqlite::open(path, mode)).await {
        Ok(opened) => Ok(opened?),
        Err(error) => Err(Failure::unavailable(format!("opening the store was given up: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_kind_and_path() {
        assert_eq!("sqlite:a/b:c.db".parse(), Ok(StoreSpec::Sqlite("a/b:c.db".into())));
        assert_eq!("memory".parse(), Ok(StoreSpec::Memory));
        for bad in ["", "sqlite", "sqlite:", "memory:x", "postgres://h/d", "a.db"] {
            assert!(bad.parse::<StoreSpec>().is_err(), "{bad}");
        }
    }
}
