//! Which runs are wanted: the filter of lists, counts and change streams, written as one line of text.
//!
//! Terms stand apart by spaces and must all hold; a leading `-` asks for the opposite. A value that holds a space stands
//! in double quotes.
//!
//! | term | takes |
//! |---|---|
//! | `state:failed,stuck` | runs in any of these states |
//! | `workflow:invoice,refund` | runs of any of these workflows |
//! | `version:1.2` | runs of this version of their workflow |
//! | `session:s-17` | runs of this session |
//! | `key:order/31` | the runs that were started with this idempotency key |
//! | `label.team=billing` | runs with this label |
//! | `since:24h`, `since:2026-01-31T00:00:00Z` | runs created at this moment or later |
//! | `until:1h`, `until:2026-02-01T00:00:00Z` | runs created before this moment |

use std::fmt;
use std::str::FromStr;

use super::query::RunSummary;
use crate::ids::{LabelName, RunKey, SessionId, WorkflowId};
use crate::limits::{MAX_FILTER_BYTES, MAX_FILTER_TERMS};
use crate::report::{parse_rfc3339, rfc3339};
use crate::run::RunStatus;
use crate::time::{Span, Timestamp};

/// Which runs are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// All of these must hold.
    pub terms: Vec<Term>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// True if it must not hold.
    pub not: bool,
    /// The condition.
    pub is: Condition,
}

/// What a term asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Any of these states.
    State(Vec<RunStatus>),
    /// Any of these workflows.
    Workflow(Vec<WorkflowId>),
    /// This version of the workflow.
    Version(String),
    /// This session.
    Session(SessionId),
    /// This idempotency key.
    Key(RunKey),
    /// A label of this value.
    Label(LabelName, String),
    /// Created at this moment or later.
    Since(Timestamp),
    /// Created before this moment.
    Until(Timestamp),
}

impl RunFilter {
    /// Reads the text form. `now` is what spans such as `since:24h` are counted back from.
    ///
    /// # Errors
    /// Says which term is wrong and what would be right.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, String> {
        if text.len() > MAX_FILTER_BYTES {
            return Err(format!("is longer than {MAX_FILTER_BYTES} bytes"));
        }
        let terms: Vec<Term> = words(text)?.iter().map(|word| term(word, now)).collect::<Result<_, _>>()?;
        if terms.len() > MAX_FILTER_TERMS {
            return Err(format!("has more than {MAX_FILTER_TERMS} terms"));
        }
        Ok(Self { terms })
    }

    /// This filter and one condition more.
    #[must_use]
    pub fn and(mut self, is: Condition) -> Self {
        self.terms.push(Term { not: false, is });
        self
    }

    /// True if the filter takes a run.
    #[must_use]
    pub fn takes(&self, run: &RunSummary) -> bool {
        self.terms.iter().all(|term| term.is.takes(run) != term.not)
    }
}

impl Condition {
    fn takes(&self, run: &RunSummary) -> bool {
        match self {
            Self::State(any) => any.contains(&run.status),
            Self::Workflow(any) => any.contains(&run.workflow),
            Self::Version(version) => run.version == *version,
            Self::Session(session) => run.session.as_ref() == Some(session),
            Self::Key(key) => run.key.as_ref() == Some(key),
            Self::Label(name, value) => run.labels.get(name) == Some(value),
            Self::Since(moment) => run.created_at >= *moment,
            Self::Until(moment) => run.created_at < *moment,
        }
    }
}

/// Written so that it reads back as the same filter.
impl fmt::Display for RunFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, term) in self.terms.iter().enumerate() {
            let gap = if n == 0 { "" } else { " " };
            write!(f, "{gap}{}{}", if term.not { "-" } else { "" }, term.is)?;
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(any) => write!(f, "state:{}", listed(any)),
            Self::Workflow(any) => write!(f, "workflow:{}", listed(any)),
            Self::Version(version) => write!(f, "version:{}", quoted(version)),
            Self::Session(session) => write!(f, "session:{session}"),
            Self::Key(key) => write!(f, "key:{}", quoted(key.as_str())),
            Self::Label(name, value) => write!(f, "label.{name}={}", quoted(value)),
            Self::Since(moment) => write!(f, "since:{}", rfc3339(*moment)),
            Self::Until(moment) => write!(f, "until:{}", rfc3339(*moment)),
        }
    }
}

fn listed<T: fmt::Display>(any: &[T]) -> String {
    any.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn quoted(value: &str) -> String {
    if value.is_empty() || value.contains([' ', '\t', '"', '\\']) {
        return format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    }
    value.to_owned()
}

/// The text cut at spaces outside of quotes, quotes taken off.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut chars = text.chars();
    let mut quoted = false;
    while let Some(next) = chars.next() {
        match next {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(chars.next()),
            space if space.is_whitespace() && !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    if quoted {
        return Err("has a quote that is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

fn term(word: &str, now: Timestamp) -> Result<Term, String> {
    let (not, rest) = word.strip_prefix('-').map_or((false, word), |rest| (true, rest));
    let wrong = |reason: String| format!("term \"{}\": {reason}", word.escape_debug());
    let is = if let Some(label) = rest.strip_prefix("label.") {
        let (name, value) = label.split_once('=').ok_or_else(|| wrong("needs a value, as label.NAME=VALUE".into()))?;
        Condition::Label(name.parse().map_err(|error: crate::ids::InvalidName| wrong(error.to_string()))?, value.into())
    } else {
        condition(rest, now).map_err(wrong)?
    };
    Ok(Term { not, is })
}

fn condition(term: &str, now: Timestamp) -> Result<Condition, String> {
    const KNOWN: &str =
        "is not a term; there are state:, workflow:, version:, session:, key:, label.NAME=, since:, until:";
    let (name, value) = term.split_once(':').ok_or(KNOWN)?;
    Ok(match name {
        "state" => Condition::State(any(value)?),
        "workflow" => Condition::Workflow(any(value)?),
        "version" => Condition::Version(value.to_owned()),
        "session" => Condition::Session(one(value)?),
        "key" => Condition::Key(one(value)?),
        "since" => Condition::Since(moment(value, now)?),
        "until" => Condition::Until(moment(value, now)?),
        _ => return Err(KNOWN.to_owned()),
    })
}

fn one<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn any<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(one).collect()
}

/// A moment, or a span before now.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(moment) = parse_rfc3339(text) {
        return Ok(moment);
    }
    let span = Span::parse(text).map_err(|_| {
        format!("\"{}\" is neither a span such as 24h nor a moment such as 2026-01-31T00:00:00Z", text.escape_debug())
    })?;
    let micros = i64::try_from(span.0.as_micros()).unwrap_or(i64::MAX);
    Ok(Timestamp::from_micros(now.as_micros().saturating_sub(micros)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunId;
    use crate::value::Digest;

    const NOW: Timestamp = Timestamp::from_micros(1_770_000_000_000_000);

    fn run() -> RunSummary {
        RunSummary {
            run: RunId::new(1, [0; 10]),
            workflow: "invoice".parse().unwrap(),
            version: "1.2 beta".to_owned(),
            definition: Digest::of(b""),
            status: RunStatus::Failed,
            steps: 1,
            completed: 0,
            failed: 1,
            created_at: Timestamp::from_micros(NOW.as_micros() - 3_600_000_000),
            updated_at: NOW,
            ended_at: None,
            error: None,
            key: Some("order/31".parse().unwrap()),
            session: None,
            labels: [("team".parse().unwrap(), "a \"b\" c".to_owned())].into(),
        }
    }

    #[test]
    fn terms_are_joined_and_each_can_be_turned_round() {
        for (text, expected) in [
            ("", true),
            ("state:failed", true),
            ("state:running,failed workflow:invoice", true),
            ("state:failed workflow:refund,order", false),
            ("-state:failed", false),
            ("-state:running -session:s", true),
            ("session:s", false),
            ("key:order/31", true),
            ("key:order/3", false),
            ("version:\"1.2 beta\"", true),
            ("  label.team=\"a \\\"b\\\" c\"  ", true),
            ("label.team=a", false),
            ("-label.other=x", true),
            ("since:2h until:30m", true),
            ("since:59m", false),
            ("until:2h", false),
            ("since:2020-01-01T00:00:00Z", true),
        ] {
            let filter = RunFilter::parse(text, NOW).unwrap();
            assert_eq!(filter.takes(&run()), expected, "{text}");
            assert_eq!(RunFilter::parse(&filter.to_string(), Timestamp::default()), Ok(filter), "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_term() {
        for (text, expected) in [
            ("state:lost", "\"lost\" is not one of"),
            ("failed", "is not a term"),
            ("colour:red", "is not a term"),
            ("label.team", "needs a value"),
            ("label.=x", "is empty"),
            ("since:yesterday", "neither a span"),
            ("workflow:a b:", "is not a term"),
            ("state:", "is not one of"),
            ("version:\"x", "not closed"),
        ] {
            let error = RunFilter::parse(text, NOW).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(RunFilter::parse(&"-state:failed ".repeat(33), NOW).unwrap_err().contains("32 terms"));
        assert!(RunFilter::parse(&"x".repeat(MAX_FILTER_BYTES + 1), NOW).unwrap_err().contains("longer"));
    }
}
