//! Messages: those that start a run, and those that answer what one asks.

use tonic::{Request, Status};
use tutti_a2a::error::Reason;
use tutti_a2a::task::is_terminal;
use tutti_a2a::{json, request as keys, v1};
use tutti_core::ids::{Namespace, RequestId, RunId, WorkflowId};
use tutti_core::orchestration::{Preset, Wishes};
use tutti_core::ports::inbound::runs::{CommandRequest, StartOptions, StartRequest, WorkflowSource};
use tutti_core::ports::inbound::workflows::ListWorkflows;
use tutti_core::report::RunView;
use tutti_core::run::{Command, Order};
use tutti_core::value::{Digest, Json, Payload};
use tutti_core::workflow::parse;

use super::OrchestratorAgent;
use super::input::Said;
use super::labels::{self, Labels, MAX_ID};
use super::refusal::{invalid, no_push, of_start, of_task};
use super::task::{context_of, reason_of, state_of, waiting};
use crate::api::caller::{caller, namespace, recorded};
use crate::api::runs::trace_parent;

/// Where the metadata of a message or its request name the skill; the last is what Tutti itself sends to agents.
const SKILL: [&str; 3] = ["skill_id", "tutti.workflow", keys::CAPABILITY];

/// Where they name the step that an answer is for, if several ask.
const STEP: &str = "tutti.step";

/// Where they name the preset and the domain of the run.
const PRESET: &str = "tutti.preset";
const DOMAIN: &str = "tutti.domain";

/// The skill of planning and running what a text asks for.
pub(super) const PLAN_SKILL: &str = "tutti.plan";

/// Most skills named in an error.
const NAMED: usize = 20;

/// A message that was taken, and its task's run as it stands.
pub(super) struct Accepted {
    pub(super) namespace: Namespace,
    pub(super) view: RunView,
}

/// Who sends a message, for whom, and by which request.
struct Sender {
    namespace: Namespace,
    by: String,
    request: RequestId,
    trace_parent: Option<String>,
}

/// A message with what its request says beside it.
struct Mail {
    message: v1::Message,
    beside: Option<prost_types::Struct>,
}

impl Mail {
    /// A text of the metadata, those of the message before those of the request.
    fn text(&self, key: &str) -> Option<String> {
        let all = [self.message.metadata.as_ref(), self.beside.as_ref()];
        all.into_iter().flatten().find_map(|metadata| {
            let value = json::from_proto(metadata.fields.get(key)?).ok()?;
            value.as_str().map(str::to_owned)
        })
    }

    /// How the run is to be orchestrated.
    fn wishes(&self) -> Result<Wishes, Status> {
        let preset = self.text(PRESET).map(|preset| preset.parse::<Preset>()).transpose();
        let preset = preset.map_err(|why| invalid(format!("metadata.{PRESET}"), why))?;
        Ok(Wishes { preset, domain: self.text(DOMAIN), ..Wishes::default() })
    }
}

impl OrchestratorAgent {
    /// Takes a message: a new run, or the answer that one waits for. One that was taken before does nothing again.
    pub(super) async fn accept(&self, request: Request<v1::SendMessageRequest>) -> Result<Accepted, Status> {
        let namespace = namespace(&request, &request.get_ref().tenant)?;
        let who = caller(&request);
        let trace_parent = trace_parent(request.metadata());
        let asked = request.into_inner();
        if asked.configuration.is_some_and(|wish| wish.task_push_notification_config.is_some()) {
            return Err(no_push());
        }
        let message = asked.message.ok_or_else(|| invalid("message", "is missing"))?;
        let id_of = |field: &str, text: &str| match text.len() {
            0..=MAX_ID => Ok(()),
            _ => Err(invalid(field, format!("is longer than {MAX_ID} bytes"))),
        };
        id_of("message.message_id", &message.message_id)?;
        id_of("message.context_id", &message.context_id)?;
        if message.message_id.is_empty() {
            return Err(invalid("message.message_id", "is empty"));
        }
        let sender = Sender {
            namespace,
            request: request_id(&who.name, &message.message_id),
            by: recorded(&who, "a2a"),
            trace_parent,
        };
        let mail = Mail { message, beside: asked.metadata };
        let view = match mail.message.task_id.as_str() {
            "" => self.begin(&sender, mail).await?,
            _ => self.answer(&sender, mail).await?,
        };
        Ok(Accepted { namespace: sender.namespace, view })
    }

    /// The run of a task, by the id that a caller gave.
    pub(super) async fn find(&self, namespace: &Namespace, id: &str) -> Result<RunView, Status> {
        if id.is_empty() {
            return Err(invalid("id", "is empty"));
        }
        // An id of another form is not one that was given out.
        let run: RunId = id.parse().map_err(|_| Reason::TaskNotFound.status("there is no such task"))?;
        self.views.get(namespace, run).await.map_err(|error| of_task(&error))
    }

    async fn begin(&self, sender: &Sender, mut mail: Mail) -> Result<RunView, Status> {
        let said = Said::of(std::mem::take(&mut mail.message.parts))?;
        let (workflow, inputs) = match (self.skill(&sender.namespace, &mail, &said).await?, said) {
            (None, said) => (WorkflowSource::said(said.request()?), Json::empty_object()),
            (Some(id), said) => {
                let inputs = match said.inputs()? {
                    Some(inputs) => inputs,
                    None => self.place(&sender.namespace, &id, said).await?,
                };
                (WorkflowSource::Registered { id, version: None }, inputs)
            }
        };
        let mut labels = Labels::new();
        labels::put(&mut labels, labels::MESSAGE, &mail.message.message_id);
        labels::put(&mut labels, labels::CONTEXT, &mail.message.context_id);
        let options = StartOptions {
            labels,
            // A name of any other form is no session, only a context.
            session: mail.message.context_id.parse().ok(),
            trace_parent: sender.trace_parent.clone(),
            by: sender.by.clone(),
            orchestration: mail.wishes()?,
            ..StartOptions::default()
        };
        let start = StartRequest {
            namespace: sender.namespace.clone(),
            request: sender.request,
            workflow,
            inputs: inputs.as_str().to_owned(),
            options,
        };
        let started = self.runs.start(start).await.map_err(|error| of_start(&error))?;
        self.views.get(&sender.namespace, started.run).await.map_err(|error| of_task(&error))
    }

    /// The workflow that a message asks for, which may stay unsaid if there is only one. `None`: it says in words what is to
    /// be planned.
    async fn skill(&self, namespace: &Namespace, mail: &Mail, said: &Said) -> Result<Option<WorkflowId>, Status> {
        let named = SKILL.into_iter().find_map(|key| Some((key, mail.text(key)?)));
        if let Some((key, name)) = named {
            if name == PLAN_SKILL {
                return Ok(None);
            }
            return name
                .parse()
                .map(Some)
                .map_err(|error: tutti_core::ids::InvalidName| invalid(format!("metadata.{key}"), error.to_string()));
        }
        let all = ListWorkflows { namespace: namespace.clone(), limit: NAMED, ..ListWorkflows::default() };
        let page = self.workflows.list(all).await.map_err(|error| of_start(&error))?;
        match &page.workflows[..] {
            [only] => Ok(Some(only.id.clone())),
            // Words that name no workflow are a request to plan one.
            _ if said.data.is_none() => Ok(None),
            [] => Err(invalid("metadata.skill_id", "there is no workflow to run yet")),
            several => {
                let mut names: Vec<&str> = several.iter().map(|workflow| workflow.id.as_str()).collect();
                names.extend(page.next.is_some().then_some("…"));
                Err(invalid("metadata.skill_id", format!("is required, one of: {}", names.join(", "))))
            }
        }
    }

    /// The inputs of a message with a text, whose place the workflow tells.
    async fn place(&self, namespace: &Namespace, workflow: &WorkflowId, said: Said) -> Result<Json, Status> {
        let (_, file) = self.workflows.get(namespace, workflow, None).await.map_err(|error| of_start(&error))?;
        // Reading a large workflow takes its time, which is not that of others.
        let reading = tokio::task::spawn_blocking(move || {
            let parsed = parse(&file).map_err(|_| Status::data_loss("the workflow cannot be read any more"))?;
            said.inputs_of(&parsed.workflow)
        });
        reading.await.map_err(|error| Status::unavailable(format!("reading the workflow was given up: {error}")))?
    }

    async fn answer(&self, sender: &Sender, mut mail: Mail) -> Result<RunView, Status> {
        let view = self.find(&sender.namespace, &mail.message.task_id).await?;
        let context = &mail.message.context_id;
        if !context.is_empty() && *context != context_of(&view) {
            return Err(invalid("message.context_id", "is not that of the task"));
        }
        if view.state().is_some_and(|state| state.has_applied(sender.request)) {
            return Ok(view);
        }
        let state = state_of(&view);
        if is_terminal(state) {
            let message = format!("the task is in the state {}", state.as_str_name());
            return Err(Reason::UnsupportedOperation.status(message));
        }
        let answer = Said::of(std::mem::take(&mut mail.message.parts))?.answer()?;
        let run = view.run().ok_or_else(|| Status::data_loss("the run has no history"))?;
        let step = mail.text(STEP).unwrap_or_default();
        let waiting = waiting(&view);
        if step.is_empty() && waiting.len() > 1 {
            let reason = format!("is required, one of: {}", waiting.join(", "));
            return Err(invalid(format!("metadata.{STEP}"), reason));
        }
        let reason = reason_of(&mail.message.message_id);
        let request = CommandRequest {
            namespace: sender.namespace.clone(),
            run,
            command: Command::Signal { step, answer: Payload::Inline(answer) },
            order: Order { by: sender.by.clone(), reason, request: Some(sender.request) },
        };
        self.runs.command(request).await.map_err(|error| of_task(&error))?;
        self.views.get(&sender.namespace, run).await.map_err(|error| of_task(&error))
    }
}

/// The id of the request that a message is: the same for the same message of the same caller, however often it is sent.
fn request_id(caller: &str, message_id: &str) -> RequestId {
    // The length keeps a name that ends as an id begins apart from another name and id.
    let name = format!("a2a/{}/{caller}/{message_id}", caller.len());
    let digest = Digest::of(name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_request_of_its_caller() {
        assert_eq!(request_id("ci", "m"), request_id("ci", "m"));
        assert_eq!(request_id("ci", "m").get_version_num(), 8);
        let others = [request_id("ci", "n"), request_id("", "m"), request_id("ci/", "m"), request_id("ci", "/m")];
        for (n, other) in others.iter().enumerate() {
            assert_ne!(*other, request_id("ci", "m"));
            assert!(!others[..n].contains(other));
        }
    }

    #[test]
    fn what_a_message_says_of_itself_counts_before_what_its_request_says() {
        let metadata = |text: &str| {
            let fields = serde_json::json!({"skill_id": text, "n": 1});
            json::to_struct(fields.as_object().unwrap()).ok()
        };
        let message = v1::Message { metadata: metadata("inner"), ..Default::default() };
        let mut mail = Mail { message, beside: metadata("outer") };
        assert_eq!(mail.text("skill_id").as_deref(), Some("inner"));
        mail.message.metadata = None;
        assert_eq!(mail.text("skill_id").as_deref(), Some("outer"));
        assert_eq!((mail.text("n"), mail.text("other")), (None, None));
    }
}
