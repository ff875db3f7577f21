//! Commands that are advised, with the flags by which the user said where things are.

use std::sync::OnceLock;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _};

use crate::cli::Cli;
use crate::store::StoreSpec;

/// Flags that hold for the next command as well.
const LASTING: [&str; 5] = ["config", "store", "token_file", "server", "namespace"];

/// How a line begins that advises something.
const ADVICE: [&str; 3] = ["next:", "then:", "or:"];

static TYPED: OnceLock<Vec<Flag>> = OnceLock::new();

/// A flag as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flag {
    /// Its long form, with the dashes.
    name: String,
    /// Its value, as a shell reads it.
    value: String,
}

/// Remembers the flags of this command. Those that come from elsewhere hold for the next one without a word.
pub fn remember(matches: &ArgMatches) {
    // Said once, by the command line.
    let _ = TYPED.set(typed(matches));
}

/// A text in which each command that is advised in a line of its own has the flags that were typed.
pub fn complete(text: &str) -> String {
    let line = |line: &str| match ADVICE.iter().find_map(|begin| line.strip_prefix(begin)) {
        Some(rest) => {
            let advice = rest.trim_start();
            format!("{}{}", &line[..line.len() - advice.len()], command(advice))
        }
        None => line.to_owned(),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// What is advised: if it begins with a command, that with the flags that were typed, as far as it takes them and does not
/// name them itself.
pub fn command(advice: &str) -> String {
    with(advice, TYPED.get().map_or(&[], Vec::as_slice))
}

fn with(advice: &str, typed: &[Flag]) -> String {
    let Some(mut rest) = advice.strip_prefix("tutti ").filter(|_| !typed.is_empty()) else { return advice.to_owned() };
    let cli = Cli::command();
    let mut verb = &cli;
    while let Some((next, after)) = next_verb(verb, rest) {
        (verb, rest) = (next, after);
    }
    let takes = |flag: &&Flag| {
        let mut known = cli.get_arguments().chain(verb.get_arguments()).filter_map(clap::Arg::get_long);
        known.any(|name| flag.name == format!("--{name}")) && !rest.contains(&flag.name)
    };
    let flags: String = typed.iter().filter(takes).map(|Flag { name, value }| format!(" {name} {value}")).collect();
    let (verbs, rest) = advice.split_at(advice.len() - rest.len());
    if rest.is_empty() { format!("{verbs}{flags}") } else { format!("{}{flags} {rest}", verbs.trim_end()) }
}

/// The verb that a text begins with, and what comes after it.
fn next_verb<'c, 't>(of: &'c Command, text: &'t str) -> Option<(&'c Command, &'t str)> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    of.find_subcommand(word).map(|verb| (verb, rest))
}

fn typed(matches: &ArgMatches) -> Vec<Flag> {
    let mut verb = matches;
    while let Some((_, next)) = verb.subcommand() {
        verb = next;
    }
    let is_typed =
        |id: &&str| verb.ids().any(|known| known == id) && verb.value_source(id) == Some(ValueSource::CommandLine);
    let flag = |id: &str| {
        let value = match id {
            // Without the password of a database.
            "store" => verb.get_one::<StoreSpec>(id)?.to_string(),
            _ => verb.get_raw(id)?.next()?.to_string_lossy().into_owned(),
        };
        Some(Flag { name: format!("--{}", id.replace('_', "-")), value: quoted(value) })
    };
    LASTING.into_iter().filter(is_typed).filter_map(flag).collect()
}

/// A word as a shell reads it.
fn quoted(word: String) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+=,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Vec<Flag> {
        super::typed(&Cli::command().try_get_matches_from(line.split(' ')).unwrap())
    }

    fn advised(line: &str, advice: &str) -> String {
        with(advice, &typed(line))
    }

    #[test]
    fn an_advised_command_has_the_flags_that_were_typed() {
        let line = "tutti --config c.toml get latest --server http://h:1 --namespace red";
        assert_eq!(advised(line, "tutti list"), "tutti list --config c.toml --server http://h:1 --namespace red");
        assert_eq!(
            advised(line, "tutti agent list"),
            "tutti agent list --config c.toml --server http://h:1 --namespace red"
        );
        assert_eq!(
            advised("tutti data x --store sqlite:a.db", "tutti resume 12 --agents FILE"),
            "tutti resume --store sqlite:a.db 12 --agents FILE"
        );
    }

    #[test]
    fn what_a_command_does_not_take_or_names_is_not_added() {
        let line = "tutti get latest --server http://h:1 --namespace red";
        for advice in ["tutti config schema", "tutti lint FILE", "read a.log", "-i NAME=VALUE", "tutti"] {
            assert_eq!(advised(line, advice), advice);
        }
        let named = "tutti watch 12 --server http://h:2";
        assert_eq!(advised(line, named), "tutti watch --namespace red 12 --server http://h:2");
        assert_eq!(advised("tutti list", "tutti list"), "tutti list");
    }

    #[test]
    fn no_password_and_no_token_is_repeated_and_a_shell_reads_the_rest() {
        let line = "tutti list --store postgres://me:secret@h/d --token t --token-file a'b";
        let advice = advised(line, "tutti list");
        assert_eq!(advice, r"tutti list --store postgres://me@h:5432/d --token-file 'a'\''b'");
    }
}
