//! The events of one run.

use tokio::time::sleep;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::run::Recorded;

use super::{Feed, Outlet, POLL, Patience, Place, Server};
use crate::exit::Result;
use crate::store::Reader;

/// Something to show.
pub enum Happening {
    /// The next event of the run.
    Event(Box<Recorded>),
    /// A word about the watching.
    Notice(String),
}

/// The events of a run from a number on, in order and without a gap, to the last one of a run that has ended.
pub fn events(place: &Place, run: RunId, from: u64) -> Feed<Happening> {
    let Place { reader, server } = place.clone();
    Feed::of(move |outlet| async move {
        match server {
            Some(server) => of_server(&server, &reader.namespace, run, from, &outlet).await,
            None => of_store(&reader, run, from, &outlet).await,
        }
    })
}

async fn of_server(
    server: &Server,
    namespace: &Namespace,
    run: RunId,
    mut next: u64,
    outlet: &Outlet<Happening>,
) -> Result<()> {
    let mut patience = Patience::with(server);
    let then = |next: u64| format!("tutti events {run} --server {} --follow --from {next}", server.url);
    loop {
        patience.begin();
        let gone = match server.client.watch(namespace, run, next).await {
            Err(error) => error,
            Ok(mut events) => loop {
                match events.next().await {
                    Ok(Some(event)) => {
                        patience.answered();
                        next = event.seq + 1;
                        outlet.put(Happening::Event(Box::new(event))).await;
                    }
                    Ok(None) => return Ok(()),
                    Err(error) => break error,
                }
            },
        };
        if let Some(notice) = patience.bear(gone, &then(next))? {
            outlet.put(Happening::Notice(notice)).await;
        }
        patience.pause().await;
    }
}

async fn of_store(reader: &Reader, run: RunId, mut next: u64, outlet: &Outlet<Happening>) -> Result<()> {
    loop {
        // Asked first: what is recorded before the end is then in the page.
        let ended = reader.find(&run.to_string()).await?.status.is_ended();
        let page = reader.events(run, next).await?;
        if page.is_empty() {
            if ended {
                return Ok(());
            }
            sleep(POLL).await;
        }
        for event in page {
            next = event.seq + 1;
            outlet.put(Happening::Event(Box::new(event))).await;
        }
    }
}
