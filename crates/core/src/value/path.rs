//! Paths in a run's data, such as `user.profile.name`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_DEPTH, MAX_PATH_LEN};

/// A place in a run's data: member names joined by dots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct DataPath(Arc<str>);

impl DataPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The member names, outermost first.
    pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.split('.')
    }

    /// True if this path is `other` or leads to something inside it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// True if a change at one of the paths can be seen at the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_within(other) || other.is_within(self)
    }
}

impl FromStr for DataPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
        if text.is_empty() {
            return Err("is an empty path".into());
        }
        if text.len() > MAX_PATH_LEN {
            return Err(format!("\"{shown}…\" is a path longer than {MAX_PATH_LEN} bytes"));
        }
        if text.split('.').any(str::is_empty) {
            return Err(format!("\"{shown}\" has an empty part between dots"));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("\"{shown}\" has a control character"));
        }
        if text.split('.').count() >= MAX_DEPTH {
            return Err(format!("\"{shown}\" has more than {MAX_DEPTH} parts"));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for DataPath {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl schemars::JsonSchema for DataPath {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DataPath".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A place in the run's data: member names joined by dots, such as user.profile.name.",
            "pattern": "^[^.]+(\\.[^.]+)*$",
            "maxLength": MAX_PATH_LEN
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> DataPath {
        text.parse().unwrap()
    }

    #[test]
    fn overlap_is_by_whole_members() {
        assert!(path("a.b").overlaps(&path("a")));
        assert!(path("a").overlaps(&path("a.b")));
        assert!(path("a").overlaps(&path("a")));
        assert!(!path("ab").overlaps(&path("a")));
        assert!(!path("a.b").overlaps(&path("a.c")));
    }

    #[test]
    fn bad_paths_are_refused() {
        for bad in ["", ".", "a..b", "a.", ".a", "a\0b", &"x".repeat(1001), &["a"; 200].join(".")] {
            assert!(bad.parse::<DataPath>().is_err(), "{bad:?}");
        }
    }
}
