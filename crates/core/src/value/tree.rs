//! A run's data as slices of the values that were put into it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{DataPath, Json};

/// The member of an object; of duplicate keys the last one counts. `None` if the value is no object or has no such
/// member.
#[must_use]
pub fn member(value: &Json, name: &str) -> Option<Json> {
    struct Find<'a>(&'a str);
    impl<'de> serde::de::Visitor<'de> for Find<'_> {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<Key<'de>>()? {
                let value = map.next_value::<&'de RawValue>()?;
                if key.0 == self.0 {
                    found = Some(value);
                }
            }
            Ok(found)
        }
    }
    if !value.is_object() {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_slice(value.bytes());
    let found = serde::Deserializer::deserialize_map(&mut reader, Find(name)).ok()??;
    Some(Json::from_checked(value.bytes().slice_ref(found.get().as_bytes())))
}

/// The members of an object in the order of their names; `None` if the value is no object.
#[must_use]
pub fn members(value: &Json) -> Option<BTreeMap<String, Json>> {
    if !value.is_object() {
        return None;
    }
    let raw: BTreeMap<Key<'_>, &RawValue> = serde_json::from_slice(value.bytes()).ok()?;
    let slice = |raw: &RawValue| Json::from_checked(value.bytes().slice_ref(raw.get().as_bytes()));
    Some(raw.into_iter().map(|(key, raw)| (key.0.into_owned(), slice(raw))).collect())
}

/// The items of a list, each as it was written; `None` for what is no list.
#[must_use]
pub fn items(value: &Json) -> Option<Vec<Json>> {
    if !value.as_str().trim_start().starts_with('[') {
        return None;
    }
    let raw: Vec<&RawValue> = serde_json::from_slice(value.bytes()).ok()?;
    Some(raw.into_iter().map(|raw| Json::from_checked(value.bytes().slice_ref(raw.get().as_bytes()))).collect())
}

/// A member name, borrowed where the text has no escapes.
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Values laid over one another by path. Nothing is parsed deeper than a path needs; what is read comes out as it was
/// written.
#[derive(Debug, Clone)]
pub struct DataTree(Node);

#[derive(Debug, Clone)]
enum Node {
    Value(Json),
    Object(BTreeMap<String, Node>),
}

impl DataTree {
    /// A tree that holds one value.
    #[must_use]
    pub const fn new(value: Json) -> Self {
        Self(Node::Value(value))
    }

    /// Puts a value at a path. What stood there is replaced; what stands on the way and is no object becomes one.
    pub fn set(&mut self, path: &DataPath, value: Json) {
        let mut node = &mut self.0;
        for segment in path.segments() {
            node = node.open().entry(segment.to_owned()).or_insert_with(|| Node::Value(Json::null()));
        }
        *node = Node::Value(value);
    }

    /// Puts a value at the top level under a name, dots and all.
    pub fn set_member(&mut self, name: &str, value: Json) {
        self.0.open().insert(name.to_owned(), Node::Value(value));
    }

    /// The value at a path.
    #[must_use]
    pub fn get(&self, path: &DataPath) -> Option<Json> {
        let mut segments = path.segments();
        let mut node = &self.0;
        loop {
            match node {
                Node::Object(children) => match segments.next() {
                    Some(segment) => node = children.get(segment)?,
                    None => return Some(node.to_json()),
                },
                Node::Value(value) => {
                    return segments.try_fold(value.clone(), |value, segment| member(&value, segment));
                }
            }
        }
    }

    /// The whole as one value.
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.0.to_json()
    }
}

impl Node {
    /// Makes an object of this node if it is none, and gives its members.
    fn open(&mut self) -> &mut BTreeMap<String, Node> {
        if let Node::Value(value) = self {
            let children = members(value).unwrap_or_default();
            *self = Node::Object(children.into_iter().map(|(name, value)| (name, Node::Value(value))).collect());
        }
        match self {
            Node::Object(children) => children,
            Node::Value(_) => unreachable!("made an object above"),
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Node::Value(value) => value.clone(),
            Node::Object(_) => {
                let mut text = Vec::new();
                self.write(&mut text);
                Json::from_checked(Bytes::from(text))
            }
        }
    }

    /// Recursion is bounded: a node is only opened along a path, and a path has fewer parts than values may be deep.
    fn write(&self, text: &mut Vec<u8>) {
        match self {
            Node::Value(value) => text.extend_from_slice(value.bytes()),
            Node::Object(children) => {
                text.push(b'{');
                for (i, (name, child)) in children.iter().enumerate() {
                    if i > 0 {
                        text.push(b',');
                    }
                    serde_json::to_writer(&mut *text, name).expect("text serializes into memory");
                    text.push(b':');
                    child.write(text);
                }
                text.push(b'}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }
    fn path(text: &str) -> DataPath {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_put_in_comes_out_byte_for_byte() {
        let mut tree = DataTree::new(json(r#"{"a":{"x":1e400,"y":[1, 2]},"b":2}"#));
        tree.set(&path("a.z"), json("{ \"n\": 1.0 }"));
        assert_eq!(tree.get(&path("a.x")).unwrap().as_str(), "1e400");
        assert_eq!(tree.get(&path("a.z")).unwrap().as_str(), "{ \"n\": 1.0 }");
        assert_eq!(tree.get(&path("a.z.n")).unwrap().as_str(), "1.0");
        assert_eq!(tree.get(&path("a")).unwrap().as_str(), r#"{"x":1e400,"y":[1, 2],"z":{ "n": 1.0 }}"#);
        assert_eq!(tree.get(&path("b.c")), None);
        assert_eq!(tree.get(&path("q")), None);
    }

    #[test]
    fn a_value_in_the_way_becomes_an_object() {
        let mut tree = DataTree::new(json("5"));
        tree.set(&path("a.b"), json("1"));
        tree.set(&path("a.b.c"), json("2"));
        assert_eq!(tree.to_json().as_str(), r#"{"a":{"b":{"c":2}}}"#);
        tree.set(&path("a"), json("3"));
        assert_eq!(tree.to_json().as_str(), r#"{"a":3}"#);
    }

    #[test]
    fn of_duplicate_keys_the_last_counts_and_escapes_are_read() {
        assert_eq!(member(&json(r#"{"a":1,"a":2}"#), "a").unwrap().as_str(), "2");
        assert_eq!(member(&json(r#"{"\u0061":1}"#), "a").unwrap().as_str(), "1");
        assert_eq!(member(&json("[1]"), "a"), None);
    }
}
