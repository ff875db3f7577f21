//! The plan as a DOT graph.

use std::fmt::Write as _;

use tutti_core::report::printable;

use crate::report::PlanReport;

/// The plan in the DOT language of Graphviz: stages as clusters, the critical path in bold. Whole, however large.
#[must_use]
pub fn dot(report: &PlanReport) -> String {
    let mut text =
        format!("digraph {} {{\n  rankdir=TB;\n  node [shape=box, style=rounded];\n", quote(report.workflow.as_str()));
    for task in &report.tasks {
        let label = quote(&format!("{}\n{}", task.id, task.capability)).replace('␊', "\\n");
        let bold = if task.on_critical_path { ", penwidth=3" } else { "" };
        _ = writeln!(text, "  {} [label={label}{bold}];", quote(task.id.as_str()));
    }
    for (number, stage) in report.stages.iter().enumerate() {
        let steps: Vec<String> = stage.steps.iter().map(|step| quote(step.as_str())).collect();
        _ = writeln!(text, "  subgraph cluster_{number} {{ label={}; {}; }}", quote(&stage.stage), steps.join("; "));
    }
    for task in &report.tasks {
        for from in &task.dependencies {
            _ = writeln!(text, "  {} -> {};", quote(from.as_str()), quote(task.id.as_str()));
        }
    }
    text.push_str("}\n");
    text
}

/// A quoted string. A backslash begins an escape sequence in labels, so it is doubled.
fn quote(text: &str) -> String {
    format!("\"{}\"", printable(text).replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DATA_SCIENCE, report};

    #[test]
    fn nodes_clusters_and_edges_are_drawn() {
        let drawn = dot(&report(DATA_SCIENCE));
        assert!(drawn.starts_with("digraph \"demo\" {\n"), "{drawn}");
        assert!(drawn.contains("  \"generate-a\" [label=\"generate-a\\ndata.generate\", penwidth=3];\n"), "{drawn}");
        assert!(drawn.contains("subgraph cluster_1 { label=\"Analysis\"; \"analyze\"; }\n"), "{drawn}");
        assert!(drawn.contains("  \"train-beta\" -> \"ensemble\";\n") && drawn.ends_with("}\n"));
        assert_eq!(drawn.matches(" -> ").count(), 8);
    }

    #[test]
    fn labels_cannot_break_out() {
        assert_eq!(quote(r#"a"];\N"#), r#""a\"];\\N""#);
        assert_eq!(quote("x\u{1b}\u{202e}"), "\"x␛\\\\u{202e}\"");
    }
}
