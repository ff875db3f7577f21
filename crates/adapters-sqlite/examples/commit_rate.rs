//! How many commits a file takes in a second: `cargo run -p tutti-adapters-sqlite --example commit_rate --release`.
//! The file is made in the folder given as the argument, or in the system's folder for temporary files.

use std::sync::Arc;
use std::time::Duration;

use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_testkit::rate::commit_rate;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its whole purpose")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    for committers in [1, 64, 256] {
        let folder = tempfile::tempdir_in(&parent)?;
        let store = Arc::new(Sqlite::open(folder.path().join("rate.db"), OpenMode::Engine)?);
        let rate = commit_rate(store, committers, Duration::from_secs(5)).await?;
        println!("{committers:>4} committers: {:>8.0} commits/s of two events", rate.commits_per_second());
    }
    Ok(())
}
