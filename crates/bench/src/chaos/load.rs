//! What callers do meanwhile: they start runs, command them and watch them, each at whichever server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_api::v1::start_run_request::Source;
use tutti_api::v1::watch_run_response::Message;
use tutti_api::v1::{CancelRunRequest, PauseRunRequest, ResumeRunRequest, StartRunRequest, WatchRunRequest};
use tutti_testkit::sim::Rng;
use uuid::Uuid;

use super::line::Line;
use super::world::{World, answer, request};

/// Callers that command runs.
const COMMANDERS: u64 = 2;

/// One run in so many is watched.
const WATCHED: u64 = 3;

/// A stream that says nothing for so long is asked for elsewhere.
const SILENCE: Duration = Duration::from_secs(4);

/// How long a caller tries when nothing fails any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// What callers were told.
#[derive(Debug, Default)]
pub struct Seen {
    /// Runs by the request that started them.
    pub started: BTreeMap<Uuid, String>,
    /// Runs whose cancellation was acknowledged.
    pub cancelled: Vec<String>,
    /// Runs that were paused or resumed, with the request that was acknowledged.
    pub commanded: Vec<(String, Uuid, &'static str)>,
    /// Requests that were answered well, by the version of the server.
    pub answered: BTreeMap<usize, u64>,
    /// Requests that were sent again.
    retries: BTreeMap<String, u64>,
    /// Watchers, how often one went elsewhere, and the events that they saw.
    watchers: u64,
    reconnects: u64,
    events: u64,
    /// Starts that were sent again after they were acknowledged.
    repeated: u64,
    /// What nobody should have been told.
    wrong: Vec<String>,
}

/// Callers under way.
pub struct Load {
    tasks: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
}

type Client = RunServiceClient<Channel>;

#[derive(Clone)]
struct Caller {
    world: Arc<World>,
    seen: Arc<Mutex<Seen>>,
    stopped: watch::Receiver<bool>,
}

impl Load {
    /// Lets them begin: so many that start runs, and some that command them.
    pub fn start(world: &Arc<World>, starters: u64, seed: u64, stopped: &watch::Receiver<bool>) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let caller = Caller { world: world.clone(), seen: seen.clone(), stopped: stopped.clone() };
        let mut tasks = JoinSet::new();
        for n in 0..starters {
            tasks.spawn(starts(caller.clone(), Rng::new(seed ^ (0x100 + n))));
        }
        for n in 0..COMMANDERS {
            tasks.spawn(commands(caller.clone(), n, Rng::new(seed ^ (0x200 + n))));
        }
        Self { tasks, seen }
    }

    /// Waits until all have their answers.
    pub async fn end(mut self) -> Result<Seen, String> {
        while let Some(done) = self.tasks.join_next().await {
            done.map_err(|e| e.to_string())?;
        }
        Ok(std::mem::take(&mut *self.seen.lock().map_err(|e| e.to_string())?))
    }
}

impl Seen {
    /// What callers saw.
    pub fn lines(&self) -> Vec<Line> {
        vec![
            Line::any("acknowledged starts", &self.started.len()),
            Line::any("  sent again: the same run", &self.repeated),
            Line::any("acknowledged commands", &(self.cancelled.len() + self.commanded.len())),
            Line::any("watchers / how often one went elsewhere", &format!("{} / {}", self.watchers, self.reconnects)),
            Line::any("  events seen, without a gap", &self.events),
            Line::any("requests that were sent again", &self.retries.values().sum::<u64>()),
            Line::none("answers that nobody should get", &self.wrong),
        ]
    }

    /// Why requests were sent again.
    pub fn retries(&self) -> String {
        self.retries.iter().map(|(code, count)| format!("{count} {code}\n")).collect()
    }
}

impl Caller {
    fn over(&self) -> bool {
        *self.stopped.borrow()
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        if let Ok(mut seen) = self.seen.lock() {
            note(&mut seen);
        }
    }

    fn wrong(&self, what: String) {
        self.note(|seen| seen.wrong.push(what));
    }

    /// Asks one server after another until one answers; why not, if the request itself is refused.
    async fn insist<T, A>(&self, chance: &mut Rng, ask: impl Fn(Client) -> A) -> Result<T, Status>
    where
        A: Future<Output = Result<T, Status>>,
    {
        let mut deadline = None;
        loop {
            let server = chance.below(self.world.servers() as u64) as usize;
            let version = self.world.version(server);
            let status = match ask(self.world.client(server)).await {
                Ok(answer) => {
                    self.note(|seen| *seen.answered.entry(version).or_insert(0) += 1);
                    return Ok(answer);
                }
                Err(status) => status,
            };
            if matches!(
                status.code(),
                Code::FailedPrecondition | Code::NotFound | Code::InvalidArgument | Code::AlreadyExists
            ) {
                return Err(status);
            }
            let told: String = status.message().chars().take(60).collect();
            self.note(|seen| *seen.retries.entry(format!("{:?}: {told}", status.code())).or_insert(0) += 1);
            if self.over() && Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + PATIENCE) {
                return Err(status);
            }
            sleep(Duration::from_millis(20 + chance.below(200))).await;
        }
    }
}

async fn starts(caller: Caller, mut chance: Rng) {
    let mut watchers = JoinSet::new();
    while !caller.over() {
        sleep(Duration::from_millis(100 + chance.below(400))).await;
        let id = Uuid::from_u64_pair(chance.next(), chance.next());
        let text = workflow(&mut chance);
        let start = |mut client: Client| {
            let message = StartRunRequest {
                request_id: id.to_string(),
                source: Some(Source::Workflow(text.clone())),
                ..StartRunRequest::default()
            };
            async move { answer(client.start_run(request(message))).await }
        };
        let run = match caller.insist(&mut chance, start).await {
            Ok(answer) => answer.run_id,
            Err(status) => {
                caller.wrong(format!("start {id}: {status}"));
                continue;
            }
        };
        caller.note(|seen| drop(seen.started.insert(id, run.clone())));
        if chance.below(WATCHED) == 0 {
            watchers.spawn(follow(caller.clone(), Rng::new(chance.next()), run.clone()));
        }
        if chance.percent(20) {
            match caller.insist(&mut chance, start).await {
                Ok(again) if again.run_id == run => caller.note(|seen| seen.repeated += 1),
                Ok(again) => caller.wrong(format!("start {id} made {run} and {}", again.run_id)),
                Err(status) => caller.wrong(format!("start {id} again: {status}")),
            }
        }
    }
    watchers.join_all().await;
}

/// Follows a run to its end from whichever server.
async fn follow(caller: Caller, mut chance: Rng, run: String) {
    let (mut next, mut last, mut deadline) = (1, String::new(), None);
    caller.note(|seen| seen.watchers += 1);
    loop {
        let message = WatchRunRequest { run_id: run.clone(), from_seq: next, ..WatchRunRequest::default() };
        let mut client = caller.world.client(chance.below(caller.world.servers() as u64) as usize);
        if let Ok(mut stream) = answer(client.watch_run(message)).await {
            let ended = loop {
                match timeout(SILENCE, stream.message()).await {
                    Ok(Ok(Some(message))) => {
                        let Some(Message::Event(event)) = message.message else { continue };
                        if event.seq != next {
                            return caller.wrong(format!("watcher of {run}: event {} instead of {next}", event.seq));
                        }
                        next += 1;
                        last = event.name;
                        caller.note(|seen| seen.events += 1);
                    }
                    Ok(Ok(None)) => break true,
                    Ok(Err(_)) | Err(_) => break false,
                }
            };
            if ended && matches!(last.as_str(), "RunCompleted" | "RunCancelled" | "RunFailed") {
                return;
            }
            if ended {
                return caller
                    .wrong(format!("watcher of {run}: the stream ended well after {last:?}, number {}", next - 1));
            }
        }
        caller.note(|seen| seen.reconnects += 1);
        if caller.over() && Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + PATIENCE) {
            return caller.wrong(format!("watcher of {run}: no end after event {}", next - 1));
        }
        sleep(Duration::from_millis(50 + chance.below(200))).await;
    }
}

/// Cancels runs, or holds them for a while.
async fn commands(caller: Caller, who: u64, mut chance: Rng) {
    while !caller.over() {
        sleep(Duration::from_millis(200 + chance.below(800))).await;
        // Each has runs of its own, so that what is acknowledged to one is recorded by its own request.
        let own = |run: &&String| run.bytes().last().is_some_and(|last| u64::from(last) % COMMANDERS == who);
        let mut runs: Vec<String> = match caller.seen.lock() {
            Ok(seen) => seen.started.values().filter(own).cloned().collect(),
            Err(_) => return,
        };
        // Ids sort by time: one of the last, which may still be under way.
        runs.sort_unstable();
        let Some(run) = runs.len().checked_sub(1 + chance.below(8) as usize).map(|at| runs[at].clone()) else {
            continue;
        };
        if chance.percent(30) {
            cancel(&caller, &mut chance, run).await;
        } else {
            hold(&caller, &mut chance, run).await;
        }
    }
}

async fn cancel(caller: &Caller, chance: &mut Rng, run_id: String) {
    let message = CancelRunRequest {
        run_id: run_id.clone(),
        request_id: Uuid::from_u64_pair(chance.next(), chance.next()).to_string(),
        reason: "chaos".into(),
        ..CancelRunRequest::default()
    };
    let ask = |mut client: Client| {
        let message = message.clone();
        async move { answer(client.cancel_run(request(message))).await }
    };
    match caller.insist(chance, ask).await {
        Ok(_) => caller.note(|seen| seen.cancelled.push(run_id)),
        Err(status) if status.code() == Code::FailedPrecondition => {}
        Err(status) => caller.wrong(format!("cancel {run_id}: {status}")),
    }
}

async fn hold(caller: &Caller, chance: &mut Rng, run_id: String) {
    let id = Uuid::from_u64_pair(chance.next(), chance.next());
    let message = PauseRunRequest {
        run_id: run_id.clone(),
        request_id: id.to_string(),
        reason: "chaos".into(),
        ..PauseRunRequest::default()
    };
    let ask = |mut client: Client| {
        let message = message.clone();
        async move { answer(client.pause_run(request(message))).await }
    };
    match caller.insist(chance, ask).await {
        Ok(answer) if !answer.unchanged => caller.note(|seen| seen.commanded.push((run_id.clone(), id, "RunPaused"))),
        Ok(_) => {}
        Err(status) if status.code() == Code::FailedPrecondition => return,
        Err(status) => return caller.wrong(format!("pause {run_id}: {status}")),
    }
    sleep(Duration::from_millis(chance.below(1_500))).await;
    let id = Uuid::from_u64_pair(chance.next(), chance.next());
    let message = ResumeRunRequest {
        run_id: run_id.clone(),
        request_id: id.to_string(),
        reason: "chaos".into(),
        ..ResumeRunRequest::default()
    };
    let ask = |mut client: Client| {
        let message = message.clone();
        async move { answer(client.resume_run(request(message))).await }
    };
    match caller.insist(chance, ask).await {
        Ok(answer) if !answer.unchanged => caller.note(|seen| seen.commanded.push((run_id, id, "RunResumed"))),
        Ok(_) => {}
        Err(status) if status.code() == Code::FailedPrecondition => {}
        Err(status) => caller.wrong(format!("resume {run_id}: {status}")),
    }
}

/// Lets runs go on that were set aside, as an operator does.
pub async fn operate(world: Arc<World>, mut chance: Rng) {
    loop {
        let aside = world.sql("SELECT run_id FROM run_view WHERE status = 'quarantined'".into()).await;
        for run in aside.unwrap_or_default().lines() {
            let message = ResumeRunRequest {
                run_id: run.to_owned(),
                request_id: Uuid::from_u64_pair(chance.next(), chance.next()).to_string(),
                reason: "chaos".into(),
                ..ResumeRunRequest::default()
            };
            // Asked again, elsewhere, if it does not help.
            let mut client = world.client(chance.below(world.servers() as u64) as usize);
            let _ = answer(client.resume_run(request(message))).await;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// A chain of 2 to 8 steps, or one step, several beside each other, and one at the end.
fn workflow(chance: &mut Rng) -> String {
    let step = |id: &str, on: &str| {
        format!(
            "- {{id: {id}, capability: log.count, input: {{lines: lines}}, output: {{'*': {id}}}, depends_on: [{on}]}}\n"
        )
    };
    let head = "inputs: {lines: {default: [a INFO b, c ERROR d]}}\nsteps:\n";
    if chance.percent(50) {
        let steps: String = (0..2 + chance.below(7))
            .map(|n| step(&format!("s{n}"), &n.checked_sub(1).map_or_else(String::new, |before| format!("s{before}"))))
            .collect();
        return format!("id: chain\nexecutor: basic\n{head}{steps}");
    }
    let wide: Vec<String> = (0..2 + chance.below(10)).map(|n| format!("w{n}")).collect();
    let middle: String = wide.iter().map(|id| step(id, "first")).collect();
    let (first, last) = (step("first", ""), step("last", &wide.join(", ")));
    format!("id: fan\nexecutor: parallel\nmax_concurrent_tasks: 4\n{head}{first}{middle}{last}")
}
