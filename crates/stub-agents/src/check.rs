//! Reading a file and finding everything that is wrong with it.

use std::collections::BTreeMap;

use tutti_core::workflow::{Document, Problem};

use crate::file::{Failing, Rule, Script, StubArtifact, StubFile};
use crate::template::{references, references_in};

/// The name of the artifact that the answer travels in.
const RESULT: &str = "result";

impl StubFile {
    /// Reads a file, YAML or JSON.
    ///
    /// # Errors
    /// What is wrong with it, each problem with its place.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let document = Document::read(text)?;
        let file: Self = document.decode().map_err(|problem| vec![problem])?;
        let mut check = Check { document: &document, problems: Vec::new() };
        check.file(&file);
        if check.problems.is_empty() { Ok(file) } else { Err(check.problems) }
    }
}

struct Check<'d> {
    document: &'d Document,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.problems.push(self.document.problem(field, reason));
    }

    fn file(&mut self, file: &StubFile) {
        if file.agents.is_empty() {
            self.add("agents", "is empty");
        }
        let (mut names, mut ports) = (BTreeMap::new(), BTreeMap::new());
        for (index, agent) in file.agents.iter().enumerate() {
            let at = format!("agents[{index}]");
            if let Some(first) = names.insert(&agent.name, index) {
                self.add(format!("{at}.name"), format!("\"{}\" is the name of agents[{first}] already", agent.name));
            }
            if agent.port != 0
                && let Some(first) = ports.insert(agent.port, index)
            {
                self.add(format!("{at}.port"), format!("{} is the port of agents[{first}] already", agent.port));
            }
            if agent.skills.is_empty() {
                self.add(format!("{at}.skills"), "is empty");
            }
            for (capability, script) in &agent.skills {
                let at = format!("{at}.skills.{capability}");
                self.script(&at, script);
            }
        }
    }

    fn script(&mut self, at: &str, script: &Script) {
        if script.rules.is_empty() {
            self.add(at, "has no rule");
        }
        let mut catch_all = None;
        for (index, rule) in script.rules.iter().enumerate() {
            let at = if script.is_list { format!("{at}[{index}]") } else { at.to_owned() };
            if let Some(first) = catch_all {
                self.add(&at, format!("is for no call: the rule {first} before it is for every one"));
            }
            if rule.is_for_all() {
                catch_all.get_or_insert(index + 1);
            }
            self.rule(&at, rule);
        }
    }

    fn rule(&mut self, at: &str, rule: &Rule) {
        for (name, times) in [("times", rule.times), ("times_in_all", rule.times_in_all)] {
            if times == Some(0) {
                self.add(format!("{at}.{name}"), "must be at least 1");
            }
        }
        if rule.times.is_some() && rule.times_in_all.is_some() {
            self.add(format!("{at}.times_in_all"), "does not go with `times`");
        }
        if rule.input_required.is_some() && rule.auth_required.is_some() {
            self.add(format!("{at}.auth_required"), "does not go with `input_required`");
        }
        let ends = [rule.answer.is_some(), rule.fail.is_some(), rule.hang];
        match ends.into_iter().filter(|end| *end).count() {
            0 if rule.question().is_none() => self.add(at, "needs one of `answer`, `fail` and `hang: true`"),
            0 | 1 => {}
            _ => self.add(at, "has more than one of `answer`, `fail` and `hang`"),
        }
        if let Some(failing) = &rule.fail {
            self.failing(at, failing, rule);
        }
        self.report(at, rule);
        for (index, artifact) in rule.artifacts.iter().enumerate() {
            self.artifact(&format!("{at}.artifacts[{index}]"), artifact, rule);
        }
        if let Some(answer) = &rule.answer {
            self.found(format!("{at}.answer"), references(answer), rule.question().is_some());
        }
        for (name, question) in [("input_required", &rule.input_required), ("auth_required", &rule.auth_required)] {
            if let Some(question) = question {
                self.text(format!("{at}.{name}"), question, false);
            }
        }
    }

    fn report(&mut self, at: &str, rule: &Rule) {
        let refuses = rule.fail.as_ref().is_some_and(|failing| failing.kind.refuses());
        if !rule.quality.is_empty() && rule.answer.is_none() && rule.question().is_none() {
            self.add(format!("{at}.quality"), "is told beside an answer, and there is none");
        }
        for (metric, score) in &rule.quality {
            self.found(format!("{at}.quality.{metric}"), references(score), rule.question().is_some());
        }
        if rule.usage.is_some() && refuses {
            self.add(format!("{at}.usage"), "is told by a task, and a call that is refused has none");
        }
        if rule.usage.is_some_and(|usage| !(usage.cost >= 0.0 && usage.cost.is_finite())) {
            self.add(format!("{at}.usage.cost"), "must be 0 or more");
        }
    }

    fn failing(&mut self, at: &str, failing: &Failing, rule: &Rule) {
        if failing.kind.refuses()
            && (rule.question().is_some() || !rule.artifacts.is_empty() || !rule.progress.is_empty())
        {
            let reason = "refuses the call, so that there is no task for `progress`, `artifacts` or a question";
            self.add(format!("{at}.fail"), reason);
        }
        if failing.retry_after.is_some() && !failing.kind.may_pass() {
            self.add(format!("{at}.fail.retry_after"), "is for `unavailable` and `rate_limited`");
        }
        if let Some(message) = &failing.message {
            self.text(format!("{at}.fail.message"), message, rule.question().is_some());
        }
    }

    fn artifact(&mut self, at: &str, artifact: &StubArtifact, rule: &Rule) {
        if artifact.name == RESULT || artifact.name.is_empty() {
            self.add(
                format!("{at}.name"),
                format!("must be a name other than \"{RESULT}\", which is that of the answer"),
            );
        }
        if artifact.text.is_some() == artifact.json.is_some() {
            self.add(at, "needs either `text` or `json`");
        }
        if artifact.json.is_some() && artifact.media_type.is_some() {
            self.add(format!("{at}.media_type"), "is for `text`");
        }
        // They are handed over when there is an answer.
        let asks = rule.question().is_some();
        if let Some(text) = &artifact.text {
            self.text(format!("{at}.text"), text, asks);
        }
        if let Some(json) = &artifact.json {
            self.found(format!("{at}.json"), references(json), asks);
        }
    }

    fn text(&mut self, field: String, text: &str, has_reply: bool) {
        self.found(field, references_in(text), has_reply);
    }

    fn found(&mut self, field: String, references: Result<Vec<&str>, String>, has_reply: bool) {
        let is_reply = |path: &&str| path.split('.').next() == Some("reply");
        match references {
            Err(why) => self.add(field, why),
            Ok(paths) if !has_reply && paths.iter().any(is_reply) => {
                self.add(field, "refers to `reply`, but nothing was asked before");
            }
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(rule: &str) -> Vec<String> {
        let text = format!("agents:\n  - name: a\n    skills:\n      x.y: {rule}\n");
        match StubFile::parse(&text) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    fn only(rule: &str) -> String {
        let found = problems(rule);
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        found.into_iter().next().unwrap()
    }

    #[test]
    fn sound_rules_pass() {
        for rule in [
            "{answer: null}",
            "{answer: {n: '${input.n}'}, delay: 20ms, progress: [one, two]}",
            "[{fail: {kind: rate_limited, retry_after: 2s}, times: 2}, {when: {a.b: 3}, fail: rejected}, {hang: true}]",
            "{input_required: 'which ${input.n}?'}",
            "{auth_required: 'who?', answer: '${reply.name}', artifacts: [{name: r.txt, text: '${reply}'}]}",
            "[{fail: empty_answer, times_in_all: 1, action: undo}]",
        ] {
            assert_eq!(problems(rule), Vec::<String>::new(), "{rule}");
        }
    }

    #[test]
    fn each_fault_is_told_with_its_place() {
        // What the problem stands at; for the whole script its name.
        let at = |rule: &str, place: &str, words: &str| {
            let column = rule.rfind(place).map_or(7, |place| 12 + place);
            let told = only(rule);
            assert!(told.starts_with(&format!("4:{column}: error: agents[0].skills.x.y")), "{rule}: {told}");
            assert!(told.contains(words), "{rule}: {told}");
        };
        at("{answr: 1}", "answr", "x.y.answr: unknown field `answr`");
        at("[{answer: 1, times: many}]", "times", "x.y[0].times: invalid type");
        at("{fail: sometimes}", "fail", "x.y.fail: unknown variant `sometimes`");
        at("{fail: {kind: failed, retry_after: 1s}}", "retry_after", "`unavailable` and `rate_limited`");
        at("{}", "nothing", "needs one of");
        at("[]", "nothing", "has no rule");
        at("[{answer: 1, hang: true}]", "{answer", "more than one");
        at("[{answer: 1}, {answer: 2}]", "{answer: 2", "the rule 1 before it is for every one");
        at("[{answer: 1, times: 0}]", "times", "at least 1");
        at("{answer: 1, times: 1, times_in_all: 2}", "times_in_all", "does not go with");
        at("{answer: '${reply}'}", "answer", "nothing was asked");
        at("{answer: '${wrong}'}", "answer", "there are `input`");
        at("{input_required: a, fail: unavailable}", "fail", "there is no task");
        at("{answer: 1, artifacts: [{name: result, text: x}]}", "name", "a name other than");
        at("{answer: 1, artifacts: [{name: a}]}", "{name", "either `text` or `json`");
    }

    #[test]
    fn agents_are_distinct_and_have_skills() {
        let found = StubFile::parse(
            "agents:\n  - {name: a, port: 9, skills: {}}\n  - {name: a, port: 9, skills: {x: {answer: 1}}}\n",
        );
        let told: Vec<String> = found.unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("2:24: error: agents[0].skills: is empty"), "{}", told[0]);
        assert!(told[1].starts_with("3:6: error: agents[1].name: \"a\" is the name of agents[0]"), "{}", told[1]);
        assert!(told[2].contains("agents[1].port: 9 is the port of agents[0]"), "{}", told[2]);
        assert!(StubFile::parse("agents: []").unwrap_err()[0].to_string().contains("agents: is empty"));
        assert!(StubFile::parse("agents: [{name: a, port: 99999, skills: {x: {answer: 1}}}]").is_err());
    }
}
