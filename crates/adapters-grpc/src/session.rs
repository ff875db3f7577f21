//! One attempt at one agent: sends, follows, finds again and stops its task.
//!
//! What the events mean is [`TaskView`]'s business; here is only what to ask the agent next, and for how long.

use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::Streaming;
use tutti_a2a::task::{is_interrupted, is_terminal, state_of};
use tutti_a2a::v1::{self, send_message_response::Payload};
use tutti_core::ports::agent::{AgentCall, AgentError, AgentErrorKind, AgentReply, Answer, UpdateSink};

use crate::GrpcConfig;
use crate::fault::{Class, Fault, broken};
use crate::peer::{Opened, Peer, Shared};
use crate::request;
use crate::task::{Ending, TaskView};

/// How long an attempt that was given up may take to stop its task at the agent.
const GRACE: Duration = Duration::from_secs(2);

/// Most pages of a context's tasks that are searched. One context is one step of one run, so that even one is rare.
const MAX_PAGES: usize = 50;

/// How long a message that got no answer is looked for at an agent that cannot be reached. Short: nothing is known to be
/// there, and another agent may do the work.
const SEARCH: Duration = Duration::from_millis(500);

/// First and longest pause before an agent is asked again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// One attempt at one agent.
pub struct Session<'a> {
    config: &'a GrpcConfig,
    call: &'a AgentCall,
    updates: &'a dyn UpdateSink,
    peer: Peer<'a>,
    view: TaskView,
    /// True when the agent may be working on the message.
    sent: bool,
}

/// Why reading a stream stopped.
enum Read {
    Ended(Ending),
    /// It closed, or broke.
    Closed(Option<Fault>),
    /// Nothing came for the idle timeout.
    Silent,
}

impl<'a> Session<'a> {
    /// A session that has `timeout` from now.
    pub fn new(shared: &'a Shared, call: &'a AgentCall, updates: &'a dyn UpdateSink, timeout: Duration) -> Self {
        let view = TaskView::new(call.key.operation_id(), call.task.clone());
        Self { config: &shared.config, call, updates, peer: Peer::new(shared, call, timeout), view, sent: false }
    }

    /// Sends the message and follows the task to its end.
    pub async fn call(mut self) -> Ending {
        // The id of an earlier task, if there was one, is not that of the task to come.
        self.view = TaskView::new(self.call.key.operation_id(), None);
        let outcome = timeout_at(self.peer.deadline(), self.send()).await;
        self.close(outcome.unwrap_or_else(|_| Err(late(self.call)))).await
    }

    /// Finds the task of the message, if it was sent before, and follows it to its end.
    pub async fn reattach(mut self) -> Result<Option<Answer>, AgentError> {
        let outcome = timeout_at(self.peer.deadline(), async {
            if self.view.id().is_none() {
                let Some(task) = self.find(self.config.reconnect_window).await? else { return Ok(None) };
                self.found(task)?;
            }
            self.sent = true;
            match self.resume().await {
                Err(fault) if fault.class == Class::UnknownTask => Ok(None),
                outcome => outcome.map(Some),
            }
        });
        match outcome.await.unwrap_or_else(|_| Err(late(self.call))) {
            Ok(None) => Ok(None),
            Ok(Some(ending)) => ending.map(Some),
            Err(fault) => self.close(Err(fault)).await.map(Some),
        }
    }

    /// Answers what the task asked, unless the agent has the answer already, and follows the task to its end.
    pub async fn answer(mut self, reply: &AgentReply) -> Ending {
        let outcome = timeout_at(self.peer.deadline(), self.reply(reply)).await;
        self.close(outcome.unwrap_or_else(|_| Err(late(self.call)))).await
    }

    async fn reply(&mut self, reply: &AgentReply) -> Result<Ending, Fault> {
        let lost = || Fault::refused(AgentErrorKind::Failed, "the agent does not know the task any more");
        if self.view.id().is_none() {
            let task = self.find(self.config.reconnect_window).await?.ok_or_else(lost)?;
            self.found(task)?;
        }
        self.sent = true;
        let mut patience = Patience::new(self.config.reconnect_window);
        let task = loop {
            match self.peer.get_task_with_history(&self.task_id()).await {
                Ok(task) => break task,
                Err(fault) if fault.class == Class::UnknownTask => return Err(lost()),
                Err(fault) => self.wait(&mut patience, fault).await?,
            }
        };
        let message_id = request::reply_id(self.call, reply);
        let asks = is_interrupted(state_of(&task));
        if !asks || task.history.iter().any(|message| message.message_id == message_id) {
            return self.resume().await;
        }
        let message = request::reply(self.call, reply, task);
        // What the task asked is answered: only what comes now counts.
        match self.peer.send_message(message).await {
            Ok(Opened::Stream(stream)) => self.follow(stream).await,
            Ok(Opened::Response(_)) => self.resume().await,
            Err(fault) if matches!(fault.class, Class::Lost | Class::Garbled) => self.resume().await,
            Err(fault) => Err(fault),
        }
    }

    /// Stops the task. One that is over or unknown is a success.
    pub async fn cancel(mut self) -> Result<(), AgentError> {
        let outcome = timeout_at(self.peer.deadline(), self.stop()).await;
        outcome.unwrap_or_else(|_| Err(late(self.call))).map_err(|fault| fault.error)
    }

    /// Stops the task, within a grace period, if the attempt is given up while the agent may still be at it.
    async fn close(&mut self, outcome: Result<Ending, Fault>) -> Ending {
        match outcome {
            Ok(ending) => ending,
            Err(mut fault) => {
                // The time of the attempt and that of its last request are up in the same moment.
                if fault.error.kind == AgentErrorKind::Timeout && self.peer.deadline() <= Instant::now() {
                    fault = late(self.call);
                }
                if self.sent && fault.class != Class::NotSent {
                    self.peer.extend(GRACE);
                    if let Ok(Err(error)) = timeout(GRACE, self.stop()).await {
                        tracing::debug!(agent = %self.call.agent.id, error = %error.error, "could not stop a task");
                    }
                }
                if matches!(fault.error.kind, AgentErrorKind::InvalidAnswer | AgentErrorKind::Timeout) {
                    // What came over this connection was of no use, or nothing came: the next call has another one.
                    self.peer.disconnect();
                }
                // A later request may be one that the agent never got; what counts is the message.
                Err(AgentError { unsent: !self.sent, ..fault.error })
            }
        }
    }

    async fn send(&mut self) -> Result<Ending, Fault> {
        // From here on, time may run out with the message on its way.
        self.sent = true;
        let ending = match self.peer.send().await {
            Ok(Opened::Stream(stream)) => return self.follow(stream).await,
            Ok(Opened::Response(response)) => match response.payload {
                Some(Payload::Task(task)) => self.view.snapshot(task, self.updates)?,
                Some(Payload::Message(message)) => self.view.message(message, self.updates)?,
                None => return Err(broken("an answer without content").into()),
            },
            Err(fault) => return self.recover(Some(fault)).await,
        };
        match ending {
            Some(ending) => Ok(ending),
            None => self.resume().await,
        }
    }

    /// Follows the stream that the message opened.
    async fn follow(&mut self, mut stream: Streaming<v1::StreamResponse>) -> Result<Ending, Fault> {
        loop {
            match self.read(&mut stream).await? {
                Read::Ended(ending) => return Ok(ending),
                Read::Closed(fault) => return self.recover(fault).await,
                // A task may well work in silence. The answer here only tells that the agent is alive and knows it:
                // its artifacts may hold chunks that the stream is still to bring.
                Read::Silent if self.view.id().is_some() => match self.get_task().await {
                    Ok(task) if is_terminal(state_of(&task)) => {
                        if let Some(ending) = self.view.snapshot(task, self.updates)? {
                            return Ok(ending);
                        }
                    }
                    Ok(_) => {}
                    Err(fault) if fault.is_transient() => return self.resume().await,
                    Err(fault) => return Err(fault),
                },
                Read::Silent => {}
            }
        }
    }

    /// Goes on after the message got no answer, or its stream ended early.
    async fn recover(&mut self, fault: Option<Fault>) -> Result<Ending, Fault> {
        if self.view.id().is_some() {
            return self.resume().await;
        }
        match fault {
            // It never came there, or the agent refused it: there is nothing to look for.
            Some(fault) if !matches!(fault.class, Class::Lost | Class::Garbled) => {
                self.sent = false;
                Err(fault)
            }
            fault => {
                let Some(task) = self.find(SEARCH).await? else {
                    return Err(fault.unwrap_or_else(|| broken("the stream ended without an answer").into()));
                };
                self.found(task)?;
                self.resume().await
            }
        }
    }

    /// Follows a task that is known by its id, through as many subscriptions as it takes.
    async fn resume(&mut self) -> Result<Ending, Fault> {
        let mut patience = Patience::new(self.config.reconnect_window);
        loop {
            match self.get().await {
                Ok(Some(ending)) => return Ok(ending),
                Ok(None) => patience.renew(),
                Err(fault) => {
                    self.wait(&mut patience, fault).await?;
                    continue;
                }
            }
            match self.peer.subscribe(&self.task_id()).await {
                Ok(mut stream) => match self.read(&mut stream).await? {
                    Read::Ended(ending) => return Ok(self.confirm(ending).await),
                    Read::Silent => return self.give_up_silent().await,
                    Read::Closed(_) => {}
                },
                // Not offered, or the task ended a moment ago: ask for the task again.
                Err(fault) if fault.class == Class::Unsupported || fault.is_transient() => {}
                Err(fault) => return Err(fault),
            }
            sleep(patience.pause()).await;
        }
    }

    /// A subscription joins a stream midway, so that a chunk may be missed or come twice; the task itself is right.
    async fn confirm(&mut self, ending: Ending) -> Ending {
        match self.get().await {
            Ok(Some(confirmed)) => confirmed,
            _ => ending,
        }
    }

    /// After a restart of the agent its task may stay WORKING for ever: asked once more, then given up.
    async fn give_up_silent(&mut self) -> Result<Ending, Fault> {
        if let Some(ending) = self.get().await? {
            return Ok(ending);
        }
        let idle = self.idle_timeout();
        let message = format!("the task was found again but said nothing for {idle:?}");
        Err(Fault::refused(AgentErrorKind::Timeout, message))
    }

    /// How long the agent may say nothing before it is asked.
    fn idle_timeout(&self) -> Duration {
        self.call.idle_timeout.unwrap_or(self.config.idle_timeout)
    }

    async fn read(&mut self, stream: &mut Streaming<v1::StreamResponse>) -> Result<Read, Fault> {
        loop {
            match timeout(self.idle_timeout(), stream.message()).await {
                Ok(Ok(Some(event))) => {
                    // An agent that sends faster than this reads would never let the time be looked at.
                    consume_budget().await;
                    if let Some(ending) = self.view.event(event, self.updates)? {
                        return Ok(Read::Ended(ending));
                    }
                }
                Ok(Ok(None)) => return Ok(Read::Closed(None)),
                Ok(Err(status)) => return Ok(Read::Closed(Some(self.peer.fault(status)))),
                Err(_) => return Ok(Read::Silent),
            }
        }
    }

    /// The task that our message started, by the message id in its history. `None` when there is none, or when the
    /// agent does not list tasks. An agent that cannot be reached is asked again within the window.
    async fn find(&mut self, window: Duration) -> Result<Option<v1::Task>, Fault> {
        let mut patience = Patience::new(window);
        let message_id = self.call.key.message_id();
        let mut page_token = String::new();
        let mut pages = 0;
        while pages < MAX_PAGES {
            let page = match self.peer.list_tasks(&page_token).await {
                Ok(page) => page,
                Err(fault) if matches!(fault.class, Class::Unsupported | Class::UnknownTask) => return Ok(None),
                Err(fault) => {
                    self.wait(&mut patience, fault).await?;
                    continue;
                }
            };
            pages += 1;
            let ours = |task: &v1::Task| task.history.iter().any(|message| message.message_id == message_id);
            if let Some(task) = page.tasks.into_iter().find(ours) {
                return Ok(Some(task));
            }
            if page.next_page_token.is_empty() {
                return Ok(None);
            }
            page_token = page.next_page_token;
        }
        Err(broken(format!("more than {MAX_PAGES} pages of tasks in one context")).into())
    }

    /// Learns the id of a task that was found; the rest is asked for anew.
    fn found(&mut self, task: v1::Task) -> Result<(), Fault> {
        let id = v1::Task { id: task.id, context_id: task.context_id, ..Default::default() };
        self.view.snapshot(id, self.updates)?;
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), Fault> {
        if self.view.id().is_none() {
            let Some(task) = self.find(SEARCH).await? else { return Ok(()) };
            self.found(task)?;
        }
        let Err(fault) = self.peer.cancel_task(&self.task_id()).await else { return Ok(()) };
        match fault.class {
            Class::UnknownTask => Ok(()),
            // Refused, perhaps because the task is over: cancelling what is cancelled is an error to many agents.
            Class::Refused | Class::Unsupported => match self.get_task().await {
                Ok(task) if is_terminal(state_of(&task)) => Ok(()),
                Err(Fault { class: Class::UnknownTask, .. }) => Ok(()),
                Ok(_) | Err(_) => Err(fault),
            },
            Class::NotSent | Class::Lost | Class::Garbled | Class::Busy => Err(fault),
        }
    }

    /// Waits before a request is repeated; gives the fault back when it is not worth it or was tried long enough.
    async fn wait(&mut self, patience: &mut Patience, fault: Fault) -> Result<(), Fault> {
        if !fault.is_transient() || patience.is_over() {
            return Err(fault);
        }
        sleep(patience.pause().max(fault.error.retry_after.unwrap_or_default())).await;
        if fault.class == Class::NotSent {
            // Should the card be out of reach as well, the next request will say so.
            let _ = self.peer.locate().await;
        }
        Ok(())
    }

    /// Asks for the task and takes it over.
    async fn get(&mut self) -> Result<Option<Ending>, Fault> {
        let task = self.get_task().await?;
        Ok(self.view.snapshot(task, self.updates)?)
    }

    async fn get_task(&mut self) -> Result<v1::Task, Fault> {
        self.peer.get_task(&self.task_id()).await
    }

    fn task_id(&self) -> String {
        self.view.id().unwrap_or_default().to_owned()
    }
}

fn late(call: &AgentCall) -> Fault {
    let message = format!("no answer within {:?}", call.timeout);
    Fault { error: AgentError::new(AgentErrorKind::Timeout, message), class: Class::Lost }
}

/// How long and how often an agent that does not answer is asked again.
struct Patience {
    window: Duration,
    /// When it stopped answering.
    since: Option<Instant>,
    pause: Duration,
}

impl Patience {
    const fn new(window: Duration) -> Self {
        Self { window, since: None, pause: PAUSE.0 }
    }

    /// It answered.
    const fn renew(&mut self) {
        self.since = None;
    }

    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        now.duration_since(*self.since.get_or_insert(now)) >= self.window
    }

    /// The next pause; each is twice as long as the last.
    fn pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        pause
    }
}
