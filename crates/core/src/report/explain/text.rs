//! An explanation for people.

use super::Explanation;
use super::finding::{Aspect, Finding};
use crate::report::{printable, wrap};

/// An explanation in lines of at most `width` columns; what is untrusted in it is made safe to show. `hint` gives the command
/// for a finding that says what somebody can do, with the step it is of.
#[must_use]
pub fn render_explanation(
    explanation: &Explanation,
    width: usize,
    hint: impl Fn(&Finding, Option<&str>) -> Option<String>,
) -> String {
    let mut text = format!("run {} is {}\n", explanation.run_id, explanation.state);
    let lines = |findings: &[Finding], step: Option<&str>, text: &mut String| {
        for finding in findings {
            let head = head(finding.aspect);
            let shown = printable(&finding.text);
            for (number, line) in wrap(&shown, width.saturating_sub(11).max(20)).iter().enumerate() {
                let head = if number == 0 { head } else { "" };
                text.push_str(format!("  {head:<8} {line}").trim_end());
                text.push('\n');
            }
            if let Some(command) = hint(finding, step) {
                text.push_str(&format!("           {command}\n"));
            }
        }
    };
    lines(&explanation.findings, None, &mut text);
    for step in &explanation.steps {
        text.push_str(&format!("\nstep {} is {}\n", step.step, step.state));
        lines(&step.findings, Some(step.step.as_str()), &mut text);
    }
    if explanation.left_out > 0 {
        text.push_str(&format!("\n{} more steps matter; name one to have it explained\n", explanation.left_out));
    }
    text
}

const fn head(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Waits => "now",
        Aspect::Failed => "so far",
        Aspect::Chosen => "agent",
        Aspect::Next => "next",
        Aspect::Can => "you can",
    }
}
