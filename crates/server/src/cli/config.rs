//! `tutti config`: what is configured and where from, whether a file is right, and what a file may hold.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::TextOrJson;
use crate::config::{Loaded, environment, keys, load};
use crate::exit::{Exit, Result};
use crate::output::{answer, answer_json};

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show every setting with its value and where it comes from.
    Show {
        /// The form of the answer.
        #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
        output: TextOrJson,
    },
    /// Check a configuration file and the environment.
    Check {
        /// The configuration file. Default: as --config.
        file: Option<PathBuf>,
    },
    /// Print the JSON Schema of configuration files.
    Schema,
}

/// # Errors
/// A configuration that cannot be used.
pub fn execute(args: ConfigArgs, config: Option<PathBuf>) -> Result<Exit> {
    match args.verb {
        Verb::Show { output } => show(&load(config.as_deref(), &environment())?, output)?,
        Verb::Check { file } => {
            load(file.or(config).as_deref(), &environment())?;
            answer("the configuration can be used\n")?;
        }
        Verb::Schema => answer_json(&keys::schema())?,
    }
    Ok(Exit::Done)
}

fn show(loaded: &Loaded, output: TextOrJson) -> Result<()> {
    let values = serde_json::to_value(&loaded.config).unwrap_or_default();
    let value = |path: &str| path.split('.').fold(&values, |inner, name| &inner[name]).clone();
    let origin = |path: &str| loaded.origins.get(path).map_or("default", String::as_str);
    let keys = keys::all();
    if output == TextOrJson::Json {
        let setting = |key: &keys::Key| {
            json!({
                "key": key.path, "value": value(&key.path), "default": key.default, "source": origin(&key.path),
                "environment": key.variables, "meaning": key.meaning,
            })
        };
        return answer_json(&json!({ "settings": keys.iter().map(setting).collect::<Vec<Value>>() }));
    }
    let line = |key: &keys::Key| format!("{} = {}  ({})\n", key.path, value(&key.path), origin(&key.path));
    answer(&keys.iter().map(line).collect::<String>())
}
