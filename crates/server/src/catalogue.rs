//! Registered workflows, of a server or of a store, with the same words.

use std::sync::Arc;

use tutti_adapters_grpc::api::{ApiClient, ApiError};
use tutti_core::ids::{Namespace, WorkflowId};
use tutti_core::ports::inbound::runs::WorkflowSource;
use tutti_core::ports::inbound::workflows::{
    ListWorkflows, PlanDescription, RegisterWorkflow, RegisteredWorkflow, WorkflowPage, Workflows,
};
use tutti_core::workflow::Problem;
use tutti_engine::{Registry, WorkflowService};

use crate::cli::{Global, Source, by};
use crate::clock::SystemClock;
use crate::exit::{Failure, Result};
use crate::planning::describe;
use crate::remote;

/// What is to be done with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it; an engine that has it is not disturbed.
    Look,
    /// Write to it; no engine may have it.
    Write,
}

/// Registered workflows.
pub struct Catalogue {
    place: Place,
    /// Whose.
    namespace: Namespace,
}

enum Place {
    /// At a server, by its URL.
    Server(Box<ApiClient>, String),
    /// In a store.
    Store(Box<WorkflowService>),
}

impl Catalogue {
    /// Those of the server, or of the store if no server is named.
    ///
    /// # Errors
    /// A store that cannot be used.
    pub async fn open(source: &Source, global: &Global, access: Access) -> Result<Self> {
        let namespace = source.namespace.clone();
        if let Some(url) = &source.server {
            let place = Place::Server(Box::new(remote::client(url)?), url.clone());
            return Ok(Self { place, namespace });
        }
        let records = match access {
            Access::Look => global.store.open_documents().await?,
            Access::Write => global.store.open_for_keeping().await?.records,
        };
        let config = global.config.clone();
        let describer = Arc::new(move |subject| describe(subject, &config));
        let workflows = WorkflowService::over(records, Arc::new(SystemClock), Registry::default(), describer)
            .with_parallel_threshold(global.config.execution.service().parallel_threshold);
        Ok(Self { place: Place::Store(Box::new(workflows)), namespace })
    }

    /// Registers a version.
    ///
    /// # Errors
    /// What is wrong with the workflow, or a version that is registered with another content.
    pub async fn register(&self, text: String) -> Result<RegisteredWorkflow> {
        let (namespace, request) = (self.namespace.clone(), SystemClock.request_id());
        let register = RegisterWorkflow { namespace, request, text, by: by() };
        match &self.place {
            Place::Server(client, url) => client.register_workflow(register).await.map_err(of(url)),
            Place::Store(workflows) => Ok(workflows.register(register).await?),
        }
    }

    /// A version with its file; without a version the last one.
    ///
    /// # Errors
    /// A workflow that is not there.
    pub async fn get(&self, id: &WorkflowId, version: Option<&str>) -> Result<(RegisteredWorkflow, String)> {
        let namespace = &self.namespace;
        match &self.place {
            Place::Server(client, url) => client.workflow(namespace, id, version).await.map_err(of(url)),
            Place::Store(workflows) => Ok(workflows.get(namespace, id, version).await?),
        }
    }

    /// A page of versions, whosever the request says.
    ///
    /// # Errors
    /// A cursor that was not given out.
    pub async fn list(&self, list: ListWorkflows) -> Result<WorkflowPage> {
        match &self.place {
            Place::Server(client, url) => client.workflows(list).await.map_err(of(url)),
            Place::Store(workflows) => Ok(workflows.list(list).await?),
        }
    }

    /// Everything that is wrong or doubtful with a file, as the server finds it.
    ///
    /// # Errors
    /// A server that cannot be used; a store has no agents to check a file against.
    pub async fn validate(&self, text: &str) -> Result<Vec<Problem>> {
        match &self.place {
            Place::Server(client, url) => client.validate_workflow(&self.namespace, text).await.map_err(of(url)),
            Place::Store(_) => Err(Failure::usage("a store checks no files").next("tutti lint FILE")),
        }
    }

    /// The plan of a workflow.
    ///
    /// # Errors
    /// A workflow that is not there or cannot be used.
    pub async fn plan(&self, workflow: &WorkflowSource) -> Result<PlanDescription> {
        let namespace = &self.namespace;
        match &self.place {
            Place::Server(client, url) => client.plan_workflow(namespace, workflow).await.map_err(of(url)),
            Place::Store(workflows) => Ok(workflows.plan(namespace, workflow).await?),
        }
    }
}

fn of(url: &str) -> impl Fn(ApiError) -> Failure {
    move |error| remote::failure(url, error)
}
