//! The messages sent to an agent for one attempt.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use prost_types::value::Kind;
use prost_types::{Struct, Timestamp, Value};
use tonic::Request;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tutti_a2a::v1::{self, Role, part::Content};
use tutti_a2a::{JSON_MEDIA_TYPE, VERSION, extension, json, metadata, request};
use tutti_core::ports::agent::{AgentCall, AgentReply, Feedback};
use tutti_core::value::Json;

use crate::access::Header;

/// A request with what every A2A call carries: version, deadline and trace context.
pub fn wrap<T>(message: T, timeout: Duration, trace_parent: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    let headers = request.metadata_mut();
    headers.insert(metadata::VERSION, AsciiMetadataValue::from_static(VERSION));
    headers.insert(metadata::EXTENSIONS, AsciiMetadataValue::from_static(extension::REPORT));
    if let Some(value) = trace_parent.and_then(|text| AsciiMetadataValue::try_from(text).ok()) {
        headers.insert(metadata::TRACEPARENT, value);
    }
    request
}

/// Adds the header that shows who calls.
pub fn authorize<T>(request: &mut Request<T>, header: &Header) {
    // Values went through the same check as headers of HTTP; their being sensitive is kept.
    if let (Ok(name), Ok(value)) = (
        AsciiMetadataKey::from_bytes(header.name.as_str().as_bytes()),
        AsciiMetadataValue::try_from(header.value.as_bytes()),
    ) {
        let mut value = value;
        value.set_sensitive(true);
        request.metadata_mut().insert(name, value);
    }
}

/// The message that asks the agent to do the step.
pub fn send(call: &AgentCall, now: SystemTime) -> v1::SendMessageRequest {
    let mut message = v1::Message {
        message_id: call.key.message_id(),
        context_id: call.key.operation_id(),
        role: Role::User.into(),
        parts: vec![input_part(&call.input)],
        ..Default::default()
    };
    let mut entries = vec![
        (request::CAPABILITY, call.capability.to_string()),
        (request::PRIORITY, call.priority.as_str().to_owned()),
        (request::OPERATION_ID, call.key.operation_id()),
    ];
    if let Some(action) = &call.action {
        entries.push((request::ACTION, action.clone()));
    }
    if let Some(deadline) = now.checked_add(call.timeout) {
        entries.push((request::DEADLINE, Timestamp::from(deadline).to_string()));
    }
    let mut fields: BTreeMap<_, _> = entries.into_iter().map(|(key, text)| (key.to_owned(), string(text))).collect();
    if let Some(feedback) = call.feedback.as_deref().and_then(feedback) {
        // Beside the request, and with the message, which stays in the task's history.
        let entry = || (request::FEEDBACK.to_owned(), feedback.clone());
        fields.extend([entry()]);
        message.metadata = Some(Struct { fields: [entry()].into() });
    }
    v1::SendMessageRequest { message: Some(message), metadata: Some(Struct { fields }), ..Default::default() }
}

/// The message id of an answer to what the attempt's task asked.
pub fn reply_id(call: &AgentCall, reply: &AgentReply) -> String {
    format!("{}/answer-{}", call.key.message_id(), reply.number)
}

/// The message that answers what the task asked. Task id and context id are both told, and are those of the agent.
pub fn reply(call: &AgentCall, reply: &AgentReply, task: v1::Task) -> v1::SendMessageRequest {
    // A plain text is said as text: agents that talk with people expect that.
    let text = reply.value.as_str();
    let part = match serde_json::from_str::<String>(text) {
        Ok(text) => v1::Part { content: Some(Content::Text(text)), ..Default::default() },
        Err(_) => input_part(&reply.value),
    };
    let message = v1::Message {
        message_id: reply_id(call, reply),
        context_id: task.context_id,
        task_id: task.id,
        role: Role::User.into(),
        parts: vec![part],
        ..Default::default()
    };
    let entries =
        [(request::CAPABILITY, call.capability.to_string()), (request::OPERATION_ID, call.key.operation_id())];
    let fields = entries.into_iter().map(|(key, text)| (key.to_owned(), string(text))).collect();
    v1::SendMessageRequest { message: Some(message), metadata: Some(Struct { fields }), ..Default::default() }
}

/// The input as a data part; as JSON text where the data part would change it, because protobuf's numbers are 64-bit
/// floats and its nesting is limited.
fn input_part(input: &Json) -> v1::Part {
    let bytes = input.bytes();
    let data = if json::is_lossless(bytes) { json::parse(bytes).ok() } else { None };
    match data {
        Some(value) => v1::Part { content: Some(Content::Data(value)), ..Default::default() },
        None => v1::Part {
            content: Some(Content::Text(input.as_str().to_owned())),
            media_type: JSON_MEDIA_TYPE.to_owned(),
            ..Default::default()
        },
    }
}

/// What was not good enough about the last answer, as a value of metadata.
fn feedback(feedback: &Feedback) -> Option<Value> {
    // Scores are finite and texts are short, so that there is nothing that a value cannot hold.
    serde_json::to_value(feedback).ok().and_then(|value| json::to_proto(&value).ok())
}

fn string(text: String) -> Value {
    Value { kind: Some(Kind::StringValue(text)) }
}

#[cfg(test)]
mod tests {
    use tutti_core::ids::{AttemptKey, RunId, StepId, StepPath};
    use tutti_core::ports::agent::{AgentAccess, AgentEndpoint};
    use tutti_core::workflow::Priority;

    use super::*;

    fn call(input: &str) -> AgentCall {
        AgentCall {
            agent: AgentEndpoint {
                id: "a".parse().unwrap(),
                url: "http://h:1".to_owned(),
                access: AgentAccess::default(),
            },
            key: AttemptKey {
                run: RunId::new(1, [0; 10]),
                generation: 0,
                path: StepPath::from(&"step".parse::<StepId>().unwrap()),
                attempt: 2,
            },
            capability: "train".parse().unwrap(),
            action: Some("fit".to_owned()),
            priority: Priority::High,
            input: Json::parse(input.to_owned()).unwrap(),
            timeout: Duration::from_secs(30),
            idle_timeout: None,
            task: None,
            trace_parent: None,
            feedback: None,
        }
    }

    #[test]
    fn ids_derive_from_the_attempt() {
        let call = call("{}");
        let message = send(&call, SystemTime::UNIX_EPOCH).message.unwrap();
        assert_eq!(message.message_id, call.key.message_id());
        assert_eq!(message.context_id, call.key.operation_id());
        assert_eq!(message.task_id, "");
    }

    #[test]
    fn what_the_agent_may_want_to_know_is_metadata() {
        let call = call("{}");
        let request = send(&call, SystemTime::UNIX_EPOCH);
        let metadata = json::from_struct(&request.metadata.unwrap()).unwrap();
        assert_eq!(metadata["capability"], "train");
        assert_eq!(metadata["action"], "fit");
        assert_eq!(metadata["priority"], "high");
        assert_eq!(metadata["deadline"], "1970-01-01T00:00:30Z");
        assert_eq!(metadata["operation_id"], call.key.operation_id());
    }

    #[test]
    fn input_is_data_unless_that_would_change_it() {
        let content = |input: &str| input_part(&call(input).input).content.unwrap();
        assert!(matches!(content("{\"n\":0.1}"), Content::Data(_)));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        for exact in ["{\"id\":12345678901234567890}", deep.as_str()] {
            assert_eq!(content(exact), Content::Text(exact.to_owned()));
        }
    }

    #[test]
    fn every_request_says_its_version_and_passes_the_trace_on() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request = wrap((), Duration::from_secs(1), Some(trace));
        assert_eq!(request.metadata().get("a2a-version").unwrap(), "1.0");
        assert_eq!(request.metadata().get("traceparent").unwrap(), trace);
        assert!(request.metadata().contains_key("grpc-timeout"));
        assert!(!wrap((), Duration::from_secs(1), Some("bad\n")).metadata().contains_key("traceparent"));
    }
}
