//! From sources to files.

use serde::{Deserialize, Serialize};

use super::{Digests, Files};
use crate::examples::sha256;

#[derive(Deserialize)]
pub(super) struct Sources {
    variables: Files,
    #[serde(flatten)]
    files: Files,
}

#[derive(Serialize)]
pub(super) struct Built {
    files: Files,
    digests: Digests,
}

pub(super) fn build(input: &Sources) -> Result<Built, String> {
    let filled = |(path, text): (&String, &String)| {
        let text = fill(text, &input.variables).map_err(|e| format!("{path}: {e}"))?;
        Ok((path.clone(), text))
    };
    let files = input.files.iter().map(filled).collect::<Result<Files, String>>()?;
    let digests = files.iter().map(|(path, text)| (path.clone(), sha256(text.as_bytes()))).collect();
    Ok(Built { files, digests })
}

fn fill(mut text: &str, variables: &Files) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    while let Some((before, rest)) = text.split_once("{{") {
        let (name, rest) = rest.split_once("}}").ok_or("a variable has no end")?;
        let name = name.trim();
        filled += before;
        filled += variables.get(name).ok_or_else(|| format!("there is no variable {name:?}"))?;
        text = rest;
    }
    Ok(filled + text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let variables = Files::from([("a".into(), "1".into()), ("b".into(), "{{a}}".into())]);
        assert_eq!(fill("x{{ a }}y{{b}}", &variables).unwrap(), "x1y{{a}}");
        assert!(fill("{{c}}", &variables).unwrap_err().contains("no variable \"c\""));
        assert!(fill("{{a", &variables).is_err());
    }
}
