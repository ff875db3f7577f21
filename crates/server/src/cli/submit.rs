//! `tutti submit`: a workflow to a server.

use tutti_core::ids::Namespace;
use tutti_core::ports::runs::StartRequest;
use tutti_core::workflow::Executor;

use super::SubmitArgs;
use crate::clock::SystemClock;
use crate::exit::{Exit, Result};
use crate::inputs;
use crate::output::{answer, say};
use crate::remote;
use crate::workflow_file::{WorkflowFile, text};

/// # Errors
/// Anything given that is wrong, a server that cannot be reached.
pub async fn execute(args: SubmitArgs) -> Result<Exit> {
    let client = remote::client(&args.server)?;
    // The files that inputs name are here, not at the server.
    let file = WorkflowFile::read(&args.file)?;
    let inputs = inputs::collect(&args.inputs, &file.workflow, file.folder())?;
    let request = StartRequest {
        namespace: Namespace::default(),
        request: args.request_id.unwrap_or_else(|| SystemClock.request_id()),
        workflow: text(&args.file)?,
        inputs: inputs.as_str().to_owned(),
        executor: args.executor.map(Executor::from),
        max_concurrent_tasks: args.max_concurrent,
    };
    let started = client.start(request).await.map_err(|error| remote::failure(&args.server, error))?;
    if started.existed {
        say("this request started the run before");
    }
    answer(&format!("{}\n", started.run))?;
    Ok(Exit::Done)
}
