use bytes::Bytes;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use tokio::time::timeout;
use tutti_adapters_memory::MemoryStore;
use tutti_core::ports::observer::Observer as _;
use tutti_core::ports::query::RunSummary;
use tutti_core::ports::store::{NewRun, RunStore as _, Wake};
use tutti_core::run::{FORMAT, Order, RunCompleted, RunFailed, RunReopened, RunStatus, StepFailed, encode};

use super::super::observer::Queue;
use super::super::testing::{History, failure, path, plan, run};
use super::*;

/// A worker on a store that holds a history.
struct Bench {
    queue: Queue,
    notes: Option<mpsc::Receiver<Note>>,
    worker: Option<Worker>,
    spans: mpsc::Receiver<Span>,
    registry: Registry,
    _meters: SdkMeterProvider,
}

impl Bench {
    /// The queue has so many places; what happened before that second is an earlier process's.
    async fn new(stored: &History, places: usize, since: i64) -> Self {
        let store = Arc::new(MemoryStore::new());
        store.create(new_run(stored)).await.unwrap();
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build().unwrap();
        let meters = SdkMeterProvider::builder().with_reader(reader).build();
        let metrics = Metrics::new(meters.meter("test"));
        let (spans, told) = SpanQueue::new();
        let (sender, notes) = mpsc::channel(places);
        let missed = Arc::new(Missed::default());
        let since = Timestamp::from_micros(since * 1_000_000);
        let worker = Worker::new(store, metrics.clone(), Some(spans), missed.clone(), since);
        let queue = Queue { notes: sender, missed, metrics };
        Self { queue, notes: Some(notes), worker: Some(worker), spans: told, registry, _meters: meters }
    }

    fn tell(&self, events: &[Recorded]) {
        events.iter().for_each(|event| self.queue.recorded(run(), &Arc::new(event.clone())));
    }

    fn begin(&mut self) {
        tokio::spawn(self.worker.take().unwrap().run(self.notes.take().unwrap()));
    }

    /// The names of the spans until that of the run, and of what came with it.
    async fn told(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while names.last().is_none_or(|name| name != "run demo") {
            let span = timeout(Duration::from_secs(30), self.spans.recv()).await.expect("it was told").unwrap();
            names.push(span.name);
        }
        names
    }

    /// Ends the worker; what it told beside what was asked for.
    async fn rest(&mut self) -> Vec<String> {
        let (done, stopped) = tokio::sync::oneshot::channel();
        self.queue.notes.send(Note::Stop(done)).await.ok().unwrap();
        stopped.await.unwrap();
        let mut names = Vec::new();
        while let Some(span) = self.spans.recv().await {
            names.push(span.name);
        }
        names
    }

    fn metric(&self, line: &str) -> Option<f64> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().rsplit(' ').next()?.parse().ok())
    }
}

fn new_run(history: &History) -> NewRun {
    let Event::RunCreated(created) = &history.0[0].event else { panic!("a history begins so") };
    let summary = RunSummary {
        run: run(),
        workflow: created.workflow.clone(),
        version: created.version.clone(),
        definition: created.definition,
        status: RunStatus::Running,
        steps: 2,
        completed: 0,
        failed: 0,
        created_at: history.0[0].at,
        updated_at: history.0[0].at,
        ended_at: None,
        error: None,
        key: None,
        session: None,
        labels: std::collections::BTreeMap::new(),
    };
    NewRun {
        namespace: created.namespace.clone(),
        run: run(),
        request: created.request,
        key: None,
        definition: (created.definition, Bytes::copy_from_slice(plan().canonical())),
        events: history.0.iter().map(encode).collect(),
        summary,
        wake: Wake::Active,
        min_reader: FORMAT,
        commit_id: 1,
    }
}

fn whole() -> History {
    let history = History::new(None).start("a", 1).complete("a", 1).start("b", 1).fail("b", 1).start("b", 2);
    history.complete("b", 2).and(Event::RunCompleted(RunCompleted {}))
}

const NAMES: [&str; 7] = ["plan", "attempt bob", "step a", "attempt bob", "attempt bob", "step b", "run demo"];

#[tokio::test]
async fn a_run_that_is_taken_over_is_told_whole_and_counted_from_then_on() {
    let history = whole();
    // The process before did all up to the first attempt of b, which ends now.
    let mut bench = Bench::new(&history, 100, 5).await;
    bench.tell(&history.0[4..]);
    bench.begin();
    assert_eq!(bench.told().await, NAMES);
    assert_eq!(bench.metric("tutti_runs_started_total"), None, "the process before counted it");
    assert_eq!(bench.metric("tutti_steps_ended_total"), Some(1.0));
    assert_eq!(bench.metric("tutti_attempts_in_flight"), Some(0.0));
    assert_eq!(bench.rest().await, [""; 0], "nothing twice");
}

#[tokio::test]
async fn what_the_queue_has_no_room_for_is_read_from_the_store() {
    let history = whole();
    let mut bench = Bench::new(&history, 2, 0).await;
    bench.tell(&history.0);
    assert_eq!(bench.metric("tutti_telemetry_dropped_total"), Some(6.0));
    bench.begin();
    assert_eq!(bench.told().await, NAMES);
    bench.tell(&history.0[7..]);
    assert_eq!(bench.metric("tutti_runs_started_total"), Some(1.0));
    assert_eq!(bench.metric("tutti_runs_ended_total"), Some(1.0));
    assert_eq!(bench.metric("tutti_runs_active"), Some(0.0));
    assert_eq!(bench.rest().await, [""; 0], "nothing twice");
}

#[tokio::test]
async fn of_a_reopened_run_only_what_is_new_is_told() {
    let failed = History::new(None).start("a", 1).fail("a", 1);
    let failed = failed.and(Event::StepFailed(StepFailed { step: path("a"), error: failure() }));
    let failed = failed.and(Event::RunFailed(RunFailed { step: Some(path("a")), error: failure(), undone: None }));
    let reopened = RunReopened { order: Order::new("ops", "again"), generation: 1 };
    let history = failed.and(Event::RunReopened(reopened)).start("a", 1).complete("a", 1);
    let history = history.and(Event::RunCompleted(RunCompleted {}));
    for since in [0, 6] {
        let mut bench = Bench::new(&history, 100, since).await;
        bench.begin();
        if since == 0 {
            bench.tell(&history.0[..5]);
            assert_eq!(bench.told().await, ["plan", "attempt bob", "step a", "run demo"]);
        }
        bench.tell(&history.0[5..]);
        assert_eq!(bench.told().await, ["attempt bob", "step a", "run demo"], "since {since}");
        assert_eq!(bench.rest().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_run_whose_caller_does_not_keep_the_trace_is_counted_and_not_sent() {
    let mut history = History::new(Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"));
    history = history.start("a", 1).complete("a", 1).and(Event::RunCompleted(RunCompleted {}));
    let mut bench = Bench::new(&history, 100, 0).await;
    bench.tell(&history.0);
    bench.begin();
    assert_eq!(bench.rest().await, [""; 0]);
    assert_eq!(bench.metric("tutti_runs_ended_total"), Some(1.0));
    assert_eq!(bench.metric("tutti_telemetry_spans_created_total"), None);
}
