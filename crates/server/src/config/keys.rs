//! Every key that can be set, taken from the JSON Schema of [`Config`].

use serde_json::Value;

use super::Config;

/// A key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name, such as `server.listen`.
    pub path: String,
    /// The environment variables that set it, the first one first.
    pub variables: Vec<String>,
    /// What it means.
    pub meaning: String,
    /// What it is if nobody sets it.
    pub default: Value,
    /// Its schema, without references.
    schema: Value,
}

/// The JSON Schema (draft 2020-12) of the configuration file.
pub fn schema() -> Value {
    schemars::schema_for!(Config).into()
}

/// All keys, in the order of their names.
pub fn all() -> Vec<Key> {
    let root = schema();
    let defaults = serde_json::to_value(Config::default()).expect("plain data can be written as JSON");
    let mut keys = Vec::new();
    collect(&root, &root, "", &defaults, &mut keys);
    keys
}

impl Key {
    /// Reads the text of an environment variable or a flag.
    ///
    /// # Errors
    /// What the key takes.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = match self.kind() {
            "boolean" => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Value::Bool(true),
                "false" | "0" | "no" | "off" => Value::Bool(false),
                _ => return Err(self.takes()),
            },
            "integer" => serde_json::from_str(text).map_err(|_| self.takes())?,
            "array" => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
            _ => {
                let known = self.choices().into_iter().find(|choice| choice.eq_ignore_ascii_case(text));
                Value::String(known.unwrap_or_else(|| text.to_owned()))
            }
        };
        self.check(&value).map(|()| value)
    }

    /// Checks a value's kind and range.
    ///
    /// # Errors
    /// What the key takes.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let choices = self.choices();
        let in_range = |n: f64| {
            self.schema["minimum"].as_f64().is_none_or(|min| n >= min)
                && self.schema["maximum"].as_f64().is_none_or(|max| n <= max)
        };
        let fits = match self.kind() {
            "boolean" => value.is_boolean(),
            "integer" => value.as_u64().is_some_and(|n| in_range(n as f64)),
            "array" => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            _ => value.as_str().is_some_and(|text| choices.is_empty() || choices.iter().any(|choice| choice == text)),
        };
        if fits { Ok(()) } else { Err(self.takes()) }
    }

    fn takes(&self) -> String {
        let (min, max) = (&self.schema["minimum"], &self.schema["maximum"]);
        let range = match (min.is_null(), max.is_null()) {
            (false, false) => format!(" from {min} to {max}"),
            (false, true) => format!(" from {min}"),
            (true, false) => format!(" to {max}"),
            (true, true) => String::new(),
        };
        match self.kind() {
            "boolean" => "it takes true or false".to_owned(),
            "integer" => format!("it takes a whole number{range}"),
            "array" => "it takes a list of texts, in a variable with commas between them".to_owned(),
            _ if self.choices().is_empty() => "it takes a text".to_owned(),
            _ => format!("it takes one of {}", self.choices().join(", ")),
        }
    }

    fn kind(&self) -> &str {
        let kind = &self.schema["type"];
        kind.as_str().or_else(|| kind[0].as_str()).unwrap_or("string")
    }

    fn choices(&self) -> Vec<String> {
        let constants = self.schema["oneOf"].as_array().into_iter().flatten().map(|choice| &choice["const"]);
        let listed = self.schema["enum"].as_array().into_iter().flatten();
        constants.chain(listed).filter_map(|choice| choice.as_str().map(str::to_owned)).collect()
    }
}

fn collect(root: &Value, schema: &Value, prefix: &str, defaults: &Value, keys: &mut Vec<Key>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let reference = property["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
        let resolved = reference.map_or(property, |name| &root["$defs"][name]);
        if resolved["properties"].is_object() {
            collect(root, resolved, &path, &defaults[name], keys);
            continue;
        }
        let canonical = format!("TUTTI_{}", path.to_uppercase().replace('.', "__"));
        let established = property["x-environment"].as_str().map(str::to_owned);
        let meaning = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        keys.push(Key {
            variables: std::iter::once(canonical).chain(established).collect(),
            meaning,
            default: defaults[name].clone(),
            schema: resolved.clone(),
            path,
        });
    }
}
