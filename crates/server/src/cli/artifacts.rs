//! `tutti artifacts`: what agents produced beside the outputs of steps.

use tutti_core::report::{RunView, fit, pad};
use tutti_core::run::ArtifactRecorded;

use super::{ArtifactsArgs, Global};
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, answer_bytes, say, stdout_width};

/// # Errors
/// A run or an artifact that is not there, or a file that cannot be written.
pub async fn execute(args: ArtifactsArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let run = reader.find(&args.run.run).await?;
    let view = reader.view(&run).await?;
    let Some(name) = args.name else {
        let table = table(&view, stdout_width());
        if table.is_empty() {
            say(format!("run {} has no artifacts", run.run));
        }
        return answer(&table).map(|()| Exit::Done);
    };
    let artifact = choose(&view, &name)?;
    let bytes = reader.payload(run.run, artifact.content).await?;
    match args.output.filter(|path| path.as_os_str() != "-") {
        None => answer_bytes(&bytes)?,
        Some(path) => {
            std::fs::write(&path, &bytes)
                .map_err(|error| Failure::output(format!("{} cannot be written: {error}", path.display())))?;
            say(format!("{} bytes written to {}", bytes.len(), path.display()));
        }
    }
    Ok(Exit::Done)
}

fn all(view: &RunView) -> Vec<&ArtifactRecorded> {
    view.all_steps().flat_map(|step| step.artifacts).collect()
}

/// The artifact of that name; of several the step must be named too.
fn choose<'v>(view: &'v RunView, name: &str) -> Result<&'v ArtifactRecorded> {
    let of_step =
        |a: &&ArtifactRecorded| name.strip_prefix(a.step.as_str()).and_then(|n| n.strip_prefix('/')) == Some(&a.name);
    let mut found: Vec<&ArtifactRecorded> = all(view).into_iter().filter(|a| a.name == name).collect();
    if found.is_empty() {
        found = all(view).into_iter().filter(of_step).collect();
    }
    let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
    match (found.len(), found.pop()) {
        (1, Some(artifact)) => Ok(artifact),
        (0, _) | (_, None) => Err(Failure::usage(format!("the run has no artifact \"{shown}\""))
            .next("leave the name out to see which there are")),
        (count, Some(artifact)) => Err(Failure::usage(format!("{count} artifacts are called \"{shown}\""))
            .next(format!("put the step in front: {}/{shown}", artifact.step))),
    }
}

fn table(view: &RunView, width: usize) -> String {
    let artifacts = all(view);
    let names = artifacts.iter().map(|artifact| artifact.name.chars().count()).max().unwrap_or(0).clamp(4, 40);
    let steps = artifacts.iter().map(|artifact| artifact.step.as_str().len()).max().unwrap_or(0).clamp(4, 30);
    let row = |step: &str, name: &str, bytes: &str, kind: &str, hash: &str| {
        let row = format!("{}  {}  {bytes:>10}  {}  {hash}", pad(step, steps), pad(name, names), pad(kind, 20));
        format!("{}\n", fit(&row, width).trim_end())
    };
    let mut table = String::new();
    if !artifacts.is_empty() {
        table.push_str(&row("STEP", "NAME", "BYTES", "TYPE", "SHA-256"));
    }
    for artifact in artifacts {
        let (bytes, hash) = (artifact.content.len.to_string(), artifact.content.hash.to_string());
        let kind = artifact.media_type.as_deref().unwrap_or("-");
        table.push_str(&row(artifact.step.as_str(), &artifact.name, &bytes, kind, &hash));
    }
    table
}
