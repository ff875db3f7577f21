//! A copy of a file in use, by one read transaction: whole commits, and nobody has to wait.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tutti_core::ports::store::StoreError;

use crate::error::classify;
use crate::open;

/// A copy that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Runs in it.
    pub runs: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Copies the store at `from`, beside an engine or without one, to `to`, where nothing may be yet. When this returns, the copy
/// is on the disk, was read once from end to end, and holds all that was acknowledged before the call. Blocks.
///
/// # Errors
/// [`StoreError::Permanent`] if there is something at `to`, or the folder cannot be written; [`StoreError::Corrupt`] if the
/// store is damaged, and so its copy is of no use; otherwise as for opening a store to read it.
pub fn backup(from: &Path, to: &Path) -> Result<Copied, StoreError> {
    let unusable = |error: std::io::Error| StoreError::Permanent(format!("{}: {error}", to.display()));
    if to.try_exists().map_err(unusable)? {
        return Err(StoreError::Permanent(format!("{} is there already", to.display())));
    }
    let store = open::reader(from)?;
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    let partial = Unfinished(PathBuf::from(name));
    // What an earlier call left that came to no end.
    partial.remove();
    let path = partial.0.to_str().ok_or_else(|| StoreError::Permanent("the path is not UTF-8".to_owned()))?;
    store.execute("VACUUM INTO ?", [path]).map_err(|error| classify(&error))?;
    // SQLite does not sync what it makes so.
    File::open(&partial.0).and_then(|file| file.sync_all()).map_err(unusable)?;
    let copied = check(&partial.0)?;
    // Not a rename, which would replace what somebody else put there meanwhile.
    fs::hard_link(&partial.0, to).map_err(unusable)?;
    drop(partial);
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unusable)?;
    Ok(copied)
}

/// Reads a copy from end to end.
fn check(path: &Path) -> Result<Copied, StoreError> {
    let db = open::reader(path)?;
    let error = |error: rusqlite::Error| classify(&error);
    let found: String = db.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(error)?;
    if found != "ok" {
        return Err(StoreError::Corrupt(format!("the store is damaged: {found}")));
    }
    let runs = db.query_row("SELECT count(*) FROM run", (), |row| row.get(0)).map_err(error)?;
    let pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
    Ok(Copied { runs, bytes: db.query_row(pages, (), |row| row.get(0)).map_err(error)? })
}

/// A file that is removed, whatever happens.
struct Unfinished(PathBuf);

impl Unfinished {
    fn remove(&self) {
        // Mostly it is not there.
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.remove();
    }
}
