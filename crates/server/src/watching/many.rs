//! The changes of many runs.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;
use tutti_adapters_grpc::api::{ApiError, RunsNews};
use tutti_core::ids::RunId;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::query::{ListRuns, RunSummary};

use super::{Feed, Outlet, Patience, Place, Server};
use crate::exit::Result;
use crate::store::Reader;

/// How often the list of a store is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Most runs of a filter that are followed in a store: the newest ones. A server begins with as many.
const MOST: usize = 1_000;

/// Which runs are watched.
#[derive(Clone)]
pub enum Wanted {
    /// These.
    Runs(BTreeSet<RunId>),
    /// Those that it takes, now and later.
    Filter(RunFilter),
}

/// Something to show.
pub enum Change {
    /// These runs are there, and no others.
    Reset(Vec<RunSummary>),
    /// A run as it is now.
    Seen(Box<RunSummary>),
    /// A run that the filter takes no more.
    Left(Box<RunSummary>),
    /// A word about the watching.
    Notice(String),
}

/// The runs, and then their changes. Goes on until it is dropped.
pub fn changes(place: &Place, wanted: Wanted) -> Feed<Change> {
    let Place { reader, server } = place.clone();
    Feed::of(move |outlet| async move {
        match server {
            Some(server) => of_server(&server, &reader, &wanted, &outlet).await,
            None => of_store(&reader, &wanted, &outlet).await,
        }
    })
}

async fn of_server(server: &Server, reader: &Reader, wanted: &Wanted, outlet: &Outlet<Change>) -> Result<()> {
    let mut patience = Patience::with(server);
    let (filter, include_existing) = match wanted {
        Wanted::Filter(filter) => (filter.clone(), true),
        Wanted::Runs(_) => (RunFilter::default(), false),
    };
    loop {
        patience.begin();
        let gone = match server.client.watch_runs(&reader.namespace, &filter, include_existing).await {
            Err(error) => error,
            Ok(mut news) => {
                // Looked at when the changes are followed already: none is missed in between.
                if let Wanted::Runs(runs) = wanted
                    && let Ok(found) = named(reader, runs).await
                {
                    outlet.put(Change::Reset(found)).await;
                }
                loop {
                    match news.next().await {
                        Ok(Some(news)) => {
                            patience.answered();
                            hand_over(news, wanted, outlet).await;
                        }
                        // Such a stream has no end of its own.
                        Ok(None) => break ApiError::Unavailable("the stream ended".into()),
                        Err(error) => break error,
                    }
                }
            }
        };
        if let Some(notice) = patience.bear(gone, "tutti list")? {
            outlet.put(Change::Notice(notice)).await;
        }
        patience.pause().await;
    }
}

async fn hand_over(news: RunsNews, wanted: &Wanted, outlet: &Outlet<Change>) {
    match news {
        RunsNews::Existing(page) => outlet.put(Change::Reset(page.runs)).await,
        RunsNews::Changed(changes) => {
            for change in changes {
                let run = Box::new(change.run);
                match wanted {
                    Wanted::Runs(runs) if !runs.contains(&run.run) => {}
                    Wanted::Filter(_) if !change.matches => outlet.put(Change::Left(run)).await,
                    _ => outlet.put(Change::Seen(run)).await,
                }
            }
        }
    }
}

async fn of_store(reader: &Reader, wanted: &Wanted, outlet: &Outlet<Change>) -> Result<()> {
    let mut before = None;
    loop {
        let now = match wanted {
            Wanted::Runs(runs) => named(reader, runs).await?,
            Wanted::Filter(filter) => {
                let query =
                    ListRuns { namespace: reader.namespace.clone(), filter: filter.clone(), limit: MOST, cursor: None };
                reader.query.list(query).await?.runs
            }
        };
        if before.as_ref() != Some(&now) {
            outlet.put(Change::Reset(now.clone())).await;
            before = Some(now);
        }
        sleep(POLL).await;
    }
}

async fn named(reader: &Reader, runs: &BTreeSet<RunId>) -> Result<Vec<RunSummary>> {
    let mut found = Vec::with_capacity(runs.len());
    for run in runs {
        found.extend(reader.query.find(&reader.namespace, *run).await?);
    }
    Ok(found)
}
