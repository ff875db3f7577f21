//! The plan as a Mermaid flowchart.

use std::collections::HashMap;
use std::fmt::Write as _;

use tutti_core::report::printable;

use crate::report::PlanReport;

/// Most edges that Mermaid draws without being configured (`maxEdges`).
const MERMAID_EDGES: usize = 500;

/// The plan as a Mermaid flowchart: stages as subgraphs, the critical path in bold. Whole, however large; a remark tells
/// when it has more edges than Mermaid draws by default.
#[must_use]
pub fn mermaid(report: &PlanReport) -> String {
    let mut text = String::from("flowchart TD\n");
    let edges: usize = report.tasks.iter().map(|task| task.dependencies.len()).sum();
    if edges > MERMAID_EDGES {
        _ = writeln!(
            text,
            "  %% {edges} edges: to draw more than {MERMAID_EDGES}, raise maxEdges in Mermaid's configuration"
        );
    }
    let nodes: HashMap<&str, usize> = report.tasks.iter().zip(0..).map(|(task, at)| (task.id.as_str(), at)).collect();
    let node = |text: &mut String, indent: &str, at: usize| {
        let task = &report.tasks[at];
        _ = writeln!(text, "{indent}n{at}[\"{}<br/>{}\"]", escape(task.id.as_str()), escape(&task.capability));
    };
    for (at, _) in report.tasks.iter().enumerate().filter(|(_, task)| task.stage.is_none()) {
        node(&mut text, "  ", at);
    }
    for (number, stage) in report.stages.iter().enumerate() {
        _ = writeln!(text, "  subgraph s{number}[\"{}\"]", escape(&stage.stage));
        for step in &stage.steps {
            node(&mut text, "    ", nodes[step.as_str()]);
        }
        text.push_str("  end\n");
    }
    for (to, task) in report.tasks.iter().enumerate() {
        for from in &task.dependencies {
            _ = writeln!(text, "  n{} --> n{to}", nodes[from.as_str()]);
        }
    }
    let critical: Vec<String> = report.critical_path.iter().map(|step| format!("n{}", nodes[step.as_str()])).collect();
    if !critical.is_empty() {
        text.push_str("  classDef critical stroke-width:3px,font-weight:bold\n");
        _ = writeln!(text, "  class {} critical", critical.join(","));
    }
    text
}

/// Text for a quoted label: all but letters, digits and plain punctuation as entities, which Mermaid writes `#code;`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '.' | ',' | '-' | '_' | '/' | '(' | ')') {
            escaped.push(c);
        } else {
            _ = write!(escaped, "#{};", u32::from(c));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DATA_SCIENCE, report};

    #[test]
    fn nodes_stages_edges_and_the_critical_path_are_drawn() {
        let drawn = mermaid(&report(DATA_SCIENCE));
        assert!(drawn.starts_with(
            "flowchart TD\n  subgraph s0[\"Data generation\"]\n    n0[\"generate-a<br/>data.generate\"]\n"
        ));
        assert_eq!(drawn.matches("subgraph").count(), 4);
        assert_eq!(drawn.matches("  end\n").count(), 4);
        assert!(drawn.contains("  n2 --> n3\n") && drawn.contains("  class n0,n3,n4,n6,n7 critical\n"), "{drawn}");
    }

    #[test]
    fn labels_cannot_break_out() {
        assert_eq!(escape("a\"]; click <b>#"), "a#34;#93;#59; click #60;b#62;#35;");
        assert_eq!(escape("é\u{202e}"), "é#92;u#123;202e#125;");
    }

    #[test]
    fn too_many_edges_are_remarked() {
        let first = "- {id: first, capability: c}\n".to_owned();
        let steps: String = (0..501).map(|i| format!("- {{id: s{i}, capability: c, depends_on: [first]}}\n")).collect();
        assert!(mermaid(&report(&(first + &steps))).contains("%% 501 edges"));
    }
}
