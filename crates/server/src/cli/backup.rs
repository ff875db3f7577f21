//! `tutti backup`: a copy of a store in use.

use std::path::PathBuf;

use clap::Args;
use tutti_adapters_sqlite::backup;
use tutti_core::ports::store::StoreError;

use super::Global;
use crate::exit::{Exit, Failure, Result};
use crate::output;
use crate::store::StoreSpec;

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where the copy is put; nothing may be there yet.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Copies the store.
///
/// # Errors
/// A store that cannot be read or is no file; a copy that cannot be written.
pub async fn execute(args: BackupArgs, global: &Global) -> Result<Exit> {
    let StoreSpec::Sqlite(from) = global.store.clone() else {
        return Err(Failure::usage(format!("{} is not a file that this command can copy", global.store))
            .next("of a database: pg_dump, or pg_basebackup with archived WAL; docs/operations.md tells how"));
    };
    let to = args.file.clone();
    let copied = tokio::task::spawn_blocking(move || backup(&from, &to)).await;
    let copied = copied.map_err(|error| Failure::unavailable(format!("the copy was given up: {error}")))?;
    let copied = copied.map_err(|error| match error {
        StoreError::Permanent(why) => Failure::usage(why).next("name a new file in a folder that can be written"),
        error => error.into(),
    })?;
    let file = args.file.display();
    output::answer(&format!(
        "{file} holds {} runs in {} bytes; it is a store: --store sqlite:{file}\n",
        copied.runs, copied.bytes
    ))?;
    Ok(Exit::Done)
}
