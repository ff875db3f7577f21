//! Events and lines for lists as columns: each an array that one statement unnests.

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use tutti_core::ids::{RunKey, SessionId};
use tutti_core::ports::query::RunSummary;
use tutti_core::ports::store::EncodedEvent;
use tutti_core::time::Timestamp;
use uuid::Uuid;

use crate::{rows, text};

/// A statement to which values are bound.
pub type Statement = Query<'static, Postgres, PgArguments>;

/// The columns of [`Events`] in a statement; `of` is the number of the commit that an event belongs to, from 1.
#[derive(Default)]
pub struct Events<'c> {
    of: Vec<i32>,
    seq: Vec<i64>,
    at: Vec<i64>,
    kind: Vec<i32>,
    version: Vec<i32>,
    blob: Vec<&'c [u8]>,
}

impl<'c> Events<'c> {
    /// Adds the events of a commit.
    pub fn add(&mut self, of: i32, events: &'c [EncodedEvent]) {
        for event in events {
            self.of.push(of);
            self.seq.push(rows::compared(event.seq));
            self.at.push(event.at.as_micros());
            self.kind.push(i32::from(event.kind));
            self.version.push(i32::from(event.version));
            self.blob.push(&event.blob);
        }
    }

    /// Binds `of`, `seq`, `at_us`, `kind`, `version` and `blob`.
    pub fn bind(self, statement: Statement) -> Statement {
        let Self { of, seq, at, kind, version, blob } = self;
        statement.bind(of).bind(seq).bind(at).bind(kind).bind(version).bind(blob)
    }
}

/// The columns of lines for lists.
#[derive(Default)]
pub struct Lines<'c> {
    run: Vec<Uuid>,
    workflow: Vec<&'c str>,
    version: Vec<String>,
    definition: Vec<&'c [u8]>,
    status: Vec<&'static str>,
    steps: Vec<i64>,
    completed: Vec<i64>,
    failed: Vec<i64>,
    created_at: Vec<i64>,
    updated_at: Vec<i64>,
    ended_at: Vec<Option<i64>>,
    error: Vec<Option<String>>,
    key: Vec<Option<&'c str>>,
    session: Vec<Option<&'c str>>,
    labels: Vec<String>,
}

impl<'c> Lines<'c> {
    /// Adds a line.
    pub fn add(&mut self, line: &'c RunSummary) {
        self.run.push(line.run.as_uuid());
        self.workflow.push(line.workflow.as_str());
        self.version.push(text::escape(&line.version).into_owned());
        self.definition.push(line.definition.as_bytes());
        self.status.push(line.status.as_str());
        self.steps.push(line.steps.into());
        self.completed.push(line.completed.into());
        self.failed.push(line.failed.into());
        self.created_at.push(line.created_at.as_micros());
        self.updated_at.push(line.updated_at.as_micros());
        self.ended_at.push(line.ended_at.map(Timestamp::as_micros));
        self.error.push(line.error.as_deref().map(|error| text::escape(error).into_owned()));
        self.key.push(line.key.as_ref().map(RunKey::as_str));
        self.session.push(line.session.as_ref().map(SessionId::as_str));
        self.labels.push(text::array(line.labels.iter().map(|(name, value)| text::label(name, value))));
    }

    /// Binds the columns in the order of [`rows::summary_columns!`]; labels as the text of an array.
    pub fn bind(self, statement: Statement) -> Statement {
        statement
            .bind(self.run)
            .bind(self.workflow)
            .bind(self.version)
            .bind(self.definition)
            .bind(self.status)
            .bind(self.steps)
            .bind(self.completed)
            .bind(self.failed)
            .bind(self.created_at)
            .bind(self.updated_at)
            .bind(self.ended_at)
            .bind(self.error)
            .bind(self.key)
            .bind(self.session)
            .bind(self.labels)
    }
}
