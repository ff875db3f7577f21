//! The levels of a plan as lines of text.

use tutti_core::report::{columns, fit, human_seconds, pad};

use crate::report::{LevelPlan, PlanReport, TaskPlan};

/// Most steps of a level that are shown one by one.
const STEPS: usize = 12;

/// Most levels shown: the first ones, and the last few.
const LEVELS: usize = 40;

/// Of those, the last ones.
const LAST_LEVELS: usize = 5;

/// The steps by level with their stage, estimate and dependencies, in lines of at most `width` columns (at least 40). `*`
/// marks the critical path. Of many steps some are counted only.
#[must_use]
pub fn text(report: &PlanReport, width: usize) -> String {
    let mut picture = Picture::new(report, width.max(40));
    let count = report.levels.len();
    let left_out = count.saturating_sub(LEVELS);
    let (head, tail) = if left_out > 0 { (LEVELS - LAST_LEVELS, count - LAST_LEVELS) } else { (count, count) };
    report.levels[..head].iter().for_each(|level| picture.level(level));
    if left_out > 0 {
        let steps: usize = report.levels[head..tail].iter().map(|level| level.steps.len()).sum();
        picture.line(&format!("… {left_out} more levels with {steps} steps"));
    }
    report.levels[tail..].iter().for_each(|level| picture.level(level));
    picture.text
}

struct Picture<'r> {
    tasks: std::collections::HashMap<&'r str, &'r TaskPlan>,
    id_width: usize,
    width: usize,
    text: String,
}

impl<'r> Picture<'r> {
    fn new(report: &'r PlanReport, width: usize) -> Self {
        let widest = report.tasks.iter().map(|task| columns(task.id.as_str())).max().unwrap_or(0);
        let tasks = report.tasks.iter().map(|task| (task.id.as_str(), task)).collect();
        Self { tasks, id_width: widest.min(width / 3), width, text: String::new() }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(fit(line, self.width).trim_end());
        self.text.push('\n');
    }

    fn level(&mut self, level: &LevelPlan) {
        let steps = level.steps.len();
        let plural = if steps == 1 { "" } else { "s" };
        // One stage is told once; of several each step tells its own.
        let common = match &level.stages[..] {
            [stage] => format!("  [{stage}]"),
            _ => String::new(),
        };
        self.line(&format!("Level {}  {steps} step{plural}{common}", level.level));
        let shown = if steps > STEPS { STEPS - 1 } else { steps };
        for (at, id) in level.steps[..shown].iter().enumerate() {
            let Some(task) = self.tasks.get(id.as_str()).copied() else { continue };
            let branch = if at + 1 == steps { "└─" } else { "├─" };
            self.step(branch, task, level.stages.len() > 1);
        }
        if shown < steps {
            self.line(&format!("└─  … {} more", steps - shown));
        }
    }

    fn step(&mut self, branch: &str, task: &TaskPlan, with_stage: bool) {
        let mark = if task.on_critical_path { '*' } else { ' ' };
        let assumed = if task.estimate_assumed { "~" } else { "" };
        let time = format!("{assumed}{}", human_seconds(task.estimated_duration));
        let stage = match &task.stage {
            Some(stage) if with_stage => format!("  [{}]", fit(stage, self.width / 4)),
            _ => String::new(),
        };
        let alone = if task.parallel_safe { "" } else { "  (alone)" };
        let needs: Vec<&str> = task.dependencies.iter().take(10).map(tutti_core::ids::StepId::as_str).collect();
        let needs = if needs.is_empty() { String::new() } else { format!("  ← {}", needs.join(", ")) };
        let id = pad(task.id.as_str(), self.id_width);
        self.line(&format!("{branch} {mark} {id} {time:>10}{stage}{alone}{needs}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DATA_SCIENCE, STANDARD, report};

    #[test]
    fn levels_stages_estimates_and_dependencies_are_shown() {
        let picture = text(&report(DATA_SCIENCE), 80);
        let expected = "\
Level 0  3 steps  [Data generation]
├─ * generate-a     ~1.00 s
├─   generate-b     ~1.00 s
└─   generate-c     ~1.00 s
Level 1  1 step  [Analysis]
└─ * analyze        ~1.00 s  ← generate-a, generate-b, generate-c
Level 2  2 steps  [Model training]
├─ * train-alpha    ~1.00 s  ← analyze
└─   train-beta     ~1.00 s  ← analyze
Level 3  1 step  [Integration]
└─ * ensemble       ~1.00 s  ← train-alpha, train-beta
Level 4  1 step  [Integration]
└─ * report         ~1.00 s  ← ensemble
";
        assert_eq!(picture, expected);
    }

    #[test]
    fn many_steps_and_levels_are_counted() {
        let mut steps: String = (0..300).map(|i| format!("- {{id: wide-{i}, capability: c}}\n")).collect();
        for i in 0..500 {
            let on = if i > 0 { format!("deep-{}", i - 1) } else { "wide-0".into() };
            steps += &format!("- {{id: deep-{i}, capability: c, depends_on: [{on}]}}\n");
        }
        let picture = text(&report(&steps), 80);
        assert!(picture.contains("└─  … 289 more\n"), "{picture}");
        assert!(picture.contains("… 461 more levels with 461 steps\n"), "{picture}");
        assert!(picture.contains("deep-499") && picture.lines().count() < 100);
    }

    #[test]
    fn lines_keep_to_the_width() {
        let long = "x".repeat(200);
        let steps = STANDARD.replace("flight", &long).replace("capability: c", "capability: c, stage: 日本語の段階");
        for width in [40, 80, 120] {
            let picture = text(&report(&steps), width);
            assert!(picture.lines().all(|line| columns(line) <= width), "{picture}");
        }
    }
}
