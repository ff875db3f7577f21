//! `tutti pause`, `cancel`, `terminate`, `retry`, `signal`, and `resume` at a server: what operators want of a run.

use std::io::{IsTerminal as _, Write as _};

use tutti_core::ids::Namespace;
use tutti_core::ports::runs::CommandRequest;
use tutti_core::run::{Command, Order};
use tutti_core::value::{Json, Payload};
use tutti_engine::command_at_rest;

use super::{Global, OperateArgs, SignalArgs};
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure, Result};
use crate::output::say;
use crate::report::with_store;
use crate::{conductor, remote};

/// Has a command applied to a run, at a server or in a store that no engine has.
///
/// # Errors
/// A run that is not there or does not allow it, a server or a store that cannot be used.
pub async fn execute(command: Command, args: OperateArgs, global: &Global) -> Result<Exit> {
    if matches!(command, Command::Cancel | Command::Terminate) && !args.yes {
        confirm(&format!("{} run {}?", if command == Command::Cancel { "cancel" } else { "terminate" }, args.run.run))?;
    }
    let done = match command {
        Command::Pause => "is paused",
        Command::Resume => "goes on",
        Command::Cancel => "is cancelled",
        Command::Terminate => "is terminated",
        Command::Retry => "is open again",
        Command::Signal { .. } => "has the answer",
    };
    let reader = args.source.open(global).await?;
    let run = reader.find(&args.run.run).await?.run;
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    let request = Some(args.request_id.unwrap_or_else(|| SystemClock.request_id()));
    let order = Order { by: format!("cli:{user}"), reason: args.reason, request };
    if let Some(server) = &args.source.server {
        let wanted = CommandRequest { namespace: Namespace::default(), run, command, order };
        let before = remote::client(server)?.command(wanted).await.map_err(|error| remote::failure(server, error))?;
        say(format!("run {run} {done}{}", if before { ", as before" } else { "" }));
        return Ok(Exit::Done);
    }
    drop(reader);
    let goes_on = matches!(command, Command::Retry | Command::Signal { .. });
    let store = global.store.open().await?;
    let wanted = (command, order);
    command_at_rest(&*store.runs, &*store.query, &*store.payloads, &SystemClock, run, wanted)
        .await
        .map_err(conductor::failure)?;
    say(format!("run {run} {done}"));
    if goes_on {
        say(format!("next:  tutti resume {run}{}", with_store(&global.store)));
    }
    Ok(Exit::Done)
}

/// Answers a step that waits.
///
/// # Errors
/// As [`execute`]; an answer that cannot be read.
pub async fn signal(args: SignalArgs, global: &Global) -> Result<Exit> {
    let text = match args.answer.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("{file} cannot be read: {error}")).next("name a file of text"))?,
        None => args.answer,
    };
    // What is no JSON is a text, as for inputs.
    let answer = match Json::parse(text.clone()) {
        Ok(value) => value,
        Err(_) => Json::of(&text).map_err(|error| Failure::usage(format!("the answer: {error}")))?,
    };
    let command = Command::Signal { step: args.step.unwrap_or_default(), answer: Payload::Inline(answer) };
    let reason = args.reason.unwrap_or_else(|| "answered".to_owned());
    let operate = OperateArgs { run: args.run, reason, source: args.source, request_id: args.request_id, yes: true };
    execute(command, operate, global).await
}

/// Asks the person at the terminal; without one it must have been said before.
fn confirm(question: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question} Nobody can be asked here")).next("say so by --yes"));
    }
    let mut told = std::io::stderr();
    let _ = write!(told, "{question} [y/N] ").and_then(|()| told.flush());
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer) {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::usage("nothing was done")),
    }
}
