//! Reading the configuration: each source is checked by itself, then they are laid over one another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{Config as Layers, File, FileFormat, Source, Value as Layer, ValueKind};
use serde_json::Value;

use super::Config;
use super::keys::{self, Key};
use crate::exit::{Failure, Result};

/// The file that is read if none is named.
pub const FILE: &str = "tutti.toml";

/// A configuration, and where each value comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// By key, the source of what is no default: `file PATH`, or `environment VARIABLE`.
    pub origins: BTreeMap<String, String>,
}

/// Reads the named file, or [`FILE`] if it is there, and the environment above it.
///
/// # Errors
/// Everything that is wrong, by its key and source.
pub fn load(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Loaded> {
    let keys = keys::all();
    let path = file.map(Path::to_owned).or_else(|| Path::new(FILE).exists().then(|| PathBuf::from(FILE)));
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    if let Some(path) = path {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
        sources.push(of_file(&path, &text, &keys, &mut problems)?);
    }
    sources.push(of_environment(environment, &keys, &mut problems));
    let mut builder = Layers::builder();
    let mut origins = BTreeMap::new();
    for (key, value, origin) in sources.into_iter().flatten() {
        if let Err(problem) = alone(&key, &value) {
            problems.push(format!("{origin}: {key} is {value}: {problem}"));
        }
        let layer: Layer = Layer::new(Some(&origin), kind(value));
        builder = builder.set_override(&key, layer).map_err(|error| internal(&error))?;
        origins.insert(key, origin);
    }
    if !problems.is_empty() {
        return Err(refused(&problems));
    }
    let mut config: Config = builder.build().and_then(Layers::try_deserialize).map_err(|error| internal(&error))?;
    if origins.contains_key("execution.mode") {
        config.orchestration = config.orchestration.under(config.execution.mode);
    }
    let Config { tls, auth, client, fleet, .. } = &config;
    let problems = [tls.problems(), auth.problems(tls), client.problems(), fleet.problems()].concat();
    if !problems.is_empty() {
        return Err(refused(&problems));
    }
    Ok(Loaded { config, origins })
}

/// The variables of this process.
pub fn environment() -> BTreeMap<String, String> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

type Settings = Vec<(String, Value, String)>;

fn of_file(path: &Path, text: &str, keys: &[Key], problems: &mut Vec<String>) -> Result<Settings> {
    let table = File::from_str(text, FileFormat::Toml)
        .collect()
        .map_err(|error| Failure::usage(format!("{} is not TOML: {}", path.display(), error.to_string().trim_end())))?;
    let table = table.into_iter().map(|(name, value)| Ok((name, value.try_deserialize()?)));
    let table: serde_json::Map<String, Value> =
        table.collect::<std::result::Result<_, _>>().map_err(|error| internal(&error))?;
    let mut settings = Vec::new();
    leaves("", table, keys, &mut settings);
    let origin = format!("file {}", path.display());
    let mut known = Vec::new();
    for (name, value) in settings {
        match keys.iter().find(|key| key.path == name).map(|key| key.check(&value)) {
            Some(Ok(())) => known.push((name, value, origin.clone())),
            Some(Err(takes)) => problems.push(format!("{origin}: {name} is {value}; {takes}")),
            None => {
                let hint = near(&name, keys.iter().map(|key| &*key.path));
                problems.push(format!("{origin}: {name} is not a known key{hint}"));
            }
        }
    }
    Ok(known)
}

fn leaves(prefix: &str, table: serde_json::Map<String, Value>, keys: &[Key], found: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        let is_section = keys.iter().any(|key| key.path.starts_with(&format!("{path}.")));
        match value {
            Value::Object(inner) if is_section => leaves(&path, inner, keys, found),
            value => found.push((path, value)),
        }
    }
}

fn of_environment(variables: &BTreeMap<String, String>, keys: &[Key], problems: &mut Vec<String>) -> Settings {
    let names = || keys.iter().flat_map(|key| &key.variables).map(String::as_str);
    for name in variables.keys().filter(|name| name.starts_with("TUTTI_") && name.contains("__")) {
        if !names().any(|known| known == name) {
            problems.push(format!("environment {name}: there is no such setting{}", near(name, names())));
        }
    }
    let mut settings = Vec::new();
    for key in keys {
        let set = |name: &&String| variables.get(*name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let Some((name, text)) = key.variables.iter().find_map(|name| Some((name, set(&name)?))) else { continue };
        match key.parse(text) {
            Ok(value) => settings.push((key.path.clone(), value, format!("environment {name}"))),
            Err(takes) => {
                let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
                problems.push(format!("environment {name} is \"{shown}\"; {takes}"));
            }
        }
    }
    settings
}

/// What a value by itself is refused for, such as an address that is none.
fn alone(key: &str, value: &Value) -> std::result::Result<(), String> {
    let nested = key.rsplit('.').fold(value.clone(), |inner, name| serde_json::json!({ name: inner }));
    serde_json::from_value::<Config>(nested).map(drop).map_err(|error| error.to_string())
}

fn kind(value: Value) -> ValueKind {
    match value {
        Value::Null => ValueKind::Nil,
        Value::Bool(value) => value.into(),
        Value::Number(number) => number.as_i64().map_or_else(|| number.as_f64().into(), ValueKind::from),
        Value::String(text) => text.into(),
        Value::Array(list) => list.into_iter().map(|value| Layer::new(None, kind(value))).collect::<Vec<_>>().into(),
        Value::Object(table) => {
            let members = table.into_iter().map(|(name, value)| (name, Layer::new(None, kind(value))));
            members.collect::<config::Map<_, _>>().into()
        }
    }
}

/// A hint at the known name that differs by little.
fn near<'n>(given: &str, known: impl Iterator<Item = &'n str>) -> String {
    let nearest = known.map(|name| (distance(name, given), name)).min();
    nearest.filter(|(far, _)| *far <= 3).map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"))
}

/// Letters to insert, remove or replace to make one name of the other (Levenshtein).
fn distance(known: &str, given: &str) -> usize {
    let mut row: Vec<usize> = (0..=given.len()).collect();
    for (i, a) in known.bytes().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, b) in given.bytes().enumerate() {
            let cost = previous + usize::from(a != b);
            previous = row[j + 1];
            row[j + 1] = cost.min(previous + 1).min(row[j] + 1);
        }
    }
    row[given.len()]
}

fn refused(problems: &[impl AsRef<str>]) -> Failure {
    let lines: String = problems.iter().map(|problem| format!("\n  {}", problem.as_ref())).collect();
    Failure::usage(format!("the configuration cannot be used{lines}")).next("tutti config schema")
}

fn internal(error: &config::ConfigError) -> Failure {
    Failure::usage(format!("the configuration cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(file: &str, variables: &[(&str, &str)]) -> Result<Loaded> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, file).unwrap();
        load(Some(&path), &variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn the_environment_beats_the_file_beats_the_default() {
        assert_eq!(loaded("", &[]).unwrap().config, Config::default());
        let file = "[server]\nlisten = \"127.0.0.1:1\"\n[execution]\nparallel_threshold = 7\n";
        let read = loaded(file, &[("TUTTI_SERVER__LISTEN", "127.0.0.1:2"), ("ORCHESTRATION_MODE", "Basic")]).unwrap();
        assert_eq!(read.config.server.listen.port(), 2);
        assert_eq!(read.config.execution.parallel_threshold, 7);
        assert_eq!(read.config.execution.mode, super::super::sections::Mode::Basic);
        let lists = [("TUTTI_AGENTS__POLICY__ALLOW", "10.0.0.0/8, *.agents.example,")];
        let policy = loaded("[agents.policy]\nallow_private = true", &lists).unwrap().config.agents.policy;
        assert_eq!(
            policy.allow.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.0/8", "*.agents.example"]
        );
        assert!(policy.allow_private && policy.allow_loopback.is_none());
        assert_eq!(read.origins["server.listen"], "environment TUTTI_SERVER__LISTEN");
        assert!(read.origins["execution.parallel_threshold"].starts_with("file "));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_right() {
        for (file, variables, words) in [
            ("[server]\nlisen = 1", &[][..], "did you mean server.listen?"),
            ("", &[("TUTTI_SERVER__LISEN", "x")][..], "did you mean TUTTI_SERVER__LISTEN?"),
            ("[execution]\nmode = \"fast\"", &[], "basic, enhanced, parallel"),
            ("[execution]\nlanes = 0", &[], "from 1 to 1024"),
            ("[server]\nlisten = \"x\"", &[], "an IP address and a port"),
            ("", &[("CONNECTION_POOL_SIZE", "many")], "CONNECTION_POOL_SIZE is \"many\""),
            ("", &[("PARALLEL_THRESHOLD", "0")], "PARALLEL_THRESHOLD is \"0\"; it takes a whole number from 1"),
            ("", &[("ENABLE_PARALLEL_EXECUTION", "maybe")], "it takes true or false"),
            ("[tls]\ncert = \"c.pem\"", &[], "tls.cert is given without tls.key"),
            ("[client]\nkey = \"k.pem\"", &[], "client.key is given without client.cert"),
            ("[tls]\nrequire_client_cert = true", &[], "without tls.client_ca"),
            ("[auth]\nenabled = true\ncertificates = [\"a=boss\"]", &[], "reader, operator, author, admin"),
            ("[auth]\nenabled = true\ncertificates = [\"a=admin\"]", &[], "without tls.client_ca"),
            ("[auth]\ncertificates = \"a=admin\"", &[], "it takes a list of texts"),
            ("", &[("TUTTI_AUTH__CERTIFICATES", "a=admin, b")], "it has no ="),
            ("[agents.policy]\nallow = [\"10.0.0.0/33\"]", &[], "is no network"),
        ] {
            let told = loaded(file, variables).unwrap_err().to_string();
            assert!(told.contains(words), "{words:?} in {told}");
        }
    }
}
