//! The data around a step: those of the run, or those that a step that holds it gives to what it holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tutti_core::ids::RunId;
use tutti_core::plan::{Inside, StepIndex, enter, start_of_time};
use tutti_core::ports::agent::{AgentError, AgentErrorKind};
use tutti_core::value::{Json, Payload};

use super::attempt::{AttemptContext, AttemptSpec, Fault, load_value};

/// Steps that hold others of which is remembered what these have around them: a long list is put together and taken apart once,
/// not for each of its items.
const REMEMBERED: usize = 64;

/// What steps give to those that they hold, by run, its generation, the step, and the attempt of it.
#[derive(Default)]
pub(crate) struct Scopes(Mutex<HashMap<Scope, Arc<Inside>>>);

type Scope = (RunId, u32, StepIndex);

impl Scopes {
    fn get(&self, scope: Scope) -> Option<Arc<Inside>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&scope).cloned()
    }

    fn put(&self, scope: Scope, inside: Arc<Inside>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            // A list takes long to be taken apart again.
            known.retain(|_, inside| inside.items.is_some());
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(scope, inside);
    }
}

/// The data around a step, and the outputs of the steps beside it that it reads.
pub(super) struct Around {
    pub(super) data: Json,
    pub(super) outputs: HashMap<StepIndex, Json>,
}

/// Puts together what is around a step, from the innermost step that holds it and is remembered.
pub(super) async fn around(context: &AttemptContext, spec: &AttemptSpec) -> Result<Around, Fault> {
    let holders = spec.plan.holders(spec.step);
    let scope = |holder: StepIndex| (spec.key.run, spec.key.generation, holder);
    let known =
        holders.iter().enumerate().rev().find_map(|(at, (holder, _))| Some((at, context.scopes.get(scope(*holder))?)));
    let mut data = match &known {
        Some(_) => Json::null(),
        None => load_value(context, &spec.key, &spec.data).await?,
    };
    let from = known.as_ref().map_or(0, |(at, _)| *at);
    for (at, (holder, number)) in holders.iter().enumerate().skip(from) {
        let inside = match &known {
            Some((known_at, inside)) if *known_at == at => inside.clone(),
            _ => {
                let outputs = load(context, spec, &spec.plan.reads(*holder)).await?;
                let inside = enter(&spec.plan, *holder, &data, |step| outputs.get(&step).cloned())
                    .map_err(|reason| AgentError::new(AgentErrorKind::InputMissing, reason))?;
                let inside = Arc::new(inside);
                context.scopes.put(scope(*holder), inside.clone());
                inside
            }
        };
        let previous = spec.plan.previous(*holder, *number);
        let previous = match previous {
            Some(step) => load(context, spec, &[step]).await?.remove(&step),
            None => None,
        };
        data = start_of_time(spec.plan.step(*holder), &inside, *number, previous);
    }
    let outputs = load(context, spec, &spec.plan.reads(spec.step)).await?;
    Ok(Around { data, outputs })
}

async fn load(
    context: &AttemptContext,
    spec: &AttemptSpec,
    steps: &[StepIndex],
) -> Result<HashMap<StepIndex, Json>, Fault> {
    let mut outputs = HashMap::with_capacity(steps.len());
    for (step, payload) in spec.outputs.iter().filter(|(step, _): &&(StepIndex, Payload)| steps.contains(step)) {
        outputs.insert(*step, load_value(context, &spec.key, payload).await?);
    }
    Ok(outputs)
}
