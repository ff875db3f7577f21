//! The workflows that a workflow file names: files beside it, and registered ones of the store.

use std::collections::BTreeMap;

use tutti_core::ids::{Namespace, WorkflowId};
use tutti_core::workflow::{Problem, Workflow, parse, resolved, sub_workflow_problems, unresolved};
use tutti_engine::with_registered;

use crate::cli::Global;
use crate::exit::{Failure, Result};
use crate::workflow_file::{WorkflowFile, lines, text};

/// Endings of workflow files.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

impl WorkflowFile {
    /// The file with the workflows that it names, at any depth: `NAME.yaml` beside it, else the workflow of the name that was
    /// registered last in the store. Names of nobody stay.
    ///
    /// # Errors
    /// A file beside it that cannot be used, or workflows that hold themselves.
    pub async fn with_named(mut self, global: &Global, namespace: &Namespace) -> Result<Self> {
        if unresolved(&self.workflow).is_empty() {
            return Ok(self);
        }
        let known = self.beside()?;
        self.workflow = match global.store.open_documents().await {
            Ok(records) => with_registered(&*records, namespace, self.workflow, known).await?,
            // There is no store yet.
            Err(_) => resolved(self.workflow, &known).map_err(|problems| {
                Failure::usage(format!("the workflow cannot be used\n{}", lines(&self.path, &problems).trim_end()))
            })?,
        };
        Ok(self)
    }

    /// What is wrong or doubtful with the workflows that it names, as far as files beside it tell.
    ///
    /// # Errors
    /// A file beside it that cannot be used.
    pub fn named_problems(&self) -> Result<Vec<Problem>> {
        Ok(sub_workflow_problems(&self.workflow, &self.beside()?))
    }

    /// The workflows in files beside it that it names, and that those name.
    fn beside(&self) -> Result<BTreeMap<WorkflowId, Workflow>> {
        let mut known = BTreeMap::new();
        let mut open = unresolved(&self.workflow);
        while let Some(name) = open.pop() {
            let path = |ending| self.folder().join(format!("{name}.{ending}"));
            if known.contains_key(&name) {
                continue;
            }
            let Some(path) = ENDINGS.into_iter().map(path).find(|path| path.is_file()) else { continue };
            let found = parse(&text(&path)?).map_err(|problems| {
                Failure::usage(format!(
                    "the workflow \"{name}\" cannot be used\n{}",
                    lines(&path, &problems).trim_end()
                ))
            })?;
            open.extend(unresolved(&found.workflow));
            known.insert(name, found.workflow);
        }
        Ok(known)
    }
}
