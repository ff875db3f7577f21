//! Plan templates: lists of tasks by name, chosen by the words of a request.

use serde::Deserialize;
use tutti_core::workflow::{Document, Problem};

use crate::tasks::TaskList;

/// The templates that come with the product.
const BUILT_IN: [&str; 4] = [
    include_str!("../../templates/travel.yaml"),
    include_str!("../../templates/data-pipeline.yaml"),
    include_str!("../../templates/order-processing.yaml"),
    include_str!("../../templates/research.yaml"),
];

/// Different keywords that a request must have for a template to be chosen: one alone may stand there by chance.
const HITS: usize = 2;

/// A list of tasks that requests with certain words are answered with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its name.
    #[serde(rename = "template")]
    pub name: String,
    /// Words of requests that it is for: texts that are looked for, in upper or lower case.
    pub keywords: Vec<String>,
    /// Its tasks. Those with keywords of their own are left out if the request has words of others and none of theirs.
    pub plan: TaskList,
}

/// Templates in the order in which they are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Templates(Vec<Template>);

impl Default for Templates {
    fn default() -> Self {
        let read = |text: &&str| Template::read(text).expect("a test reads them all");
        Self(BUILT_IN.iter().map(read).collect())
    }
}

impl Template {
    /// Reads a file, YAML or JSON.
    ///
    /// # Errors
    /// What is wrong with it, with its place.
    pub fn read(text: &str) -> Result<Self, Vec<Problem>> {
        Document::read(text)?.decode().map_err(|problem| vec![problem])
    }

    /// The tasks for a request: all, or those that it speaks of with those that always belong to it.
    #[must_use]
    pub fn tasks_for(&self, query: &str) -> TaskList {
        let query = query.to_lowercase();
        let says = |keywords: &[String]| keywords.iter().any(|word| query.contains(&word.to_lowercase()));
        let mut list = self.plan.clone();
        if list.tasks.iter().any(|task| says(&task.keywords)) {
            list.tasks.retain(|task| task.keywords.is_empty() || says(&task.keywords));
        }
        let there: Vec<_> = list.tasks.iter().filter_map(|task| task.id.clone()).collect();
        for task in &mut list.tasks {
            if let Some(dependencies) = &mut task.dependencies {
                dependencies.retain(|on| there.contains(on));
            }
        }
        list
    }
}

impl Templates {
    /// The same with templates that are asked before.
    #[must_use]
    pub fn after(self, mut first: Vec<Template>) -> Self {
        first.extend(self.0);
        Self(first)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|template| template.name.as_str())
    }

    /// A template by its name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Template> {
        self.0.iter().find(|template| template.name == name)
    }

    /// The template for a request: the one with the most keywords in it, of several the first; at least two.
    #[must_use]
    pub fn choose(&self, query: &str) -> Option<&Template> {
        let query = query.to_lowercase();
        let hits =
            |template: &Template| template.keywords.iter().filter(|word| query.contains(&word.to_lowercase())).count();
        let rated = self.0.iter().rev().map(|template| (hits(template), template));
        rated.filter(|(hits, _)| *hits >= HITS).max_by_key(|(hits, _)| *hits).map(|(_, template)| template)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{GroupTable, build};

    #[test]
    fn all_that_come_with_the_product_make_workflows() {
        let templates = Templates::default();
        assert_eq!(templates.names().collect::<Vec<_>>(), ["travel", "data-pipeline", "order-processing", "research"]);
        for template in &templates.0 {
            let built = build(&template.tasks_for(""), &GroupTable::default(), &[]).unwrap();
            assert_eq!(built.parsed.workflow.steps.len(), template.plan.tasks.len(), "{}", template.name);
            assert!(built.parsed.warnings.is_empty(), "{}: {:?}", template.name, built.parsed.warnings);
        }
    }

    #[test]
    fn words_choose_the_template_and_its_tasks() {
        let templates = Templates::default();
        let chosen = |query: &str| templates.choose(query).map(|template| template.name.as_str());
        assert_eq!(chosen("Plan a TRIP to Tokyo with a flight and a hotel"), Some("travel"));
        assert_eq!(chosen("Clean the csv and archive it"), Some("data-pipeline"));
        assert_eq!(chosen("Take the order and charge the payment"), Some("order-processing"));
        assert_eq!(chosen("Research the literature on bees"), Some("research"));
        assert_eq!(chosen("A trip"), None);
        let list = templates.named("travel").unwrap().tasks_for("a trip with a flight and a car");
        let ids: Vec<_> = list.tasks.iter().map(|task| task.id.as_ref().unwrap().as_str()).collect();
        assert_eq!(ids, ["plan-journey", "flight", "car", "itinerary"]);
        let before: Vec<_> = list.tasks[3].dependencies.iter().flatten().map(|id| id.as_str().to_owned()).collect();
        assert_eq!(before, ["flight", "car"]);
    }
}
