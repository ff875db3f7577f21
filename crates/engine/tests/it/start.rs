//! What callers say of a run beside its workflow: keys, sessions, deadlines, registered workflows; and following them all.

use std::sync::Arc;
use std::time::Duration;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::health::Health;
use tutti_core::ports::inbound::runs::{
    KeyConflict, KeyPolicy, KeyReuse, Runs, StartOptions, StartRequest, StartedRun, WorkflowSource,
};
use tutti_core::ports::inbound::values::Values;
use tutti_core::ports::inbound::views::Views;
use tutti_core::ports::inbound::workflows::{ListWorkflows, PlanDescription, RegisterWorkflow, Workflows};
use tutti_core::run::RunStatus;
use tutti_core::time::{Span, Timestamp};
use tutti_engine::{Describer, RunService, WorkflowService};

use crate::service::{request, service, until};
use crate::support::{Scripted, Step, World};

const ONE: &str = "id: w\nsteps: [{id: s, capability: c}]";

fn keyed(number: u128, reuse: KeyReuse, conflict: KeyConflict) -> StartRequest {
    let key = Some(("order/31".parse().unwrap(), KeyPolicy { reuse, conflict }));
    StartRequest { options: StartOptions { key, ..StartOptions::default() }, ..request(number, ONE, "") }
}

async fn status(runs: &RunService, run: RunId) -> RunStatus {
    runs.get(&Namespace::default(), run).await.unwrap().status()
}

async fn ended(runs: &RunService, started: &StartedRun) -> RunStatus {
    for _ in 0..100_000 {
        let now = status(runs, started.run).await;
        if now.is_ended() {
            return now;
        }
        tokio::task::yield_now().await;
    }
    panic!("the run does not end");
}

#[tokio::test(start_paused = true)]
async fn a_key_names_one_run_as_its_policies_say() {
    use KeyConflict::{Fail, TerminateExisting, UseExisting};
    use KeyReuse::{AllowDuplicate, AllowDuplicateFailedOnly, RejectDuplicate};
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let runs = service(world.engine());
    let first = runs.start(keyed(1, AllowDuplicate, Fail)).await.unwrap();
    let refused = runs.start(keyed(2, AllowDuplicate, Fail)).await.unwrap_err();
    assert!(matches!(&refused, RequestError::AlreadyExists { what, .. } if what.contains(&first.run.to_string())));
    let same = runs.start(keyed(3, AllowDuplicate, UseExisting)).await.unwrap();
    assert_eq!(same, StartedRun { run: first.run, existed: true });
    let second = runs.start(keyed(4, AllowDuplicate, TerminateExisting)).await.unwrap();
    assert!(!second.existed && second.run != first.run);
    assert_eq!(status(&runs, first.run).await, RunStatus::Terminated);
    // It ended without what it was for; only a policy that never allows another refuses.
    runs.start(keyed(5, RejectDuplicate, TerminateExisting)).await.unwrap();
    let third = runs.start(keyed(5, RejectDuplicate, TerminateExisting)).await.unwrap();
    assert!(third.existed, "the same request again");

    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let runs = service(world.engine());
    let first = runs.start(keyed(1, AllowDuplicateFailedOnly, Fail)).await.unwrap();
    assert_eq!(ended(&runs, &first).await, RunStatus::Completed);
    assert!(runs.start(keyed(2, AllowDuplicateFailedOnly, Fail)).await.is_err());
    assert!(runs.start(keyed(3, RejectDuplicate, UseExisting)).await.is_err());
    let second = runs.start(keyed(4, AllowDuplicate, Fail)).await.unwrap();
    assert!(!second.existed);
}

#[tokio::test(start_paused = true)]
async fn a_request_id_stands_for_one_request() {
    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let runs = service(world.engine());
    let first = runs.start(request(1, ONE, "")).await.unwrap();
    assert_eq!(runs.start(request(1, ONE, "")).await.unwrap(), StartedRun { run: first.run, existed: true });
    let other = runs.start(request(1, ONE, r#"{"n": 1}"#)).await.unwrap_err();
    let RequestError::AlreadyExists { existing, given, .. } = other else { panic!("{other}") };
    assert_ne!(existing, given);
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_at_the_deadline_that_its_caller_gave() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let runs = service(world.engine());
    let timeout = Some(Span(Duration::from_secs(5)));
    let options = StartOptions { timeout, ..StartOptions::default() };
    let began = world.clock.now();
    let run = runs.start(StartRequest { options, ..request(1, ONE, "") }).await.unwrap();
    assert_eq!(ended_after(&runs, &run).await, RunStatus::Failed);
    assert!(world.clock.now().since(began) < Duration::from_secs(30), "and not of the attempt or the workflow");
    let error = runs.get(&Namespace::default(), run.run).await.unwrap().error().unwrap();
    assert!(error.contains("within 5s"), "{error}");
}

/// As `ended`, with time going on.
async fn ended_after(runs: &RunService, started: &StartedRun) -> RunStatus {
    let mut from = 1;
    loop {
        let wait = Duration::from_secs(60);
        let request = tutti_core::ports::inbound::views::EventsRequest {
            namespace: Namespace::default(),
            run: started.run,
            from,
            limit: 100,
            wait,
        };
        let page = runs.events(request).await.unwrap();
        from += page.events.len() as u64;
        if page.ended && page.events.is_empty() {
            return status(runs, started.run).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn runs_of_a_session_find_what_completed_ones_left_and_no_others() {
    let world = World::new(Scripted::new(|call, _| match call.input.as_str() {
        // The name that the run was told, or the one that the session knows.
        input if input.contains("Ana") => Step::Answer(r#"{"greeting":"Hello Ana"}"#),
        _ => Step::Answer(r#"{"greeting":"Hello stranger"}"#),
    }));
    let runs = service(world.engine());
    let workflow = "id: greet\nshare: [name]\ninputs: {name: {}}\nsteps:\n- id: s\n  capability: c\n  input: \
                    {now: {from: name, required: false}, before: {from: session.name, required: false}}\n  \
                    output: {greeting: greeting}";
    let start = async |number: u128, namespace: &str, session: Option<&str>, inputs: &str| {
        let session = session.map(|session| session.parse().unwrap());
        let options = StartOptions { session, ..StartOptions::default() };
        let namespace: Namespace = namespace.parse().unwrap();
        let request = StartRequest { namespace: namespace.clone(), options, ..request(number, workflow, inputs) };
        let run = runs.start(request).await.unwrap();
        for _ in 0..100_000 {
            if runs.get(&namespace, run.run).await.unwrap().status().is_ended() {
                break;
            }
            tokio::task::yield_now().await;
        }
        runs.data(&namespace, run.run).await.unwrap().as_str().to_owned()
    };
    assert!(start(1, "default", Some("s"), r#"{"name":"Ana"}"#).await.contains("Hello Ana"));
    let second = start(2, "default", Some("s"), "").await;
    assert!(second.contains("Hello Ana") && second.contains(r#""session":{"name":"Ana"}"#), "{second}");
    assert!(start(3, "default", Some("t"), "").await.contains("stranger"), "another session");
    assert!(start(4, "default", None, "").await.contains("stranger"), "no session");
    assert!(start(5, "other", Some("s"), "").await.contains("stranger"), "another namespace");
    tokio::time::advance(Duration::from_secs(25 * 3600)).await;
    assert!(start(6, "default", Some("s"), "").await.contains("stranger"), "the session was over");
}

fn register(text: &str) -> RegisterWorkflow {
    RegisterWorkflow {
        namespace: Namespace::default(),
        request: uuid::Uuid::nil(),
        text: text.to_owned(),
        by: "ana".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_registered_version_never_changes_and_runs_keep_theirs() {
    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let engine = world.engine();
    let runs = service(engine.clone());
    let describer: Describer = Arc::new(|subject| {
        Ok(PlanDescription { text: format!("{} steps", subject.workflow.steps.len()), ..PlanDescription::default() })
    });
    let workflows = WorkflowService::new(&engine, describer);
    let (one, two) = (format!("{ONE}\nversion: '1'"), format!("{ONE}\nversion: '2'\nname: W"));
    let first = workflows.register(register(&one)).await.unwrap();
    assert!(first.latest && !first.existed);
    assert!(workflows.register(register(&format!("# a comment\n{one}"))).await.unwrap().existed);
    let changed = workflows.register(register(&one.replace("id: s", "id: t"))).await.unwrap_err();
    assert!(matches!(changed, RequestError::AlreadyExists { existing, .. } if existing == first.definition));
    let (namespace, id) = (Namespace::default(), "w".parse().unwrap());
    let of = |version: Option<&str>| WorkflowSource::Registered {
        id: "w".parse().unwrap(),
        version: version.map(ToOwned::to_owned),
    };
    let start = async |number, version| {
        runs.start(StartRequest { workflow: of(version), ..request(number, "", "") }).await.map(|started| started.run)
    };
    let old = start(1, None).await.unwrap();
    assert!(workflows.register(register(&two)).await.unwrap().latest);
    let new = start(2, None).await.unwrap();
    let pinned = start(3, Some("1")).await.unwrap();
    let version = async |run| runs.get(&namespace, run).await.unwrap().created().unwrap().version.clone();
    assert_eq!([version(old).await, version(new).await, version(pinned).await], ["1", "2", "1"]);
    assert_eq!(start(1, None).await.unwrap(), old, "the same request, whatever was registered since");
    assert!(matches!(start(4, Some("3")).await, Err(RequestError::NotFound(_))));

    let (found, text) = workflows.get(&namespace, &id, Some("1")).await.unwrap();
    assert_eq!((found.latest, text), (false, one), "the first file of this content");
    workflows.register(register(&ONE.replace("id: w", "id: ww"))).await.unwrap();
    let names = async |id: Option<&str>, all_versions, limit| {
        let (mut names, mut cursor) = (Vec::new(), None);
        loop {
            let id = id.map(|id| id.parse().unwrap());
            let request = ListWorkflows { namespace: namespace.clone(), id, all_versions, limit, cursor };
            let page = workflows.list(request).await.unwrap();
            names.extend(page.workflows.iter().map(|w| format!("{}@{} {}", w.id, w.version, w.latest)));
            cursor = page.next;
            if cursor.is_none() {
                return names;
            }
        }
    };
    for limit in [1, 2, 50] {
        assert_eq!(names(None, false, limit).await, ["w@2 true", "ww@ true"]);
        assert_eq!(names(None, true, limit).await, ["w@1 false", "w@2 true", "ww@ true"]);
        assert_eq!(names(Some("w"), false, limit).await, ["w@2 true"]);
        assert_eq!(names(Some("w"), true, limit).await, ["w@1 false", "w@2 true"]);
    }
    let nowhere = ListWorkflows { namespace: "other".parse().unwrap(), ..ListWorkflows::default() };
    assert!(workflows.list(nowhere).await.unwrap().workflows.is_empty());
    let forged = ListWorkflows { cursor: Some("x".into()), ..ListWorkflows::default() };
    assert!(matches!(workflows.list(forged).await, Err(RequestError::Invalid(_))));
    assert_eq!(workflows.plan(&namespace, &of(Some("1"))).await.unwrap().text, "1 steps");
    let problems = workflows.validate(&namespace, &ONE.replace("capability: c", "capability: d")).await.unwrap();
    assert!(problems.len() == 1 && !problems[0].is_error() && problems[0].reason.contains("\"d\""), "{problems:?}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_goes_by_the_configured_threshold_where_the_file_names_none() {
    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let describer: Describer = Arc::new(|subject| {
        Ok(PlanDescription { text: subject.workflow.parallel_threshold.to_string(), ..PlanDescription::default() })
    });
    let workflows = WorkflowService::new(&world.engine(), describer).with_parallel_threshold(Some(7));
    let planned =
        async |text: String| workflows.plan(&Namespace::default(), &WorkflowSource::Text(text)).await.unwrap().text;
    assert_eq!(planned(ONE.to_owned()).await, "7");
    assert_eq!(planned(format!("{ONE}\nparallel_threshold: 2")).await, "2");
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_by_filter_also_when_a_run_leaves_it() {
    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let runs = service(world.engine());
    let filter = RunFilter::parse("-state:completed workflow:w", Timestamp::default()).unwrap();
    let mut changes = runs.changes(&Namespace::default(), &filter).await.unwrap();
    let mut others = runs.changes(&"other".parse().unwrap(), &filter).await.unwrap();
    let run = runs.start(request(1, ONE, "")).await.unwrap();
    until(|| world.agents.calls().len() == 1).await;
    let mut last = None;
    let told = async {
        while let Some(told) = changes.next().await.unwrap() {
            let change = told.into_iter().last().unwrap();
            let done = change.run.status == RunStatus::Completed;
            last = Some(change);
            if done {
                return;
            }
        }
    };
    // A run that is over before it was told of is not told; one that was, is told when it leaves.
    let quiet = tokio::time::timeout(Duration::from_secs(60), told).await.is_err();
    assert_eq!(status(&runs, run.run).await, RunStatus::Completed);
    assert!(quiet || last.is_some_and(|change| !change.matches && change.run.completed == 1));
    assert!(tokio::time::timeout(Duration::from_secs(60), others.next()).await.is_err(), "another namespace");
    let health = runs.health();
    assert_eq!((health.completed_attempts, health.success_rate()), (1, Some(1.0)));
    assert!(health.decided_at.is_some());
}
