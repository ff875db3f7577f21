//! Commits: one statement, its own transaction, for many runs.

use std::collections::HashSet;

use sqlx::PgConnection;
use tutti_core::ports::frame;
use tutti_core::ports::inbox::Consumed;
use tutti_core::ports::store::{Commit, CommitOutcome};
use uuid::Uuid;

use crate::columns::{Events, Lines, Statement};
use crate::connections::Outcome;
use crate::rows;

/// `held` locks the guards in the order of their ids, so that no two commits wait for each other, and reads what stands in
/// them once they are locked, whatever the snapshot of the statement says. It finds each along its key: a join would go
/// through the whole table for as long as the plan is kept that was made while the table was small. Only runs of which
/// that is as expected go on (`fits`), and not those whose last commit was this one, which may have had no events; the
/// others do not touch them. The new lines for lists (`changed`) are put together before the table is joined: a join of all
/// at once goes through what is unnested once for each run. Answers the numbers of the commits that are applied, now or before.
const COMMIT: &str = "
WITH want AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::int8[], $5::uuid[], $6::int4[], $7::int8[])
        WITH ORDINALITY AS w (run_id, epoch, expected, last_seq, commit_id, min_reader, wake_at, n)
), held AS MATERIALIZED (
    SELECT h.* FROM (SELECT run_id FROM want ORDER BY run_id) w CROSS JOIN LATERAL (
        SELECT r.run_id, r.epoch, r.last_seq, r.commit_id FROM run r WHERE r.run_id = w.run_id FOR NO KEY UPDATE
    ) h
), fits AS MATERIALIZED (
    SELECT w.* FROM want w JOIN held h ON h.run_id = w.run_id
    WHERE h.epoch = w.epoch AND h.last_seq = w.expected AND h.commit_id <> w.commit_id
), guards AS (
    UPDATE run r SET last_seq = f.last_seq, commit_id = f.commit_id, claims = 0,
        min_reader = greatest(r.min_reader, f.min_reader), wake_at = f.wake_at
    FROM fits f WHERE r.run_id = f.run_id
), events AS (
    INSERT INTO event (run_id, seq, at_us, epoch, kind, version, blob)
    SELECT f.run_id, e.seq, e.at_us, f.epoch, e.kind, e.version, e.blob
    FROM unnest($8::int4[], $9::int8[], $10::int8[], $11::int4[], $12::int4[], $13::bytea[])
        AS e (of, seq, at_us, kind, version, blob)
    JOIN fits f ON f.n = e.of
), changed AS MATERIALIZED (
    SELECT l.*
    FROM unnest($14::uuid[], $15::text[], $16::text[], $17::bytea[], $18::text[], $19::int8[], $20::int8[], $21::int8[],
            $22::int8[], $23::int8[], $24::int8[], $25::text[], $26::text[], $27::text[], $28::text[])
        AS l (run_id, workflow, version, definition, status, steps, completed, failed, created_at, updated_at, ended_at,
            error, key, session, labels)
    JOIN fits f ON f.run_id = l.run_id
), lines AS (
    UPDATE run_view v SET workflow = l.workflow, version = l.version, definition = l.definition, status = l.status,
        steps = l.steps, completed = l.completed, failed = l.failed, created_at = l.created_at,
        updated_at = l.updated_at, ended_at = l.ended_at, error = l.error, key = l.key, session = l.session,
        labels = l.labels::text[]
    FROM changed l WHERE v.run_id = l.run_id
), consumed AS (
    DELETE FROM inbox i USING unnest($29::int4[], $30::uuid[], $31::int8[], $32::bytea[])
        AS c (of, request_id, at_us, outcome)
    JOIN fits f ON f.n = c.of
    WHERE i.run_id = f.run_id AND i.request_id = c.request_id
    RETURNING i.run_id, i.request_id, c.at_us, c.outcome
), outcomes AS (
    INSERT INTO inbox_outcome (run_id, request_id, at_us, outcome)
    SELECT run_id, request_id, at_us, outcome FROM consumed ON CONFLICT DO NOTHING
)
SELECT w.n FROM want w JOIN held h ON h.run_id = w.run_id
WHERE (h.epoch = w.epoch AND h.last_seq = w.expected) OR h.commit_id = w.commit_id";

/// Appends to runs, each guarded by its own row.
pub async fn commit(db: &mut PgConnection, commits: &Vec<Commit>) -> Outcome<Vec<CommitOutcome>> {
    let mut guards = Guards::default();
    let (mut events, mut lines, mut items) = (Events::default(), Lines::default(), Items::default());
    for (n, commit) in (1..).zip(commits) {
        guards.add(commit);
        events.add(n, &commit.events);
        if let Some(line) = &commit.summary {
            lines.add(line);
        }
        items.add(n, &commit.consumed);
    }
    let Guards { run, epoch, expected, last_seq, commit_id, min_reader, wake_at } = guards;
    let statement = sqlx::query(COMMIT).bind(run).bind(epoch).bind(expected).bind(last_seq);
    let statement = statement.bind(commit_id).bind(min_reader).bind(wake_at);
    let applied = items.bind(lines.bind(events.bind(statement))).fetch_all(db).await?;
    let mut outcomes = vec![CommitOutcome::Refused; commits.len()];
    for row in applied {
        let n: usize = rows::number(&row, 0)?;
        if let Some(outcome) = n.checked_sub(1).and_then(|n| outcomes.get_mut(n)) {
            *outcome = CommitOutcome::Committed;
        }
    }
    Ok(Ok(outcomes))
}

/// The columns of what guards compare and become.
#[derive(Default)]
struct Guards {
    run: Vec<Uuid>,
    epoch: Vec<i64>,
    expected: Vec<i64>,
    last_seq: Vec<i64>,
    commit_id: Vec<Uuid>,
    min_reader: Vec<i32>,
    wake_at: Vec<Option<i64>>,
}

impl Guards {
    fn add(&mut self, commit: &Commit) {
        self.run.push(commit.run.as_uuid());
        self.epoch.push(rows::compared(commit.epoch));
        self.expected.push(rows::compared(commit.expected));
        // Beyond what can be held only if `expected` is, which then fits no run.
        self.last_seq.push(rows::compared(commit.expected.saturating_add(commit.events.len() as u64)));
        self.commit_id.push(Uuid::from_u128(commit.commit_id));
        self.min_reader.push(i32::from(commit.min_reader));
        self.wake_at.push(rows::wake(commit.wake));
    }
}

/// The columns of items of the inbox; `of` is the number of their commit.
#[derive(Default)]
struct Items {
    of: Vec<i32>,
    request: Vec<Uuid>,
    at: Vec<i64>,
    outcome: Vec<Vec<u8>>,
}

impl Items {
    fn add(&mut self, of: i32, consumed: &[Consumed]) {
        let mut seen = HashSet::with_capacity(consumed.len());
        // A request that is named twice has its first outcome.
        for item in consumed.iter().filter(|item| seen.insert(item.request)) {
            self.of.push(of);
            self.request.push(item.request);
            self.at.push(item.at.as_micros());
            self.outcome.push(frame::wrap(&item.outcome).to_vec());
        }
    }

    fn bind(self, statement: Statement) -> Statement {
        statement.bind(self.of).bind(self.request).bind(self.at).bind(self.outcome)
    }
}
