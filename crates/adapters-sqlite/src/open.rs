//! Opening the file: one engine, any number of readers and of those who post.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tutti_core::ports::store::StoreError;

use crate::error::classify;
use crate::schema;

/// The first version whose write-ahead log is sound: before it, a reset of the log beside a checkpoint of another
/// connection could damage the file (<https://sqlite.org/wal.html#walresetbug>).
const OLDEST: i32 = 3_051_003;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// How often one who writes looks whether another has come to an end. Between two transactions of a busy process it may be
/// for a few dozen microseconds; SQLite's own waiting, with up to 100 ms between two tries, misses them for seconds.
const LOOK: Duration = Duration::from_micros(500);

/// Statements kept ready by a connection: more than there are, those of filters aside.
const STATEMENTS: usize = 64;

/// Keeps a second engine away for as long as it lives; the system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct EngineLock {
    _file: File,
}

/// The file's true name, so that two ways to write one path share a lock.
pub fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let unusable = |reason: String| StoreError::Permanent(format!("{}: {reason}", path.display()));
    let name = path.file_name().ok_or_else(|| unusable("not the path of a file".to_string()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| unusable(format!("its folder cannot be made: {error}")))?;
    let folder = folder.canonicalize().map_err(|error| unusable(error.to_string()))?;
    Ok(folder.join(name))
}

impl EngineLock {
    /// Takes the lock of a store.
    pub fn take(store: &Path) -> Result<Self, StoreError> {
        let mut path = store.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let unusable = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Who it is helps, but is not needed.
                let _ = file.read_to_string(&mut owner);
                let owner = owner.trim();
                let owner = if owner.is_empty() { "another process" } else { owner };
                return Err(StoreError::InUse(format!("{} runs an engine on {}", owner, store.display())));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let process = format!("process {}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(process.as_bytes())).map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

/// The connection that writes. Makes the file and its tables where they are missing.
pub fn writer(path: &Path) -> Result<Connection, StoreError> {
    check_version(rusqlite::version_number())?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = connect(path, flags)?;
    let mode = set_up(&db).map_err(|error| about(path, classify(&error)))?;
    if mode != "wal" {
        let reason = format!("the file system allows no write-ahead log (journal mode \"{mode}\")");
        return Err(about(path, StoreError::Permanent(reason)));
    }
    schema::migrate(&mut db).map_err(|error| about(path, error))?;
    Ok(db)
}

/// A connection that only reads.
pub fn reader(path: &Path) -> Result<Connection, StoreError> {
    existing(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// A connection that writes beside an engine's. It changes no table: that is for engines.
pub fn poster(path: &Path) -> Result<Connection, StoreError> {
    let db = existing(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // The file is in write-ahead mode since an engine made its tables.
    careful(&db).map_err(|error| about(path, classify(&error)))?;
    Ok(db)
}

/// A connection to a file that must have this build's tables.
fn existing(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    check_version(rusqlite::version_number())?;
    if !path.try_exists().unwrap_or(true) {
        return Err(StoreError::Unavailable(format!("there is no store at {}", path.display())));
    }
    let db = connect(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::check(&db).map_err(|error| about(path, error))?;
    Ok(db)
}

/// Readies the connection of an engine; gives the journal mode.
fn set_up(db: &Connection) -> rusqlite::Result<String> {
    let mode = db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    careful(db)?;
    // In KiB: enough for the guards and the upper levels of the indexes.
    db.pragma_update(None, "cache_size", -16 * 1024)?;
    db.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    Ok(mode)
}

/// What holds for each connection that writes.
fn careful(db: &Connection) -> rusqlite::Result<()> {
    // Every acknowledged commit is on the disk, also if the power fails.
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    // In pages: copying the log into the file costs two syncs more, so not too often.
    db.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    db.busy_handler(Some(look_again))
}

/// Waits a moment for another process that writes; false if it took too long. The argument is how often it was asked before.
fn look_again(looks: i32) -> bool {
    let goes_on = LOOK * looks.unsigned_abs() < BUSY;
    if goes_on {
        std::thread::sleep(LOOK);
    }
    goes_on
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(path, flags).and_then(|db| {
        db.busy_timeout(BUSY)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS);
        // Functions with effects are not for schemas that came from elsewhere.
        db.pragma_update(None, "trusted_schema", false)?;
        Ok(db)
    });
    db.map_err(|error| about(path, classify(&error)))
}

fn about(path: &Path, error: StoreError) -> StoreError {
    let with = |text: String| format!("{}: {text}", path.display());
    match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(with(text)),
        StoreError::Permanent(text) => StoreError::Permanent(with(text)),
        StoreError::Corrupt(text) => StoreError::Corrupt(with(text)),
        other => other,
    }
}

fn check_version(version: i32) -> Result<(), StoreError> {
    if version >= OLDEST {
        return Ok(());
    }
    let dotted = |v: i32| format!("{}.{}.{}", v / 1_000_000, v / 1_000 % 1_000, v % 1_000);
    let (version, oldest) = (dotted(version), dotted(OLDEST));
    Err(StoreError::Permanent(format!("this build has SQLite {version}, which can damage files; {oldest} is needed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_file_is_not_waited_for_without_end() {
        assert!([0, 1, 19_999].into_iter().all(look_again));
        assert!([20_000, i32::MAX].into_iter().all(|looks| !look_again(looks)));
    }

    #[test]
    fn an_unsound_sqlite_is_refused() {
        let refused = check_version(3_051_002).unwrap_err().to_string();
        assert!(refused.contains("3.51.2") && refused.contains("3.51.3"), "{refused}");
        assert_eq!(check_version(OLDEST), Ok(()));
        assert_eq!(check_version(rusqlite::version_number()), Ok(()));
    }
}
