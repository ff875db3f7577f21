//! A run's data changed at a path, as if what was done so far had led to it.

use super::data::{extract, run_data};
use super::{Plan, StepIndex};
use crate::value::{DataPath, DataTree, Json, members};
use crate::workflow::OutputField;

/// What a run's data is made of: the data at the start, and the outputs of steps by their indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSources {
    /// The data at the start.
    pub start: Json,
    /// The output of each step, for steps that are complete.
    pub outputs: Vec<Option<Json>>,
}

/// The data cannot be changed so: what a step put there says something else of other places too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{path}\" cannot be changed to that alone: {why}")]
pub struct Unchangeable {
    /// The path.
    pub path: DataPath,
    /// What stands in the way.
    pub why: String,
}

impl DataSources {
    /// The data that they come to.
    #[must_use]
    pub fn data(&self, plan: &Plan) -> Json {
        run_data(plan, &self.start, |step| self.outputs[step as usize].clone())
    }

    /// The same sources with a value at a path of the data: in the output of the step that wrote the path last, or in the
    /// data at the start if no step did. So whoever reads the path reads the value, and the data are those of before in
    /// every other place.
    ///
    /// # Errors
    /// [`Unchangeable`] if the change would be seen in other places too.
    pub fn changed(&self, plan: &Plan, path: &DataPath, value: &Json) -> Result<Self, Unchangeable> {
        let refuse = |why: &str| Err(Unchangeable { path: path.clone(), why: why.to_owned() });
        let mut changed = self.clone();
        let writes = self.writes(plan);
        let last = writes.iter().rposition(|(_, _, to)| path.is_within(to));
        match last.map(|last| &writes[last]) {
            None => changed.start = with(&self.start, Some(path), value),
            Some((step, field, to)) => changed.put(*step, field, below(path, to).as_ref(), value),
        }
        // What was written into it later stands over it.
        for (step, field, to) in &writes[last.map_or(0, |last| last + 1)..] {
            let Some(part) = below(to, path) else { continue };
            match DataTree::new(value.clone()).get(&part) {
                Some(part) => changed.put(*step, field, None, &part),
                None => changed.remove(*step, field),
            }
        }
        let mut expected = DataTree::new(self.data(plan));
        expected.set(path, value.clone());
        if is_same(&changed.data(plan), &expected.to_json()) {
            Ok(changed)
        } else {
            refuse("a step wrote it together with something else; change what lies beside it as well, or a part of it")
        }
    }

    /// Every mapping that wrote something, in the order in which they are laid over one another.
    fn writes<'p>(&self, plan: &'p Plan) -> Vec<(StepIndex, &'p OutputField, &'p DataPath)> {
        let mut writes = Vec::new();
        for &step in plan.topology().order() {
            let Some(output) = &self.outputs[step as usize] else { continue };
            let written = plan.step(step).output.iter().filter(|(field, _)| extract(output, field).is_some());
            writes.extend(written.map(|(field, mapping)| (step, field, &mapping.to)));
        }
        writes
    }

    /// Puts a value into what a mapping takes from an output, at a path of it or in its place.
    fn put(&mut self, step: StepIndex, field: &OutputField, at: Option<&DataPath>, value: &Json) {
        let Some(output) = &mut self.outputs[step as usize] else { return };
        let part = extract(output, field).unwrap_or_else(Json::null);
        let part = with(&part, at, value);
        *output = match field {
            OutputField::Member(name) if output.is_object() || part.is_object() => {
                let base = if output.is_object() { output.clone() } else { Json::empty_object() };
                let mut tree = DataTree::new(base);
                tree.set_member(name, part);
                tree.to_json()
            }
            OutputField::Member(_) | OutputField::Whole => part,
        };
    }

    /// Leaves out of an output what a mapping takes from it.
    fn remove(&mut self, step: StepIndex, field: &OutputField) {
        let OutputField::Member(name) = field else { return };
        let Some(mut left) = self.outputs[step as usize].as_ref().and_then(members) else { return };
        left.remove(name);
        let mut tree = DataTree::new(Json::empty_object());
        left.into_iter().for_each(|(name, value)| tree.set_member(&name, value));
        self.outputs[step as usize] = Some(tree.to_json());
    }
}

/// A value with another one at a path of it, or in its place.
fn with(base: &Json, at: Option<&DataPath>, value: &Json) -> Json {
    let Some(at) = at else { return value.clone() };
    let mut tree = DataTree::new(base.clone());
    tree.set(at, value.clone());
    tree.to_json()
}

/// How a path goes on below another one; `None` if it is that one, or does not lead into it.
fn below(path: &DataPath, other: &DataPath) -> Option<DataPath> {
    path.as_str().strip_prefix(other.as_str())?.strip_prefix('.')?.parse().ok()
}

/// True for values that hold the same, whatever the order of members and the spaces between them.
fn is_same(one: &Json, other: &Json) -> bool {
    match (members(one), members(other)) {
        (Some(one), Some(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(&other)
                    .all(|((name, value), (other_name, other_value))| name == other_name && is_same(value, other_value))
        }
        (None, None) => one.as_str() == other.as_str(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workflow::parse;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    fn sources(steps: &str, outputs: &[Option<&str>]) -> (std::sync::Arc<Plan>, DataSources) {
        let file = format!("id: w\ndata: {{u: {{n: 1, m: 2}}, k: 0}}\nsteps:\n{steps}");
        let plan = Plan::new(parse(&file).unwrap().workflow).unwrap();
        let start = plan.workflow().data.clone();
        (plan, DataSources { start, outputs: outputs.iter().map(|output| output.map(json)).collect() })
    }

    const STEPS: &str = concat!(
        "- {id: a, capability: c, output: {x: u.n, y: {to: deep.down.here, optional: true}}}\n",
        "- {id: b, capability: c, output: {'*': whole}, depends_on: [a]}\n",
        "- {id: d, capability: c, output: {q: whole.q}, depends_on: [b]}\n",
        "- {id: e, capability: c, output: {z: z}, depends_on: [d]}\n",
    );
    const OUTPUTS: [Option<&str>; 4] =
        [Some(r#"{"x":7,"other":[1]}"#), Some(r#"{"q":1,"r":2}"#), Some(r#"{"q":{"t":3}}"#), None];

    fn changed(path: &str, value: &str) -> Result<(DataSources, Json), Unchangeable> {
        let (plan, sources) = sources(STEPS, &OUTPUTS);
        let changed = sources.changed(&plan, &path.parse().unwrap(), &json(value))?;
        let data = changed.data(&plan);
        Ok((changed, data))
    }

    #[test]
    fn a_change_is_made_where_the_value_came_from() {
        let (of_step, data) = changed("u.n", "9").unwrap();
        assert_eq!(of_step.outputs[0], Some(json(r#"{"other":[1],"x":9}"#)));
        assert_eq!(data.as_str(), r#"{"k":0,"u":{"m":2,"n":9},"whole":{"q":{"t":3},"r":2}}"#);
        let (of_start, _) = changed("k", "5").unwrap();
        assert_eq!(
            (of_start.start.as_str(), &of_start.outputs[0]),
            (r#"{"k":5,"u":{"n":1,"m":2}}"#, &Some(json(OUTPUTS[0].unwrap())))
        );
        let (part, data) = changed("whole.q.t", "[ 4 ]").unwrap();
        assert_eq!(part.outputs[2], Some(json(r#"{"q":{"t":[ 4 ]}}"#)));
        assert!(data.as_str().contains(r#""q":{"t":[ 4 ]}"#));
        let (_, new) = changed("whole.s", "6").unwrap();
        assert!(new.as_str().contains(r#""s":6"#));
        let (_, untouched) = changed("z", "1").unwrap();
        assert!(untouched.as_str().contains(r#""z":1"#), "a step that is not complete did not write it yet");
    }

    #[test]
    fn a_value_over_what_several_wrote_is_shared_out() {
        let (shared, data) = changed("whole", r#"{"q":8,"r":9}"#).unwrap();
        assert_eq!(shared.outputs[1], Some(json(r#"{"q":8,"r":9}"#)));
        assert_eq!(shared.outputs[2], Some(json(r#"{"q":8}"#)));
        assert!(data.as_str().ends_with(r#""whole":{"q":8,"r":9}}"#));
        let (without, data) = changed("whole", r#"{"r":9}"#).unwrap();
        assert_eq!(without.outputs[2], Some(json("{}")));
        assert!(data.as_str().ends_with(r#""whole":{"r":9}}"#));
        let (_, data) = changed("u", r#"{"n":3}"#).unwrap();
        assert!(data.as_str().contains(r#""u":{"n":3}"#));
    }

    #[test]
    fn what_cannot_be_changed_alone_is_refused() {
        let (plan, twice) = sources("- {id: a, capability: c, output: {x: one, '*': all}}\n", &[Some(r#"{"x":1}"#)]);
        assert!(twice.changed(&plan, &"one".parse().unwrap(), &json("2")).is_err(), "it is seen in `all` as well");
        let (plan, bare) = sources("- {id: a, capability: c, output: {x: one}}\n", &[Some("\"text\"")]);
        let changed = bare.changed(&plan, &"one".parse().unwrap(), &json(r#"{"x":2}"#)).unwrap();
        assert_eq!(changed.outputs[0], Some(json(r#"{"x":{"x":2}}"#)), "what was taken whole is a member now");
    }

    proptest! {
        #[test]
        fn the_data_is_that_of_before_with_the_change(
            path in "(u|whole|deep|k)(\\.(n|q|r|t|down)){0,3}",
            value in "(1e400|\\[ 1 \\]|\\{\"q\":\\{\"t\":2\\}\\}|\\{\\}|\"x\"|\\{\"n\":5,\"down\":\\{\"here\":1\\}\\})",
            y in proptest::bool::ANY,
        ) {
            let mut outputs = OUTPUTS;
            if y {
                outputs[0] = Some(r#"{"x":7,"y":"z"}"#);
            }
            let (plan, sources) = sources(STEPS, &outputs);
            let (path, value): (DataPath, Json) = (path.parse().unwrap(), json(&value));
            let mut expected = DataTree::new(sources.data(&plan));
            expected.set(&path, value.clone());
            let changed = sources.changed(&plan, &path, &value).unwrap();
            prop_assert!(is_same(&changed.data(&plan), &expected.to_json()));
        }
    }
}
