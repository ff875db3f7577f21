//! The inputs of a run, as the command line gives them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use tutti_core::limits::MAX_VALUE_BYTES;
use tutti_core::value::{Json, members};
use tutti_core::workflow::{InputSpec, Workflow};

use crate::exit::{Failure, Result};

/// Puts the inputs together: each argument is `key=value`, `key=@file` or the name of a JSON file that holds an object;
/// later ones win. An input that the workflow declares as `file` names a file; its text becomes the value. `folder` is
/// the one of the workflow file, to which defaults are relative.
///
/// # Errors
/// An argument that is neither, a file that cannot be read, a value that is too large.
pub fn collect(arguments: &[String], workflow: &Workflow, folder: &Path) -> Result<Json> {
    let mut inputs = BTreeMap::new();
    for argument in arguments {
        match argument.split_once('=') {
            Some(("", _)) => return Err(unclear(argument)),
            Some((key, value)) => {
                let value = given(key, value, workflow.inputs.get(key))?;
                inputs.insert(key.to_owned(), value);
            }
            None => inputs.extend(object(argument, workflow)?),
        }
    }
    for (name, spec) in workflow.inputs.iter().filter(|(_, spec)| spec.file) {
        if let (Some(default), false) = (&spec.default, inputs.contains_key(name)) {
            let path = serde_json::from_str::<String>(default.as_str())
                .map_err(|_| Failure::usage(format!("the default of input \"{name}\" is not the name of a file")))?;
            inputs.insert(name.clone(), text(name, &folder.join(path))?);
        }
    }
    Json::of(&inputs).map_err(|error| Failure::usage(format!("the inputs together: {error}")))
}

/// The value of `key=value`.
fn given(key: &str, value: &str, spec: Option<&InputSpec>) -> Result<Json> {
    match value.strip_prefix('@') {
        Some(path) => text(key, Path::new(path)),
        None if spec.is_some_and(|spec| spec.file) => text(key, Path::new(value)),
        None => Json::parse(value.to_owned())
            .or_else(|_| Json::of(value))
            .map_err(|error| Failure::usage(format!("input \"{key}\": {error}"))),
    }
}

/// The members of a JSON file.
fn object(argument: &str, workflow: &Workflow) -> Result<BTreeMap<String, Json>> {
    let path = Path::new(argument);
    if !path.exists() {
        return Err(unclear(argument));
    }
    let bytes = bytes(path).map_err(|why| Failure::usage(format!("-i {argument}: {why}")))?;
    let value = Json::parse(bytes).map_err(|why| Failure::usage(format!("-i {argument}: {why}")))?;
    let members = members(&value).ok_or_else(|| {
        Failure::usage(format!("-i {argument}: not an object of inputs")).next(format!("-i NAME=@{argument}"))
    })?;
    let resolve = |(name, value): (String, Json)| match workflow.inputs.get(&name) {
        Some(spec) if spec.file => {
            let path = serde_json::from_str::<String>(value.as_str())
                .map_err(|_| Failure::usage(format!("-i {argument}: input \"{name}\" must be the name of a file")))?;
            Ok((name.clone(), text(&name, Path::new(&path))?))
        }
        _ => Ok((name, value)),
    };
    members.into_iter().map(resolve).collect()
}

/// The text of a file as a value.
fn text(input: &str, path: &Path) -> Result<Json> {
    let refused = |why: String| {
        Failure::usage(format!("input \"{input}\": the file {} {why}", path.display()))
            .next(format!("-i {input}=FILE with the name of a text file"))
    };
    let bytes = bytes(path).map_err(refused)?;
    let text = String::from_utf8(bytes).map_err(|_| refused("is not text in UTF-8".to_owned()))?;
    Json::of(&text).map_err(|error| refused(format!("is too large: {error}")))
}

fn bytes(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = MAX_VALUE_BYTES as u64;
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > MAX_VALUE_BYTES {
        return Err(format!("has more than the {MAX_VALUE_BYTES} bytes that one value may have"));
    }
    Ok(bytes)
}

fn unclear(argument: &str) -> Failure {
    let shown: String = argument.chars().take(60).flat_map(char::escape_debug).collect();
    Failure::usage(format!("-i {shown}: neither key=value nor the name of a JSON file"))
        .next("-i NAME=VALUE, -i NAME=@TEXTFILE or -i INPUTS.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_core::workflow::parse;

    fn workflow() -> Workflow {
        let inputs = "{csv: {file: true, default: data.csv}, n: {default: 1}}";
        parse(&format!("id: w\ninputs: {inputs}\nsteps: [{{id: s, capability: c}}]")).unwrap().workflow
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data.csv"), "a\n1\n").unwrap();
        std::fs::write(folder.path().join("other.csv"), "b\n").unwrap();
        folder
    }

    fn collected(folder: &Path, arguments: &[&str]) -> std::result::Result<String, String> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        collect(&arguments, &workflow(), folder).map(|json| json.as_str().to_owned()).map_err(|f| f.to_string())
    }

    #[test]
    fn values_are_json_where_they_can_be_and_text_otherwise() {
        let folder = folder();
        let got = collected(folder.path(), &["n=12345678901234567890.10", "t=a b=c", "l=[1]", "q=\"5\""]).unwrap();
        assert_eq!(got, r#"{"csv":"a\n1\n","l":[1],"n":12345678901234567890.10,"q":"5","t":"a b=c"}"#);
    }

    #[test]
    fn a_file_input_is_the_text_of_the_file() {
        let folder = folder();
        let other = folder.path().join("other.csv").display().to_string();
        let inputs = folder.path().join("in.json");
        std::fs::write(&inputs, format!("{{\"csv\": {other:?}, \"n\": 2}}")).unwrap();
        let inputs = inputs.display().to_string();
        assert_eq!(collected(folder.path(), &[&format!("csv={other}")]).unwrap(), r#"{"csv":"b\n"}"#);
        assert_eq!(collected(folder.path(), &[&inputs]).unwrap(), r#"{"csv":"b\n","n":2}"#);
        let later = collected(folder.path(), &[&inputs, &format!("n=@{other}")]).unwrap();
        assert_eq!(later, r#"{"csv":"b\n","n":"b\n"}"#, "later ones win");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = folder();
        let told = |arguments: &[&str]| collected(folder.path(), arguments).unwrap_err();
        assert!(told(&["csv=nowhere.csv"]).contains("input \"csv\": the file nowhere.csv cannot be read"));
        assert!(told(&["nowhere.json"]).contains("neither key=value nor the name of a JSON file"));
        assert!(told(&["=1"]).contains("neither key=value"));
        std::fs::write(folder.path().join("list.json"), "[1]").unwrap();
        let list = folder.path().join("list.json").display().to_string();
        assert!(told(&[&list]).contains("not an object of inputs"));
        std::fs::write(folder.path().join("data.csv"), [0xff, 0xfe]).unwrap();
        assert!(told(&[]).contains("is not text in UTF-8"));
        std::fs::write(folder.path().join("data.csv"), vec![b'a'; MAX_VALUE_BYTES + 1]).unwrap();
        assert!(told(&[]).contains("16777216 bytes"));
    }
}
