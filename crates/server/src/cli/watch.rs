//! `tutti watch`: runs that go on elsewhere, live.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::query::RunSummary;
use tutti_core::report::RunView;
use tutti_core::run::RunStatus;
use tutti_core::time::Span;

use super::{Global, Source, TextOrJson, filter};
use crate::clock::SystemClock;
use crate::exit::{Exit, Result};
use crate::interrupts::Interrupts;
use crate::live::{Board, Live, Progress};
use crate::output::{answer, answer_json, say, stdout_width};
use crate::report::{Ending, Home, Show};
use crate::runs::{self, Counts, Page};
use crate::watching::{Change, Happening, Place, Wanted, changes, events};

/// How often the view is drawn.
const TICK: Duration = Duration::from_millis(100);

/// How long a run that waits for a person is watched: its agent may have got the answer already.
const WAIT: Duration = Duration::from_secs(2);

/// What `tutti watch --help` says at its end.
const HELP: &str = "\
One run is shown as `tutti run` shows it: progress on stderr, the report on stdout, the exit code by how it ended. Many are
shown as a table on stderr; with --progress plain or json as a line per change on stdout. Watching ends when the runs that
were named go no further by themselves; by a filter, when it is stopped. Ctrl-C detaches: the runs go on.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct WatchArgs {
    /// The runs: ids, beginnings of ids, or `latest`.
    #[arg(value_name = "RUN", required_unless_present = "filter", conflicts_with = "filter")]
    runs: Vec<String>,
    /// All runs that a filter takes, now and later, such as 'state:running,failed workflow:invoice'.
    #[arg(short, long, value_name = "FILTER", allow_hyphen_values = true)]
    filter: Option<String>,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    progress: Progress,
    /// The form of the report on stdout.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    patience: PatienceArgs,
}

#[derive(Debug, Args)]
pub struct PatienceArgs {
    /// How long a server that goes away is asked again.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = Span::parse)]
    patience: Span,
}

impl PatienceArgs {
    /// How long a server may be away.
    pub const fn span(&self) -> Duration {
        self.patience.0
    }
}

/// # Errors
/// A run that is not there, a store or a server that cannot be used.
pub async fn execute(args: WatchArgs, global: &Global) -> Result<Exit> {
    let interrupts = Interrupts::listen()?;
    let place = args.source.place(global, args.patience.span()).await?;
    let show = Show::new(args.progress, args.output, global.log.is_some());
    let home = match &args.source.server {
        Some(url) => Home::Server(url),
        None => Home::Store(&global.store),
    };
    let watched = Watched { place: &place, home, show: &show, interrupts: &interrupts };
    if let Some(filter) = &args.filter {
        return watched.many(Wanted::Filter(self::filter(filter)?)).await;
    }
    let mut runs = Vec::with_capacity(args.runs.len());
    for run in &args.runs {
        runs.push(place.reader.find(run).await?);
    }
    if let [run] = runs.as_slice() {
        let view = place.reader.view(run).await?;
        return watched.one(run, view).await;
    }
    watched.many(Wanted::Runs(runs.iter().map(|run| run.run).collect::<BTreeSet<_>>())).await
}

/// Runs that are watched, and how.
pub struct Watched<'w> {
    /// Where they are.
    pub place: &'w Place,
    /// What that is called.
    pub home: Home<'w>,
    /// How they are shown.
    pub show: &'w Show,
    /// When to stop.
    pub interrupts: &'w Interrupts,
}

impl Watched<'_> {
    /// Watches one run from what is known of it on, to its end or until it goes no further by itself; reports on it.
    ///
    /// # Errors
    /// A run that cannot be read, a server that is away for too long.
    pub async fn one(&self, run: &RunSummary, view: RunView) -> Result<Exit> {
        let mut happenings = events(self.place, run.run, view.seq() + 1);
        let mut live = Live::watching(self.show.progress, view);
        let mut ticker = interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_news = Instant::now();
        let signal = loop {
            let status = live.view().status();
            let known = live.view().seq() > 0;
            let waits = status == RunStatus::Waiting && last_news.elapsed() >= WAIT;
            if known && (waits || !(status.is_open() || status == RunStatus::Paused)) {
                live.tick(SystemClock.now());
                break None;
            }
            tokio::select! {
                biased;
                signal = self.interrupts.first() => break Some(signal),
                _ = ticker.tick() => live.tick(SystemClock.now()),
                happening = happenings.next() => {
                    last_news = Instant::now();
                    match happening {
                        Ok(Some(Happening::Event(event))) => live.apply(&event),
                        Ok(Some(Happening::Notice(text))) => live.notice(&text, SystemClock.now()),
                        Ok(None) => break None,
                        Err(failure) => {
                            live.finish();
                            return Err(failure);
                        }
                    }
                }
            }
        };
        let ending = Ending { view: live.finish(), signal };
        self.show.ending(ending, &self.place.reader, self.home).await
    }

    /// Watches many runs until those that were named go no further by themselves, or a signal comes.
    async fn many(&self, wanted: Wanted) -> Result<Exit> {
        let counts = if self.place.server.is_some() { Counts::Now } else { Counts::OfState };
        let named = matches!(wanted, Wanted::Runs(_));
        let mut feed = changes(self.place, wanted);
        let mut board = Board::new(self.show.progress, counts);
        let mut ticker = interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let signal = loop {
            let rest = board.runs().values().all(|run| rests(run.status));
            if named && !board.runs().is_empty() && rest {
                break None;
            }
            tokio::select! {
                biased;
                signal = self.interrupts.first() => break Some(signal),
                _ = ticker.tick() => board.tick(SystemClock.now()),
                change = feed.next() => {
                    let change = match change {
                        Ok(Some(change)) => change,
                        Ok(None) => break None,
                        Err(failure) => {
                            board.finish();
                            return Err(failure);
                        }
                    };
                    let now = SystemClock.now();
                    match change {
                        Change::Reset(runs) => board.reset(runs, now)?,
                        Change::Seen(run) => board.seen(*run, now)?,
                        Change::Left(run) => board.left(&run, now)?,
                        Change::Notice(text) => board.notice(&text),
                    }
                }
            }
        };
        board.finish();
        self.end_of_many(&board, counts)?;
        match signal {
            Some(signal) => {
                say("detached; the runs go on");
                Ok(Exit::Signal(signal))
            }
            None => {
                let exits = board.runs().values().map(|run| Exit::of_run(run.status));
                Ok(exits.max_by_key(|exit| exit.code()).unwrap_or(Exit::Done))
            }
        }
    }

    /// Answers with the runs as they stand, if they were not answered line by line.
    fn end_of_many(&self, board: &Board, counts: Counts) -> Result<()> {
        if board.tells_changes() {
            return Ok(());
        }
        let runs: Vec<RunSummary> = board.runs().values().rev().cloned().collect();
        match self.show.output {
            TextOrJson::Json => answer_json(&Page::new(&runs, None)),
            TextOrJson::Text => answer(&runs::table(&runs, counts, SystemClock.now(), stdout_width())),
        }
    }
}

/// True for a run that goes no further by itself.
fn rests(status: RunStatus) -> bool {
    !matches!(status, RunStatus::Pending | RunStatus::Running | RunStatus::Paused)
}
