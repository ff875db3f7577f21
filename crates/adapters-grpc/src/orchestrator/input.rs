//! What the parts of a message say.

use tonic::Status;
use tutti_a2a::error::Reason;
use tutti_a2a::v1::{self, part::Content};
use tutti_a2a::{JSON_MEDIA_TYPE, json};
use tutti_core::value::{DataTree, Json, members};
use tutti_core::workflow::Workflow;

use super::refusal::invalid;

/// Inputs that take a text if none is required.
const TEXT_INPUTS: [&str; 2] = ["query", "text"];

/// The content of a message: a value, a text, or both.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) data: Option<Json>,
    pub(super) text: Option<String>,
}

impl Said {
    /// Reads parts. A value is a data part, or text of media type `application/json`: how numbers travel that a 64-bit float
    /// cannot hold.
    ///
    /// # Errors
    /// INVALID_PARAMS for no content, several values or what is no JSON; CONTENT_TYPE_NOT_SUPPORTED for files and links.
    pub(super) fn of(parts: Vec<v1::Part>) -> Result<Self, Status> {
        let mut said = Self { data: None, text: None };
        for (index, part) in parts.into_iter().enumerate() {
            let field = format!("message.parts[{index}]");
            let wrong = |reason: String| invalid(field.clone(), reason);
            let is_json = part.media_type.split(';').next().is_some_and(|kind| kind.trim() == JSON_MEDIA_TYPE);
            let value = match part.content {
                Some(Content::Text(text)) if is_json => Some(Json::parse(text)),
                Some(Content::Data(value)) => {
                    Some(Json::parse(json::print(&value).map_err(|error| wrong(error.to_string()))?))
                }
                Some(Content::Text(text)) => {
                    match &mut said.text {
                        Some(before) => before.extend(["\n", &text]),
                        None => said.text = Some(text),
                    }
                    None
                }
                Some(Content::Raw(_) | Content::Url(_)) => {
                    let message = format!("{field}: this agent takes text and data, neither files nor links");
                    return Err(Reason::ContentTypeNotSupported.status(message));
                }
                None => return Err(wrong("has no content".to_owned())),
            };
            if let Some(value) = value {
                let value = value.map_err(|error| wrong(error.to_string()))?;
                if said.data.replace(value).is_some() {
                    return Err(wrong("is a second value; a message carries one".to_owned()));
                }
            }
        }
        if said.data.is_none() && said.text.is_none() {
            return Err(invalid("message.parts", "are missing"));
        }
        Ok(said)
    }

    /// The answer to a question.
    ///
    /// # Errors
    /// INVALID_PARAMS if the message says two things.
    pub(super) fn answer(self) -> Result<Json, Status> {
        match (self.data, self.text) {
            (Some(data), None) => Ok(data),
            (None, Some(text)) => text_value(&text),
            _ => Err(invalid("message.parts", "must be one answer: a text or a data part")),
        }
    }

    /// What is to be planned: the text, or the text that the value names `query`.
    ///
    /// # Errors
    /// INVALID_PARAMS if the message says no such thing.
    pub(super) fn request(self) -> Result<String, Status> {
        let named = |data: &Json| {
            let query = members(data)?.remove("query")?;
            serde_json::from_str::<String>(query.as_str()).ok()
        };
        let text = self.text.or_else(|| self.data.as_ref().and_then(named));
        text.ok_or_else(|| invalid("message.parts", "must say what is to be planned: a text, or data with `query`"))
    }

    /// The inputs of a run, if they can be told without knowing its workflow: the message has no text to find a place for.
    ///
    /// # Errors
    /// INVALID_PARAMS if the value is no object.
    pub(super) fn inputs(&self) -> Result<Option<Json>, Status> {
        match (&self.data, &self.text) {
            (Some(data), _) if !data.is_object() => {
                Err(invalid("message.parts", "must hold the inputs as an object, by name"))
            }
            (Some(data), None) => Ok(Some(data.clone())),
            _ => Ok(None),
        }
    }

    /// The inputs of a run of a workflow: the text is the one required input that the data does not give; if there is no
    /// such input, the one named `query` or `text`.
    ///
    /// # Errors
    /// INVALID_PARAMS if the workflow has no such input, or several.
    pub(super) fn inputs_of(&self, workflow: &Workflow) -> Result<Json, Status> {
        if let Some(inputs) = self.inputs()? {
            return Ok(inputs);
        }
        let data = self.data.clone().unwrap_or_else(Json::empty_object);
        let given = members(&data).unwrap_or_default();
        let required: Vec<&str> = (workflow.inputs.iter())
            .filter(|(name, spec)| spec.required && spec.default.is_none() && !given.contains_key(*name))
            .map(|(name, _)| name.as_str())
            .collect();
        let free = |name: &&str| workflow.inputs.contains_key(*name) && !given.contains_key(*name);
        let place = match required[..] {
            [one] => Some(one),
            [] => TEXT_INPUTS.into_iter().find(free),
            _ => None,
        };
        let Some(place) = place else {
            let names: Vec<&str> = workflow.inputs.keys().map(String::as_str).collect();
            let takes = if names.is_empty() { "declares no inputs".to_owned() } else { names.join(", ") };
            let reason = format!("have a text, and it is not clear which input of {} it is: {takes}", workflow.id);
            return Err(invalid("message.parts", format!("{reason}. Give the inputs as a data part")));
        };
        let mut tree = DataTree::new(data);
        tree.set_member(place, text_value(self.text.as_deref().unwrap_or_default())?);
        Ok(tree.to_json())
    }
}

fn text_value(text: &str) -> Result<Json, Status> {
    Json::of(text).map_err(|error| invalid("message.parts", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tutti_core::workflow::parse;

    fn text(text: &str, media_type: &str) -> v1::Part {
        let content = Some(Content::Text(text.to_owned()));
        v1::Part { content, media_type: media_type.to_owned(), ..Default::default() }
    }

    fn data(value: &str) -> v1::Part {
        let content = Some(Content::Data(json::parse(value.as_bytes()).unwrap()));
        v1::Part { content, ..Default::default() }
    }

    fn said(parts: Vec<v1::Part>) -> Said {
        Said::of(parts).unwrap()
    }

    fn workflow(inputs: &str) -> Workflow {
        parse(&format!("id: w\ninputs: {inputs}\nsteps: [{{id: s, capability: c}}]")).unwrap().workflow
    }

    #[test]
    fn values_and_texts_are_read() {
        let exact = said(vec![text("{\"n\":12345678901234567890}", "application/json; charset=utf-8")]);
        assert_eq!(exact.inputs().unwrap().unwrap().as_str(), "{\"n\":12345678901234567890}");
        assert_eq!(said(vec![data("{\"a\":1}")]).inputs().unwrap().unwrap().as_str(), "{\"a\":1}");
        assert_eq!(said(vec![text("a", ""), text("b", "text/plain")]).answer().unwrap().as_str(), r#""a\nb""#);
        assert_eq!(said(vec![data("[1]")]).answer().unwrap().as_str(), "[1]");
        assert!(said(vec![data("[1]")]).inputs().is_err(), "inputs are an object");
        assert!(said(vec![data("1"), text("x", "")]).answer().is_err());
        for wrong in [vec![], vec![v1::Part::default()], vec![data("1"), data("2")], vec![text("{", JSON_MEDIA_TYPE)]] {
            assert_eq!(Reason::of(&Said::of(wrong).unwrap_err()), Some(Reason::InvalidParams));
        }
        let raw = v1::Part { content: Some(Content::Raw(Bytes::new())), ..Default::default() };
        assert_eq!(Reason::of(&Said::of(vec![raw]).unwrap_err()), Some(Reason::ContentTypeNotSupported));
    }

    #[test]
    fn a_text_goes_to_the_one_input_that_needs_one() {
        let only = said(vec![text("hi", "")]);
        let both = said(vec![data("{\"a\":1}"), text("hi", "")]);
        let inputs = |said: &Said, inputs: &str| said.inputs_of(&workflow(inputs)).map(|json| json.as_str().to_owned());
        assert_eq!(inputs(&only, "{a: {required: true}, b: {}}").unwrap(), r#"{"a":"hi"}"#);
        assert_eq!(inputs(&only, "{a: {required: true, default: 1}, query: {}}").unwrap(), r#"{"query":"hi"}"#);
        assert_eq!(inputs(&both, "{a: {required: true}, b: {required: true}}").unwrap(), r#"{"a":1,"b":"hi"}"#);
        for unclear in ["{a: {required: true}, b: {required: true}}", "{b: {}}", "{}"] {
            let error = inputs(&only, unclear).unwrap_err();
            assert_eq!(tutti_a2a::error::violations(&error)[0].0, "message.parts", "{unclear}");
        }
    }
}
