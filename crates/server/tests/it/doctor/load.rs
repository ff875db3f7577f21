//! A store to which servers write: nothing is wrong with it, whenever one looks.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Store, found};
use crate::host::Host;

/// Looks again and again while runs are started, cancelled and driven by these servers.
fn looks_sound_under_load(store: &Store, hosts: &[Host]) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for host in hosts {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // On a busy machine a server may be without its database for a moment.
                    let run = host.tutti(store.place(), &["submit", "chain.yaml"]).stdout;
                    host.tutti(store.place(), &["pause", run.trim(), "--reason", "to see", "--yes"]);
                    host.tutti(store.place(), &["resume", run.trim()]);
                }
            });
        }
        let mut under_way = 0;
        for _ in 0..5 {
            let told = store.doctor(&["--all"], 0);
            under_way += usize::from(found(&told, "store")[0].1.contains("running"));
            for check in ["runs", "late", "slots", "inbox", "tables", "settings", "transactions"] {
                assert!(found(&told, check).iter().all(|(state, _)| *state == "ok"), "{told:#}");
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(under_way > 0, "it was looked at while runs were under way");
    });
}

#[test]
fn a_file_that_a_server_writes_to_is_sound() {
    let store = Store::Sqlite(crate::support::Place::with_delay(50));
    let host = store.serve("only");
    looks_sound_under_load(&store, &[host]);
}

#[test]
fn a_database_that_two_servers_write_to_is_sound() {
    let Store::Postgres(_, database) = Store::postgres() else { unreachable!("it is one") };
    let store = Store::Postgres(crate::support::Place::with_delay(50), database);
    let hosts = [store.serve("one"), store.serve("two")];
    looks_sound_under_load(&store, &hosts);
    let shares = super::doctor(store.place(), &["--server", &hosts[0].url], 0);
    assert!(
        matches!(found(&shares, "fleet")[..], [("ok", told)] if told == "one has 512 of 1024 slots, as one of 2 servers"),
        "{shares:#}"
    );
    let told = store.doctor(&["--quick"], 0);
    let servers = found(&told, "servers")[0].1;
    assert!(servers.contains("one holds") && servers.contains("two holds"), "{told:#}");
}
