//! What an error of SQLite means to the caller of a store.

use rusqlite::ErrorCode;
use tutti_core::ports::store::StoreError;

/// The result of work inside a transaction. The outer error undoes the transaction; the inner one is an answer, given
/// before anything was written.
pub type Outcome<T> = rusqlite::Result<Result<T, StoreError>>;

/// Says whether repeating helps. What lies in the request is permanent, what lies in the file is corrupt, and all that
/// lies in the surroundings (a full or read-only disk, a busy file, no memory) is unavailable: a run must not be
/// given up because of it.
pub fn classify(error: &rusqlite::Error) -> StoreError {
    let text = error.to_string();
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly => StoreError::Unavailable(text),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(text),
            _ => StoreError::Permanent(text),
        },
        // A stored value has another type or range than what was put there.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => StoreError::Corrupt(text),
        _ => StoreError::Permanent(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn class(code: i32) -> &'static str {
        match classify(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)) {
            StoreError::Unavailable(_) => "unavailable",
            StoreError::Permanent(_) => "permanent",
            StoreError::Corrupt(_) => "corrupt",
            StoreError::BadCursor | StoreError::InUse(_) => "other",
        }
    }

    #[test]
    fn the_surroundings_are_worth_waiting_for() {
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_BUSY_SNAPSHOT,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_READONLY_DBMOVED,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_PERM,
        ] {
            assert_eq!(class(code), "unavailable", "{code}");
        }
    }

    #[test]
    fn a_damaged_file_is_corrupt() {
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_CORRUPT_INDEX, ffi::SQLITE_NOTADB] {
            assert_eq!(class(code), "corrupt", "{code}");
        }
        let wrong = rusqlite::Error::IntegralValueOutOfRange(1, -1);
        assert!(matches!(classify(&wrong), StoreError::Corrupt(_)));
        let wrong = rusqlite::Error::InvalidColumnType(0, "seq".to_string(), rusqlite::types::Type::Text);
        assert!(matches!(classify(&wrong), StoreError::Corrupt(_)));
    }

    #[test]
    fn a_request_that_cannot_be_kept_is_permanent() {
        for code in [
            ffi::SQLITE_CONSTRAINT,
            ffi::SQLITE_CONSTRAINT_UNIQUE,
            ffi::SQLITE_TOOBIG,
            ffi::SQLITE_MISMATCH,
            ffi::SQLITE_ERROR,
            ffi::SQLITE_MISUSE,
        ] {
            assert_eq!(class(code), "permanent", "{code}");
        }
        assert!(matches!(classify(&rusqlite::Error::QueryReturnedNoRows), StoreError::Permanent(_)));
    }
}
