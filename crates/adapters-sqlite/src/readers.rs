//! A few connections that only read, beside the one that writes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tutti_core::ports::store::StoreError;

use crate::error::classify;
use crate::open;

/// Most reads at once: more would wait for the processors anyway.
const CONNECTIONS: usize = 4;

/// Runs reads on threads that may block.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Starts with the connection that showed that the file can be read.
    pub fn new(path: PathBuf, first: Connection) -> Self {
        Self { path, places: Arc::new(Semaphore::new(CONNECTIONS)), idle: Arc::new(Mutex::new(vec![first])) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads. Each statement sees whole commits only, and all that were acknowledged before.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (path, idle) = (self.path.clone(), self.idle.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let db = pooled.map_or_else(|| open::reader(&path), Ok)?;
            // A connection that failed is not used again.
            let answer = read(&db).map_err(|error| classify(&error))?;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
            drop(place);
            answer
        });
        reading.await.map_err(|error| StoreError::Unavailable(format!("a read was given up: {error}")))?
    }
}
