//! Values of a run for an answer, which has a bound that runs do not have.

use tonic::Status;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::MAX_VALUE_BYTES;
use tutti_core::ports::inbound::values::Values;
use tutti_core::report::RunView;
use tutti_core::value::{Json, Payload};

use super::errors::status;

/// Most bytes of outputs that are read to put an answer together.
const MAX_READ: usize = 4 * MAX_VALUE_BYTES;

/// The data of a run as it stands; `None` if it is too large for an answer.
pub(super) async fn of_run(values: &dyn Values, namespace: &Namespace, view: &RunView) -> Result<Option<Json>, Status> {
    let (Some(run), Some(created)) = (view.run(), view.created()) else { return Ok(Some(Json::empty_object())) };
    let mapped = view.steps().filter(|step| !step.step.output.is_empty());
    let sizes = mapped.filter_map(|step| step.output).chain([&created.data]).map(size);
    if sizes.sum::<usize>() > MAX_READ {
        return Ok(None);
    }
    let data = values.data(namespace, run).await.map_err(|error| status(&error))?;
    Ok(Some(data).filter(|data| data.bytes().len() <= MAX_VALUE_BYTES))
}

/// A value, wherever it is kept.
pub(crate) async fn value(
    values: &dyn Values,
    namespace: &Namespace,
    run: RunId,
    payload: &Payload,
) -> Result<Json, Status> {
    match payload {
        Payload::Inline(value) => Ok(value.clone()),
        Payload::Stored(at) => {
            let bytes = values.payload(namespace, run, *at).await.map_err(|error| status(&error))?;
            Json::parse(bytes).map_err(|why| Status::data_loss(format!("payload {} of run {run} is {why}", at.hash)))
        }
    }
}

fn size(payload: &Payload) -> usize {
    match payload {
        Payload::Inline(value) => value.bytes().len(),
        Payload::Stored(at) => usize::try_from(at.len).unwrap_or(usize::MAX),
    }
}
