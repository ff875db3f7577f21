//! How many commits memory takes in a second: `cargo run -p tutti-adapters-memory --example commit_rate --release`.

use std::sync::Arc;
use std::time::Duration;

use tutti_adapters_memory::MemoryStore;
use tutti_testkit::rate::commit_rate;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its whole purpose")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for committers in [1, 64, 256] {
        let store = Arc::new(MemoryStore::new());
        let rate = commit_rate(store, committers, Duration::from_secs(1)).await?;
        println!("{committers:>4} committers: {:>8.0} commits/s of two events", rate.commits_per_second());
    }
    Ok(())
}
