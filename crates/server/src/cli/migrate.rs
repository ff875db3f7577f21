//! `tutti migrate`: the tables of a database, made and brought up to date.

use tutti_adapters_postgres::migrate;

use super::Global;
use crate::exit::{Exit, Failure, Result};
use crate::output;
use crate::store::{StoreSpec, database};

/// Brings the tables of the store to this build's version.
///
/// # Errors
/// A database that cannot be reached or belongs to something else; another sort of store.
pub async fn execute(global: &Global) -> Result<Exit> {
    let StoreSpec::Postgres(address) = &global.store else {
        return Err(Failure::usage(format!(
            "{} needs no migration: it is brought up to date when it is used",
            global.store
        ))
        .next("tutti migrate --store postgres://USER@HOST/DATABASE"));
    };
    let done = migrate(address).await.map_err(database)?;
    let told = match done.from {
        from if from == done.to => format!("{address} has version {} of the tables already\n", done.to),
        0 => format!("{address} has its tables now, version {}\n", done.to),
        from => format!("{address} was brought from version {from} of the tables to version {}\n", done.to),
    };
    output::answer(&told)?;
    Ok(Exit::Done)
}
