//! A run as a tree: level by level, steps of one level side by side. States are words and shapes; it can be searched by
//! `grep`.

use tutti_core::report::{
    AttemptView, RunView, StepView, columns, fit, human_seconds, pad, printable, run_shape, step_shape,
};
use tutti_core::run::{RunStatus, StepStatus};
use tutti_core::time::Timestamp;
use tutti_core::value::Payload;

/// How much is told of each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// A line.
    Line,
    /// Its attempts, its output and its artifacts too.
    Full,
}

/// Most steps shown one by one.
const STEPS: usize = 1_000;

/// Most columns of a name.
const NAME: usize = 32;

/// Most steps shown of those that one step holds.
const HELD: usize = 20;

/// The tree in lines of at most `width` columns.
pub fn render(view: &RunView, now: Timestamp, width: usize, detail: Detail) -> String {
    let own = view.steps().take(STEPS).map(|step| step.id().as_str().len());
    let undos = view.undos().take(STEPS).map(|undo| view.plan().path(undo.index).as_str().len());
    let names = own.chain(undos).max().unwrap_or(0).clamp(8, NAME);
    let mut tree = Tree { view, now, width, names, detail, text: String::new() };
    tree.head();
    let levels = view.plan().topology().levels();
    let mut left = STEPS;
    for (number, level) in levels.iter().enumerate() {
        let last = number + 1 == levels.len() || left <= level.len();
        let shown = &level[..level.len().min(left)];
        left -= shown.len();
        match shown {
            [] => {}
            [step] if level.len() == 1 => tree.step("", last, view.step(*step)),
            steps => tree.side_by_side(last, steps, level.len() - steps.len()),
        }
        if left == 0 && number + 1 < levels.len() {
            let more: usize = levels[number + 1..].iter().map(Vec::len).sum();
            tree.line("", &format!("… and {more} more steps"));
            break;
        }
    }
    tree.undone();
    tree.text
}

struct Tree<'v> {
    view: &'v RunView,
    now: Timestamp,
    width: usize,
    /// Columns for the names of steps.
    names: usize,
    detail: Detail,
    text: String,
}

impl Tree<'_> {
    fn head(&mut self) {
        let Some(created) = self.view.created() else { return };
        let status = self.view.status();
        let until = self.view.ended_at().unwrap_or(self.now);
        let took = self.view.created_at().map(|from| seconds(from, until)).unwrap_or_default();
        let version = if created.version.is_empty() { String::new() } else { format!(" v{}", created.version) };
        let steps = self.view.steps();
        let (all, done) = (steps.len(), steps.filter(|step| step.status == StepStatus::Completed).count());
        let revision = match self.view.plan().revision() {
            0 => String::new(),
            revision => format!("  plan revision {revision}"),
        };
        let head = format!(
            "{} {status}  {}  {}{version}  {took}  {done}/{all} done{revision}",
            run_shape(status),
            created.run,
            created.workflow,
        );
        self.line("", &head);
        if let Some(error) = self.view.error() {
            self.line("│ ", &error);
        }
    }

    fn side_by_side(&mut self, last: bool, steps: &[u32], more: usize) {
        self.line(if last { "└─┬ " } else { "├─┬ " }, "parallel");
        let indent = if last { "  " } else { "│ " };
        for (number, step) in steps.iter().enumerate() {
            self.step(indent, number + 1 == steps.len() && more == 0, self.view.step(*step));
        }
        if more > 0 {
            self.line(&format!("{indent}└─ "), &format!("… and {more} more steps"));
        }
    }

    /// What was undone and what was not, oldest first; and where the run can go back to.
    fn undone(&mut self) {
        let mut undos: Vec<StepView<'_>> = self.view.undos().collect();
        undos.sort_by_key(|undo| undo.started_at.unwrap_or(Timestamp::MAX));
        if !undos.is_empty() {
            self.line(
                "",
                if self.view.state().is_some_and(|state| state.undoing().is_some()) { "undoing" } else { "undone" },
            );
        }
        let shown = undos.len().min(STEPS);
        for (number, undo) in undos[..shown].iter().enumerate() {
            self.step("", number + 1 == shown, *undo);
        }
        if shown < undos.len() {
            self.line("", &format!("… and {} more steps", undos.len() - shown));
        }
        let kept: Vec<&str> = self.view.kept().map(tutti_core::ids::StepId::as_str).collect();
        if !kept.is_empty() {
            self.line("", &format!("nothing undoes {}", kept.join(", ")));
        }
        let status = self.view.status();
        if self.detail == Detail::Full && (!status.is_ended() || status == RunStatus::Failed) {
            let points: Vec<String> = self.view.ways_back().iter().map(|way| way.checkpoint.name.clone()).collect();
            if !points.is_empty() {
                self.line("", &format!("checkpoints, newest first: {}", points.join(", ")));
            }
        }
    }

    fn step(&mut self, indent: &str, last: bool, step: StepView<'_>) {
        let branch = if last { "└─" } else { "├─" };
        let (shape, status) = (step_shape(step.status), step.status.as_str());
        // Steps side by side stand two columns further in.
        let path = self.view.plan().path(step.index);
        let room = (self.names + 2).saturating_sub(columns(indent)).max(path.as_str().len().min(NAME));
        let name = pad(path.as_str(), room);
        let line = format!("{shape} {status:<10} {name}  {}", self.about(&step));
        self.line(&format!("{indent}{branch}"), line.trim_end());
        let inside = format!("{indent}{} ", if last { " " } else { "│" });
        if self.detail == Detail::Full {
            self.details(&format!("{inside}    "), &step);
        }
        self.held(&inside, &step);
    }

    /// The steps that a step holds.
    fn held(&mut self, inside: &str, holder: &StepView<'_>) {
        let Some(counts) = self.view.held_counts(holder.index) else { return };
        let view = self.view;
        let shown = view.held_first(holder.index, HELD);
        let more = counts.all as usize - shown.len();
        let all = shown.len();
        for (number, step) in shown.into_iter().enumerate() {
            self.step(inside, number + 1 == all && more == 0, step);
        }
        if more > 0 {
            self.line(&format!("{inside}└─ "), &format!("… and {} more steps", human_count(more)));
        }
    }

    /// Times, tries, agent and reason of a step, as far as there are any.
    fn about(&self, step: &StepView<'_>) -> String {
        let mut facts = Vec::new();
        let until = step.ended_at.or((!step.status.is_ended()).then_some(self.now));
        if let Some((from, until)) = step.started_at.zip(until) {
            facts.push(seconds(from, until));
        }
        if step.attempts.len() > 1 {
            facts.push(format!("tries {}", step.attempts.len()));
        }
        if let Some(agent) = step.agent() {
            facts.push(format!("agent {agent}"));
        }
        if let Some(at) = step.retry_at {
            facts.push(format!("again in {}", seconds(self.now, at)));
        }
        if step.status == StepStatus::Pending && self.view.plan().undone_by(step.index).is_none() {
            let needs = self.view.plan().dependencies(step.index).map(|on| self.view.step(on));
            let needs: Vec<&str> =
                needs.filter(|on| on.status != StepStatus::Completed).map(|on| on.id().as_str()).collect();
            if !needs.is_empty() {
                facts.push(format!("needs {}", needs.join(", ")));
            }
        }
        if let Some(counts) = self.view.held_counts(step.index) {
            let failed = if counts.failed > 0 { format!(", {} failed", counts.failed) } else { String::new() };
            facts.push(format!("{}/{} done{failed}", counts.completed, counts.all));
        }
        if let Some(error) = step.error {
            facts.push(error.to_string());
        }
        if let Some((_, question)) = step.question() {
            facts.push(format!("\"{question}\""));
        }
        let verdicts = self.view.state().map(|state| state.verdicts(step.index)).unwrap_or_default();
        if !verdicts.is_empty() {
            let words: Vec<&str> = verdicts.iter().map(|verdict| verdict.as_str()).collect();
            facts.push(format!("decide: {}", words.join(", ")));
        }
        facts.join("  ")
    }

    fn details(&mut self, below: &str, step: &StepView<'_>) {
        for attempt in step.attempts {
            self.line(below, &self.attempt(attempt));
        }
        if let Some(output) = step.output {
            let text = match output {
                Payload::Inline(value) => value.as_str().to_owned(),
                Payload::Stored(at) => format!("{} bytes, kept as payload {}", at.len, at.hash),
            };
            self.line(below, &format!("output  {text}"));
        }
        for artifact in step.artifacts {
            let kind = artifact.media_type.as_deref().unwrap_or("no media type");
            self.line(below, &format!("artifact  {}  {} bytes  {kind}", artifact.name, artifact.content.len));
        }
        if let Some(judged) = step.judged {
            let score = judged.assessment.score.map_or_else(|| "no score".to_owned(), |score| score.to_string());
            let words = format!("quality  {}  {score}  {}", judged.verdict.as_str(), judged.assessment.shortfall());
            self.line(below, words.trim_end());
        }
        if !step.missing_inputs.is_empty() {
            self.line(below, &format!("ran without  {}", step.missing_inputs.join(", ")));
        }
    }

    fn attempt(&self, attempt: &AttemptView) -> String {
        let agent = attempt.agent.as_ref().map_or("no agent", |agent| agent.as_str());
        let took = seconds(attempt.started_at, attempt.ended_at.unwrap_or(self.now));
        let start = tutti_core::report::rfc3339(attempt.started_at);
        let error = attempt.error.as_ref().map(|error| format!("  {error}")).unwrap_or_default();
        let word = attempt.outcome.as_str();
        format!("try {}  {start}  {took}  {agent}  {word}{error}", attempt.number)
    }

    /// A line whose beginning is ours and whose rest may hold anything.
    fn line(&mut self, ours: &str, rest: &str) {
        let rest = printable(rest);
        let line = format!("{ours}{rest}");
        self.text.push_str(fit(&line, self.width).trim_end());
        self.text.push('\n');
    }
}

/// A number with commas between its thousands.
fn human_count(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn seconds(from: Timestamp, to: Timestamp) -> String {
    human_seconds(to.since(from).as_secs_f64())
}
