//! What every request has in common by which something is wanted of a run.

use tonic::Status;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::inbound::runs::{CommandRequest, Runs};
use tutti_core::run::{Command, Order};

use super::errors::status;

/// What such a request says: of which run, by whom and why.
pub(super) struct Ordered {
    pub(super) namespace: Namespace,
    pub(super) run: RunId,
    pub(super) order: Order,
}

impl Ordered {
    /// Has a command applied: true if the run was as it is wanted before.
    pub(super) async fn apply(self, runs: &dyn Runs, command: Command) -> Result<bool, Status> {
        let Self { namespace, run, order } = self;
        runs.command(CommandRequest { namespace, run, command, order }).await.map_err(|error| status(&error))
    }
}

/// Checks what such requests have in common.
macro_rules! ordered {
    ($request:expr) => {{
        use $crate::api::caller::{caller, namespace, recorded};
        use $crate::api::errors::{request_id, required_reason, run_id, short};
        let request = &$request;
        let asked = request.get_ref();
        let namespace = namespace(request, &asked.namespace)?;
        required_reason(&asked.reason)?;
        short("requested_by", &asked.requested_by)?;
        let by = recorded(&caller(request), &asked.requested_by);
        let request_id = request_id(&asked.request_id)?;
        let order = tutti_core::run::Order { by, reason: asked.reason.clone(), request: Some(request_id) };
        $crate::api::ordered::Ordered { namespace, run: run_id(&asked.run_id)?, order }
    }};
}

pub(super) use ordered;
