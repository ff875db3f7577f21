//! Requests in plain words: a planner agent is asked, told once what is wrong with its answer, and replaced by the plan that
//! is made without one.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tutti_core::ids::{Capability, Namespace};
use tutti_core::ports::inbound::{RequestError, Violation};
use tutti_core::value::Json;
use tutti_core::workflow::Problem;
use tutti_engine::{Ask, Asker, Planner, Proposed, Registry, Wanted};
use tutti_planner::PlanMode;
use tutti_planner::query::{
    FailedRun, MAX_QUERY_BYTES, Offer, PlanRequest, Rejected, Template, Templates, fallback, read_answer, rest,
};
use tutti_planner::tasks::GroupTable;

use crate::config::Config;
use crate::exit::{Failure, Result};
use crate::workflow_file::{lines, text_of};

/// The word that names the question to a planner agent.
const WORD: &str = "plan";

/// Most problems of an answer that are told in a note.
const TOLD: usize = 5;

/// Plans requests in plain words.
pub struct QueryPlanner {
    /// Asks agents; `None`: nobody is asked.
    asker: Option<Asker>,
    registry: Registry,
    table: GroupTable,
    templates: Templates,
    capability: Capability,
    timeout: Duration,
    mode: PlanMode,
    /// The template to use when no agent plans, whatever the words of a request.
    template: Option<Template>,
    /// Whether a plan is made without an agent if none makes one.
    has_fallback: bool,
}

impl QueryPlanner {
    /// A planner as it is configured, which asks the agents of a registry.
    ///
    /// # Errors
    /// Templates that cannot be used.
    pub fn new(config: &Config, registry: Registry, asker: Option<Asker>) -> Result<Self> {
        let planner = &config.planner;
        Ok(Self {
            asker,
            registry,
            table: planner.table(),
            templates: templates(planner.templates.as_deref())?,
            capability: planner.capability.clone(),
            timeout: Duration::from_secs(planner.timeout_seconds),
            mode: planner.mode(&config.execution),
            template: None,
            has_fallback: planner.fallback,
        })
    }

    /// The same with a template for when no agent plans.
    ///
    /// # Errors
    /// There is no such template.
    pub fn with_template(mut self, name: &str) -> Result<Self> {
        let found = self.templates.named(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.templates.names().collect();
            Failure::usage(format!("there is no plan template {name}; there are: {}", known.join(", ")))
        })?;
        self.template = Some(found);
        Ok(self)
    }

    /// The same, which makes no plan if no agent does.
    pub fn without_fallback(self) -> Self {
        Self { has_fallback: false, ..self }
    }

    /// The plan of an agent, or why there is none, told in notes.
    async fn by_agent(&self, namespace: &Namespace, request: PlanRequest, notes: &mut Vec<String>) -> Option<Proposed> {
        let asker = self.asker.as_ref()?;
        let offered: Vec<Capability> = request.capabilities.iter().map(|offer| offer.capability.clone()).collect();
        if !self.registry.offers(namespace).contains_key(&self.capability) {
            notes.push(format!("no agent offers {}", self.capability));
            return None;
        }
        let (mut asked, conversation) = (request, asker.conversation());
        for round in 1..=2 {
            let input =
                Json::of(&asked).map_err(|error| notes.push(format!("the request is no JSON: {error}"))).ok()?;
            let (capability, timeout) = (self.capability.clone(), self.timeout);
            let namespace = namespace.clone();
            let ask = Ask { namespace, capability, word: WORD, conversation, round, input, timeout };
            let (agent, answer) = match asker.ask(ask).await {
                Ok(answered) => answered,
                Err(error) => {
                    notes.push(format!("the planner agent failed: {error}"));
                    return None;
                }
            };
            let by = format!("agent {agent}");
            let text = answer.as_str().to_owned();
            let (table, of) = (self.table.clone(), offered.clone());
            // Reading a large workflow takes its time, which is not that of others.
            let read = tokio::task::spawn_blocking(move || (read_answer(&text, &table, &of), text)).await;
            match read {
                Ok((Ok(text), _)) => return Some(Proposed { text, by, notes: std::mem::take(notes) }),
                Ok((Err(Rejected::Refused(why)), _)) => {
                    notes.push(format!("{by} refused: {why}"));
                    return None;
                }
                Ok((Err(Rejected::Invalid(problems)), text)) => {
                    let told = problems.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
                    notes.push(format!("answer {round} of {by} was not used: {told}"));
                    asked = asked.again(&text, problems);
                }
                Err(error) => {
                    notes.push(format!("reading the answer was given up: {error}"));
                    return None;
                }
            }
        }
        None
    }

    /// The plan that is made without an agent.
    fn by_rules(
        &self,
        query: &str,
        failed: Option<(&tutti_core::plan::Plan, &FailedRun)>,
        offered: &[Capability],
    ) -> std::result::Result<(String, String), Vec<String>> {
        if let Some((plan, failed)) = failed {
            let text = rest(plan, failed).ok_or_else(|| vec!["nothing of the workflow is left".to_owned()])?;
            return Ok((text, "what was left".to_owned()));
        }
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        let (built, by) =
            fallback(query, self.template.as_ref(), &self.templates, &self.table, offered).map_err(|problems| {
                if query.chars().any(char::is_alphanumeric) { told(problems) } else { vec!["it has no words".into()] }
            })?;
        Ok((built.text, by))
    }
}

#[async_trait]
impl Planner for QueryPlanner {
    async fn propose(&self, wanted: Wanted) -> std::result::Result<Proposed, RequestError> {
        let Wanted { namespace, query, alone, failed } = wanted;
        if query.len() > MAX_QUERY_BYTES || query.trim().is_empty() {
            return Err(RequestError::invalid("query", format!("must have 1 to {MAX_QUERY_BYTES} bytes")));
        }
        let offers = self.registry.offers(&namespace);
        // Who plans is no step of a plan.
        let offers: Vec<Offer> = offers
            .into_iter()
            .filter(|(capability, _)| *capability != self.capability)
            .map(|(capability, agents)| Offer { capability, agents })
            .collect();
        let offered: Vec<Capability> = offers.iter().map(|offer| offer.capability.clone()).collect();
        let mut request = PlanRequest::new(&query, self.mode, offers, &self.templates);
        request.failure = failed.as_ref().and_then(|(view, data)| FailedRun::of(view, data));
        let failure = request.failure.clone();
        let mut notes = Vec::new();
        if self.template.is_none()
            && !alone
            && let Some(proposed) = self.by_agent(&namespace, request, &mut notes).await
        {
            return Ok(proposed);
        }
        let refused = |reasons: Vec<String>| {
            let violation = |reason| Violation { field: "query".to_owned(), reason };
            RequestError::Invalid(reasons.into_iter().map(violation).collect())
        };
        if !self.has_fallback {
            return Err(refused(if notes.is_empty() { vec!["no agent plans it".to_owned()] } else { notes }));
        }
        let plan = failed.as_ref().map(|(view, _)| view.plan());
        let failed = plan.zip(failure.as_ref()).map(|(plan, failure)| (&**plan, failure));
        match self.by_rules(&query, failed, &offered) {
            Ok((text, by)) => Ok(Proposed { text, by, notes }),
            Err(reasons) => Err(refused([notes, reasons].concat())),
        }
    }
}

/// The templates of a folder, by the names of their files, before the built-in ones.
fn templates(folder: Option<&Path>) -> Result<Templates> {
    let Some(folder) = folder else { return Ok(Templates::default()) };
    let unreadable = |error| Failure::usage(format!("the plan templates {} cannot be read: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    let is_template = |path: &std::path::PathBuf| {
        path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known))
    };
    paths.retain(is_template);
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        Template::read(&text_of("plan template", path)?).map_err(|problems| {
            Failure::usage(format!("a plan template cannot be used\n{}", lines(path, &problems).trim_end()))
        })
    };
    Ok(Templates::default().after(paths.iter().map(read).collect::<Result<_>>()?))
}
