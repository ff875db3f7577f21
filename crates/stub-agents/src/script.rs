//! Which rule answers a call: the first that is for it and was not used up.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::file::{Rule, Script};
use crate::template::at;

/// How many operations are remembered, and how many tasks that wait for a reply. Of more, the oldest are forgotten.
const REMEMBERED: usize = 10_000;

/// A call as the rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The same for every attempt of a step.
    pub(crate) operation: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) action: Option<&'a str>,
    pub(crate) input: &'a Value,
}

/// What was chosen for a call.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// The place of the rule in the script; `None` if no rule is for the call.
    pub(crate) rule: Option<usize>,
    /// The number of the call in its operation, from 1.
    pub(crate) call: u32,
    /// The input of the call.
    pub(crate) input: Arc<Value>,
}

/// A script with what it has done so far.
#[derive(Debug)]
pub(crate) struct Play {
    script: Script,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How often each rule was used, in all.
    used: Vec<u32>,
    operations: Recent<String, Operation>,
    /// By the message that began a task.
    chosen: Recent<String, Chosen>,
}

#[derive(Debug, Clone, Default)]
struct Operation {
    calls: u32,
    /// How often each rule was used.
    used: Vec<u32>,
}

impl Play {
    pub(crate) fn new(script: Script) -> Self {
        let used = vec![0; script.rules.len()];
        Self { script, state: Mutex::new(State { used, operations: Recent::new(), chosen: Recent::new() }) }
    }

    pub(crate) fn rule(&self, chosen: &Chosen) -> Option<&Rule> {
        self.script.rules.get(chosen.rule?)
    }

    /// Chooses a rule for a call, counts it, and remembers the choice for [`take`](Self::take).
    pub(crate) fn choose(&self, call: Call<'_>) -> Chosen {
        let mut state = self.lock();
        let State { used, operations, chosen } = &mut *state;
        let operation = operations.entry(call.operation.to_owned());
        operation.used.resize(used.len(), 0);
        operation.calls += 1;
        let fits = |(index, rule): &(usize, &Rule)| {
            rule.times.is_none_or(|times| operation.used[*index] < times)
                && rule.times_in_all.is_none_or(|times| used[*index] < times)
                && rule.matches(call)
        };
        let rule = self.script.rules.iter().enumerate().find(fits).map(|(index, _)| index);
        if let Some(index) = rule {
            operation.used[index] += 1;
            used[index] += 1;
        }
        let choice = Chosen { rule, call: operation.calls, input: Arc::new(call.input.clone()) };
        chosen.insert(call.message_id.to_owned(), choice.clone());
        choice
    }

    /// What was chosen for the task that this message began; forgotten with this, unless there is a reply to come.
    pub(crate) fn take(&self, first_message: &str) -> Option<Chosen> {
        let mut state = self.lock();
        let chosen = state.chosen.get(first_message)?.clone();
        if self.rule(&chosen).is_none_or(|rule| rule.question().is_none()) {
            state.chosen.remove(first_message);
        }
        Some(chosen)
    }

    /// Forgets a choice that nothing follows.
    pub(crate) fn forget(&self, message: &str) {
        self.lock().chosen.remove(message);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn matches(&self, call: Call<'_>) -> bool {
        let there = |(path, wanted): (&tutti_core::value::DataPath, &Value)| {
            at(call.input, path.as_str().split('.')).is_some_and(|found| same(found, wanted))
        };
        self.action.as_deref().is_none_or(|action| call.action == Some(action)) && self.when.iter().all(there)
    }
}

/// Equal values; numbers by what they are worth, because on the wire they are all alike.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// A map that forgets what came first when it is full.
#[derive(Debug)]
struct Recent<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    fn new() -> Self {
        Self { map: HashMap::new(), order: VecDeque::new() }
    }

    fn get(&self, key: &str) -> Option<&V>
    where
        K: std::borrow::Borrow<str>,
    {
        self.map.get(key)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.map.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.map.remove(&oldest);
            }
        }
    }

    fn entry(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        if !self.map.contains_key(&key) {
            self.insert(key.clone(), V::default());
        }
        self.map.entry(key).or_default()
    }

    fn remove(&mut self, key: &str)
    where
        K: std::borrow::Borrow<str>,
    {
        if self.map.remove(key).is_some() {
            // What is forgotten is nearly always among the last.
            if let Some(place) = self.order.iter().rposition(|known| known.borrow() == key) {
                self.order.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::StubFile;

    fn play(rules: &str) -> Play {
        let text = format!("agents: [{{name: a, skills: {{x: {rules}}}}}]");
        let file = StubFile::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
        Play::new(file.agents[0].skills.values().next().unwrap().clone())
    }

    fn choose(play: &Play, operation: &str, action: Option<&str>, input: &Value) -> Option<usize> {
        play.choose(Call { operation, message_id: "m", action, input }).rule
    }

    #[test]
    fn a_rule_is_used_up_by_each_operation_for_itself() {
        let play = play("[{fail: failed, times: 2}, {answer: 1}]");
        let of = |operation: &str| choose(&play, operation, None, &json!({})).unwrap();
        assert_eq!([of("r/0/a"), of("r/0/a"), of("r/0/b"), of("r/0/a"), of("r/0/b"), of("r/0/b")], [0, 0, 0, 1, 0, 1]);
    }

    #[test]
    fn a_rule_may_be_used_up_by_all_together() {
        let play = play("[{fail: failed, times_in_all: 2}, {answer: 1}]");
        let of = |operation: &str| choose(&play, operation, None, &json!({})).unwrap();
        assert_eq!([of("a"), of("b"), of("c"), of("a")], [0, 0, 1, 1]);
    }

    #[test]
    fn input_and_action_decide() {
        let play = play("[{when: {a.b: 3, list.0: x}, answer: 1}, {action: undo, answer: 2}]");
        assert_eq!(choose(&play, "o", None, &json!({"a": {"b": 3.0}, "list": ["x"]})), Some(0));
        assert_eq!(choose(&play, "o", Some("undo"), &json!({"a": {"b": 3}})), Some(1));
        assert_eq!(choose(&play, "o", Some("do"), &json!({"a": {"b": 4}, "list": ["x"]})), None);
        let call = play.choose(Call { operation: "o", message_id: "m", action: None, input: &json!({}) });
        assert_eq!((call.rule, call.call), (None, 4));
    }

    #[test]
    fn a_choice_is_kept_for_a_reply_alone() {
        let asks = play("{input_required: which}");
        choose(&asks, "o", None, &json!({}));
        assert!(asks.take("m").is_some() && asks.take("m").is_some());
        let answers = play("{answer: 1}");
        choose(&answers, "o", None, &json!({}));
        assert!(answers.take("m").is_some() && answers.take("m").is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut recent = Recent::new();
        for n in 0..REMEMBERED + 5 {
            recent.insert(n.to_string(), n);
        }
        recent.remove("7");
        assert_eq!((recent.map.len(), recent.order.len()), (REMEMBERED - 1, REMEMBERED - 1));
        assert!(recent.get("4").is_none() && recent.get("5").is_some());
    }
}
