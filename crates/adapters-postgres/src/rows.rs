//! Rows as values and back.

use std::str::FromStr;

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::{Error, Row as _};
use tutti_core::ids::RunId;
use tutti_core::ports::query::RunSummary;
use tutti_core::ports::store::Wake;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;
use uuid::Uuid;

use crate::text;

/// Columns of `run_view v` in the order that [`summary`] reads, for statements that are put together when they are compiled.
macro_rules! summary_columns {
    () => {
        "v.run_id, v.workflow, v.version, v.definition, v.status, v.steps, v.completed, v.failed, v.created_at, \
         v.updated_at, v.ended_at, v.error, v.key, v.session, v.labels"
    };
}
pub(crate) use summary_columns;

/// A line for lists from the first columns, which are [`summary_columns!`].
pub fn summary(row: &PgRow) -> sqlx::Result<RunSummary> {
    Ok(RunSummary {
        run: run_id(row, 0)?,
        workflow: parsed(row, 1)?,
        version: free(row, 2)?,
        definition: digest(row, 3)?,
        status: parsed(row, 4)?,
        steps: number(row, 5)?,
        completed: number(row, 6)?,
        failed: number(row, 7)?,
        created_at: Timestamp::from_micros(row.try_get(8)?),
        updated_at: Timestamp::from_micros(row.try_get(9)?),
        ended_at: row.try_get::<Option<i64>, _>(10)?.map(Timestamp::from_micros),
        error: row.try_get::<Option<&str>, _>(11)?.map(|_| free(row, 11)).transpose()?,
        key: row.try_get::<Option<&str>, _>(12)?.map(|_| parsed(row, 12)).transpose()?,
        session: row.try_get::<Option<&str>, _>(13)?.map(|_| parsed(row, 13)).transpose()?,
        labels: text::labels(&row.try_get::<Vec<String>, _>(14)?).ok_or_else(|| damaged(14, "no labels"))?,
    })
}

/// A run id.
pub fn run_id(row: &PgRow, column: usize) -> sqlx::Result<RunId> {
    row.try_get::<Uuid, _>(column).map(RunId::from_uuid)
}

/// A number that is never negative.
pub fn number<T: TryFrom<i64>>(row: &PgRow, column: usize) -> sqlx::Result<T> {
    let kept: i64 = row.try_get(column)?;
    T::try_from(kept).map_err(|_| damaged(column, &format!("{kept} is out of range")))
}

/// A number of a narrow column that is never negative.
pub fn small(row: &PgRow, column: usize) -> sqlx::Result<u16> {
    let kept: i32 = row.try_get(column)?;
    u16::try_from(kept).map_err(|_| damaged(column, &format!("{kept} is out of range")))
}

/// Bytes.
pub fn bytes(row: &PgRow, column: usize) -> sqlx::Result<Bytes> {
    row.try_get::<Vec<u8>, _>(column).map(Bytes::from)
}

/// A text as what it stands for.
pub fn parsed<T: FromStr<Err: ToString>>(row: &PgRow, column: usize) -> sqlx::Result<T> {
    row.try_get::<&str, _>(column)?.parse().map_err(|error: T::Err| damaged(column, &error.to_string()))
}

/// A wake as `run.wake_at` holds it. 0 stands for a run that is active, so that no moment is as early.
pub fn wake(wake: Wake) -> Option<i64> {
    match wake {
        Wake::Active => Some(0),
        Wake::At(time) => Some(time.as_micros().max(1)),
        Wake::OnInput => None,
        Wake::Never => Some(-1),
    }
}

/// A number of rows, or a sequence number to start from, as PostgreSQL counts.
pub fn at_most(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A number to compare with; one that PostgreSQL cannot hold is none of those it holds.
pub fn compared(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(-1)
}

/// A hash.
pub fn digest(row: &PgRow, column: usize) -> sqlx::Result<Digest> {
    let kept: &[u8] = row.try_get(column)?;
    kept.try_into().map(Digest::from_bytes).map_err(|_| damaged(column, "not a hash"))
}

fn free(row: &PgRow, column: usize) -> sqlx::Result<String> {
    text::unescape(row.try_get(column)?).ok_or_else(|| damaged(column, "not a text as it is kept"))
}

fn damaged(column: usize, reason: &str) -> Error {
    Error::ColumnDecode { index: column.to_string(), source: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_are_told_apart() {
        let at = |micros| wake(Wake::At(Timestamp::from_micros(micros)));
        let all = [wake(Wake::Active), wake(Wake::OnInput), wake(Wake::Never), at(1), at(2)];
        assert_eq!(all, [Some(0), None, Some(-1), Some(1), Some(2)]);
        assert_eq!([at(0), at(-5)], [Some(1), Some(1)], "neither active nor never");
    }

    #[test]
    fn numbers_that_are_too_large_are_none() {
        assert_eq!([compared(0), compared(7), compared(u64::MAX)], [0, 7, -1]);
        assert_eq!([at_most(3_usize), at_most(usize::MAX)], [3, i64::MAX]);
    }
}
