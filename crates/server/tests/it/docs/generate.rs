//! The parts of pages that are made from the product.

use serde_json::{Map, Value};
use tutti_adapters_grpc::api::{Rule, rules};
use tutti_core::ports::inbound::access::Role;
use tutti_core::workflow::schema;

use crate::support::Place;

/// The limits, as they are written.
const LIMITS: &str = include_str!("../../../../core/src/limits.rs");

/// A generated part by its name.
pub fn part(name: &str) -> String {
    match name {
        "workflow" => workflow(),
        "stub" => stub(),
        "commands" => commands(),
        "limits" => limits(),
        "configuration" => configuration(),
        "roles" => roles(),
        "states" => super::states::states(),
        _ => panic!("there is no generated part \"{name}\""),
    }
}

/// The JSON Schema of workflow files as tables.
fn workflow() -> String {
    // In the order in which a reader meets them.
    let first = ["Step", "RetryPolicy", "InputSpec", "InputMapping", "OutputMapping"];
    format!("## Workflow\n\n{}", reference(&schema(), "##", &first))
}

/// The JSON Schema of files of stub agents as tables.
fn stub() -> String {
    let schema = Place::new().tutti(&["schema", "stub"]).expect(0).json();
    reference(&schema, "###", &["StubAgent", "Script", "Rule", "StubArtifact", "Failing"])
}

/// What a schema says of itself and of its definitions, which get headings.
fn reference(schema: &Value, heading: &str, first: &[&str]) -> String {
    let mut text = definition(schema);
    let definitions = schema["$defs"].as_object().unwrap();
    let rest = definitions.keys().map(String::as_str).filter(|name| !first.contains(name));
    for name in first.iter().copied().chain(rest) {
        text.push_str(&format!("\n{heading} {name}\n\n{}", definition(&definitions[name])));
    }
    text
}

fn definition(schema: &Value) -> String {
    let mut text = format!("{}\n", sentence(schema));
    if let Some(properties) = schema["properties"].as_object() {
        text.push_str("\n| Field | Form | Meaning |\n|---|---|---|\n");
        let required: Vec<&Value> = schema["required"].as_array().into_iter().flatten().collect();
        // What must be given comes first.
        let must = |name: &str| required.iter().any(|r| *r == name);
        let (first, rest): (Vec<_>, Vec<_>) = properties.iter().partition(|(name, _)| must(name));
        for (name, property) in first.into_iter().chain(rest) {
            let needed = if must(name) { ", required" } else { "" };
            text.push_str(&format!("| `{name}` | {}{needed} | {} |\n", form(property), meaning(property)));
        }
    } else if let Some(choices) = schema["oneOf"].as_array() {
        text.push_str("\n| Value | Meaning |\n|---|---|\n");
        for choice in choices {
            text.push_str(&format!("| `{}` | {} |\n", choice["const"].as_str().unwrap(), sentence(choice)));
        }
    } else {
        text.push_str(&format!("\nForm: {}.\n\n", form(schema)));
        for properties in schema["anyOf"].as_array().into_iter().flatten().filter_map(|s| s["properties"].as_object()) {
            text.push_str(&members(properties));
        }
    }
    text
}

fn members(properties: &Map<String, Value>) -> String {
    properties.iter().map(|(name, member)| format!("- `{name}` ({}): {}\n", form(member), sentence(member))).collect()
}

/// What a value may look like.
fn form(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let several = [&schema["anyOf"], &schema["oneOf"], &schema["allOf"]].into_iter().find_map(Value::as_array);
    if let Some(several) = several {
        let mut forms: Vec<String> = several.iter().filter(|s| s["type"] != "null").map(form).collect();
        forms.dedup();
        return if forms == ["number", "text"] { "duration".to_owned() } else { forms.join(" or ") };
    }
    match &schema["type"] {
        Value::String(one) => typed(one, schema),
        Value::Array(many) => {
            let names: Vec<String> =
                many.iter().filter_map(Value::as_str).filter(|n| *n != "null").map(|n| typed(n, schema)).collect();
            names.join(" or ")
        }
        _ => "any value".to_owned(),
    }
}

fn typed(name: &str, schema: &Value) -> String {
    match name {
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => "whole number".to_owned(),
        "array" => format!("list of {}", form(&schema["items"])),
        "object" => match schema["properties"].as_object() {
            Some(members) => {
                let names: Vec<String> = members.keys().map(|name| format!("`{name}`")).collect();
                format!("object of {}", names.join(", "))
            }
            None if schema["additionalProperties"].is_object() => {
                format!("name → {}", form(&schema["additionalProperties"]))
            }
            None => "object".to_owned(),
        },
        other => other.to_owned(),
    }
}

/// The description, with the default if it does not tell it.
fn meaning(schema: &Value) -> String {
    let text = sentence(schema);
    match &schema["default"] {
        default @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) if !text.contains("Default") => {
            format!("{text} Default: `{}`.", default.as_str().map_or_else(|| default.to_string(), str::to_owned))
        }
        _ => text,
    }
}

fn sentence(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

/// What every command says of itself.
fn commands() -> String {
    let place = Place::new();
    let help = place.tutti(&["--help"]).expect(0).stdout;
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut text = String::new();
    // Lines that go on stand further right.
    for verb in
        list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|verb| !verb.is_empty())
    {
        let help = place.tutti(&[verb, "--help"]).expect(0).stdout;
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        text.push_str(&format!("### tutti {verb}\n\n```text\n{}\n```\n\n", help.join("\n").trim_end()));
    }
    text
}

/// Every key that can be configured, as a table.
fn configuration() -> String {
    let shown = Place::new().tutti(&["config", "show", "-o", "json"]).expect(0).json();
    let mut text = "| Key | Variable | Default | Meaning |\n|---|---|---|---|\n".to_owned();
    for setting in shown["settings"].as_array().unwrap() {
        let variables = setting["environment"].as_array().unwrap().iter().rev().map(|name| name.as_str().unwrap());
        let variables: Vec<String> = variables.map(|name| format!("`{name}`")).collect();
        let default = match &setting["default"] {
            Value::Null => "none".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let (key, meaning) =
            (setting["key"].as_str().unwrap(), setting["meaning"].as_str().unwrap().replace('|', "\\|"));
        text.push_str(&format!("| `{key}` | {} | {default} | {meaning} |\n", variables.join(", ")));
    }
    text
}

/// Who may call what, by service.
fn roles() -> String {
    let mut text = "| Role | Calls |\n|---|---|\n".to_owned();
    let of_roles = Role::ALL.iter().flat_map(|role| [Rule::Role(*role), Rule::Everywhere(*role)]);
    let wanted = std::iter::once(Rule::Public).chain(of_roles);
    for rule in wanted {
        let mut services: Vec<(&str, Vec<String>)> = Vec::new();
        for (path, _) in rules().filter(|(_, needed)| *needed == rule) {
            let (service, call) = path.rsplit_once('/').unwrap();
            let is_call = service.contains(".v1");
            let (service, call) = if is_call { (service.trim_start_matches('/'), call) } else { ("HTTP", path) };
            match services.iter_mut().find(|(name, _)| *name == service) {
                Some((_, calls)) => calls.push(format!("`{call}`")),
                None => services.push((service, vec![format!("`{call}`")])),
            }
        }
        let told: Vec<String> =
            services.iter().map(|(service, calls)| format!("{service}: {}", calls.join(", "))).collect();
        let role = match rule {
            Rule::Public => "everybody".to_owned(),
            Rule::Role(role) => role.to_string(),
            Rule::Everywhere(role) => format!("{role} in every namespace"),
        };
        if told.is_empty() {
            continue;
        }
        text.push_str(&format!("| {role} | {} |\n", told.join("<br>")));
    }
    text
}

/// The limits as a table.
fn limits() -> String {
    let mut text = "| Name | Value | What and why |\n|---|---|---|\n".to_owned();
    let mut doc = String::new();
    for line in LIMITS.lines() {
        if let Some(words) = line.strip_prefix("///") {
            doc.push_str(words);
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            let (name, rest) = constant.split_once(": ").unwrap();
            let value = rest.split_once(" = ").unwrap().1.trim_end_matches(';');
            let doc = doc.trim().replace("[`", "`").replace("`]", "`").replace('|', "\\|");
            text.push_str(&format!("| `{name}` | {} | {doc} |\n", shown(name, value)));
        }
        if !line.starts_with("///") {
            doc.clear();
        }
    }
    text
}

/// A constant's expression as a person reads it.
fn shown(name: &str, expression: &str) -> String {
    let product =
        |text: &str| text.split(" * ").map(|f| f.replace('_', "").parse::<u64>().ok()).product::<Option<u64>>();
    let argument = |call: &str| expression.strip_prefix(call)?.strip_suffix(')').and_then(product);
    if let Some(seconds) = argument("Duration::from_secs(") {
        return long(seconds);
    }
    if let Some(millis) = argument("Duration::from_millis(") {
        return format!("{millis} ms");
    }
    match product(expression) {
        Some(bytes) if name.ends_with("_BYTES") && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        Some(bytes) if name.ends_with("_BYTES") && bytes % 1024 == 0 => format!("{} KiB", bytes >> 10),
        Some(number) => grouped(number),
        None => expression.to_owned(),
    }
}

/// A number of seconds in the largest unit that fits.
fn long(seconds: u64) -> String {
    let units = [(86_400, "days"), (3_600, "h"), (60, "min"), (1, "s")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds.is_multiple_of(*size)).expect("1 divides everything");
    format!("{} {unit}", seconds / size)
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let mut groups: Vec<&str> = Some(head).filter(|head| !head.is_empty()).into_iter().collect();
    groups.extend((0..tail.len()).step_by(3).map(|at| &tail[at..at + 3]));
    groups.join(",")
}
