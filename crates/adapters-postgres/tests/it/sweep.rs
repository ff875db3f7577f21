//! The death of an owner at every write, with the database closed and opened again by the next one.

use std::sync::Arc;

use tutti_adapters_postgres::{OpenMode, Postgres};
use tutti_testkit::postgres::Database;
use tutti_testkit::scripted::{EXECUTORS, Script, Swept, shapes, sweep};
use tutti_testkit::stores::Stores;

use crate::{address, engine};

/// Sweeps a shape under each executor, on one database.
fn swept(shape: usize) -> Vec<Swept> {
    let database = Database::fresh();
    let script: Script = shapes().swap_remove(shape);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    drop(runtime.block_on(engine(&database)));
    EXECUTORS
        .into_iter()
        .zip([1_000, 2_000])
        .map(|(executor, first)| {
            let mut open = async || {
                let opened = Postgres::open(&address(&database), OpenMode::Engine).await;
                Stores::of(Arc::new(opened.unwrap()))
            };
            runtime.block_on(sweep(&script, executor, first, &mut open))
        })
        .collect()
}

macro_rules! sweeps {
    ($($name:ident: $shape:expr),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                for swept in swept($shape) {
                    assert!(swept.points >= 10, "{swept:?}");
                    assert!(swept.found_again > 0 && swept.sent_late > 0, "{swept:?}");
                }
            }
        )+

        #[test]
        fn every_shape_is_swept() {
            let mut swept = vec![$($shape),+];
            swept.sort_unstable();
            assert_eq!(swept, (0..shapes().len()).collect::<Vec<_>>());
        }
    };
}

sweeps! {
    a_chain_survives: 0,
    a_diamond_survives: 1,
    a_fan_out_survives: 2,
    two_levels_survive: 3,
    retries_survive: 4,
    steps_that_run_alone_survive: 5,
    checkpoints_survive: 6,
    all_of_it_together_survives: 7,
}
