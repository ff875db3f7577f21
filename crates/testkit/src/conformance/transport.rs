//! The contract of [`AgentTransport`].
//!
//! In an adapter's tests, this makes a `#[test]` of each case; the agents are written by whoever wrote the adapter, in
//! whatever the adapter speaks:
//!
//! ```text
//! tutti_testkit::transport_conformance!(|| Subject::new(MyTransport::new(), MyAgents));
//! ```

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod cases;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tutti_core::ids::{AttemptKey, StepId, StepPath};
use tutti_core::ports::agent::{AgentCall, AgentEndpoint, AgentTransport, AgentUpdate, UpdateSink};
use tutti_core::value::Json;
use tutti_core::workflow::Priority;

use crate::given::run_id;

/// The capability that every agent of the suite offers.
pub const CAPABILITY: &str = "conformance";

/// What [`Behaviour::Fail`] gives as its reason, and [`Behaviour::Ask`] as its question.
pub const WORDS: &str = "the grapes are sour";

/// The name of the artifact of [`Behaviour::Artifacts`], and the pieces of text that it comes in.
pub const ARTIFACT: (&str, [&str; 3]) = ("report.txt", ["one, ", "two, ", "three"]);

/// Longest that a case may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// What an agent of the suite does with each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Completes the task; the output is the input.
    Echo,
    /// Ends the task as failed, because of [`WORDS`].
    Fail,
    /// Refuses the task, because of [`WORDS`].
    Reject,
    /// Sends [`ARTIFACT`] piece by piece, then does as [`Behaviour::Echo`].
    Artifacts,
    /// Asks [`WORDS`] and waits for an answer.
    Ask,
    /// Waits until [`TestAgent::release`], then does as [`Behaviour::Echo`]. Stops when the task is cancelled.
    Hold,
}

/// Starts agents.
#[async_trait]
pub trait TestAgents: Send + Sync {
    /// Starts an agent that offers [`CAPABILITY`]; it serves at least until what is returned is dropped.
    async fn start(&self, behaviour: Behaviour) -> Box<dyn TestAgent>;

    /// Where no agent is.
    async fn nowhere(&self) -> AgentEndpoint;
}

/// A running agent.
pub trait TestAgent: Send + Sync {
    /// Where it is.
    fn endpoint(&self) -> AgentEndpoint;

    /// How many tasks it has begun to work on.
    fn started(&self) -> usize;

    /// Lets a held task, and every later one, go on.
    fn release(&self);
}

/// A transport, and agents that it can call.
pub struct Subject {
    transport: Arc<dyn AgentTransport>,
    agents: Arc<dyn TestAgents>,
}

impl Subject {
    /// A transport that no other case uses.
    pub fn new(transport: impl AgentTransport + 'static, agents: impl TestAgents + 'static) -> Self {
        Self { transport: Arc::new(transport), agents: Arc::new(agents) }
    }

    /// Starts an agent, and gives an attempt that asks it.
    async fn start(&self, behaviour: Behaviour) -> (Box<dyn TestAgent>, AgentCall) {
        let agent = self.agents.start(behaviour).await;
        let call = call(agent.endpoint(), r#"{"n": 1}"#);
        (agent, call)
    }
}

/// One rule of the contract, and the code that checks it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What holds.
    pub name: &'static str,
    /// Panics if it does not hold.
    pub run: fn(Subject) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Every case, for those who do not want [`transport_conformance!`](crate::transport_conformance).
#[must_use]
pub fn all() -> Vec<Case> {
    crate::__transport_cases!(list())
}

/// Runs a case on a runtime of its own, in which the subject is made.
///
/// # Panics
/// If the rule does not hold, if it takes a minute, or if there is no case of this name.
pub fn check(name: &str, fresh: impl FnOnce() -> Subject) {
    let case = all().into_iter().find(|case| case.name == name).expect("a case of this name");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let done = tokio::time::timeout(DEADLINE, (case.run)(fresh())).await;
        done.unwrap_or_else(|_| panic!("\"{name}\" takes longer than {DEADLINE:?}"));
    });
}

/// The first attempt of a step of a run of its own.
fn call(agent: AgentEndpoint, input: &str) -> AgentCall {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    AgentCall {
        agent,
        key: AttemptKey {
            run: run_id(NEXT.fetch_add(1, Ordering::Relaxed)),
            generation: 0,
            path: StepPath::from(&"step".parse::<StepId>().unwrap()),
            attempt: 1,
        },
        capability: CAPABILITY.parse().unwrap(),
        action: Some("act".to_owned()),
        priority: Priority::Normal,
        input: Json::parse(input.to_owned()).unwrap(),
        timeout: Duration::from_secs(30),
        idle_timeout: None,
        task: None,
        trace_parent: None,
        feedback: None,
    }
}

/// Keeps all news.
#[derive(Default)]
struct News(Mutex<Vec<AgentUpdate>>);

impl News {
    fn seen(&self) -> Vec<AgentUpdate> {
        self.0.lock().unwrap().clone()
    }

    fn task(&self) -> Option<String> {
        self.seen().into_iter().find_map(|update| match update {
            AgentUpdate::Task(task) => Some(task),
            _ => None,
        })
    }
}

impl UpdateSink for News {
    fn update(&self, update: AgentUpdate) {
        self.0.lock().unwrap().push(update);
    }
}

/// Polls until a condition holds; the deadline of the case bounds it.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Makes a `#[test]` of each case of the contract of transports. The argument is called for each, inside of a tokio runtime:
/// a function or closure that returns a [`Subject`](crate::conformance::transport::Subject).
#[macro_export]
macro_rules! transport_conformance {
    ($fresh:expr) => {
        $crate::__transport_cases!(tests($fresh));
    };
}

/// The one list of cases; hands them to [`__each_transport_case!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __transport_cases {
    ($form:ident($($argument:expr)?)) => {
        $crate::__each_transport_case! { $form($($argument)?)
            cases::an_agent_tells_what_it_can_do,
            cases::nobody_describes_an_agent_that_is_not_there,
            cases::every_value_comes_back_as_it_was_sent,
            cases::a_large_value_comes_back,
            cases::the_id_of_the_task_is_told_before_the_end,
            cases::a_failed_task_gives_the_agents_reason,
            cases::a_rejected_task_is_told_from_a_failed_one,
            cases::the_pieces_of_an_artifact_are_joined,
            cases::a_question_suspends_the_attempt,
            cases::a_call_ends_when_its_time_is_up,
            cases::a_call_to_nobody_is_worth_repeating,
            cases::a_finished_task_is_found_again,
            cases::a_task_under_way_is_found_again,
            cases::a_suspended_task_is_found_again,
            cases::a_message_that_was_never_sent_is_not_found,
            cases::an_agent_that_cannot_be_asked_is_an_error,
            cases::attempts_are_apart,
            cases::many_calls_keep_their_answers_apart,
            cases::a_cancelled_task_ends,
            cases::a_task_that_is_over_or_unknown_is_cancelled_with_success,
            cases::cancelling_at_nobody_is_an_error,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __each_transport_case {
    (list() $($module:ident::$name:ident),+ $(,)?) => {
        vec![$($crate::conformance::transport::Case {
            name: stringify!($name),
            run: |subject| Box::pin($module::$name(subject)),
        }),+]
    };
    (tests($fresh:expr) $($module:ident::$name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::transport::check(stringify!($name), $fresh);
            }
        )+
    };
}
