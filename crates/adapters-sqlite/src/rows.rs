//! Rows as values and back.

use std::collections::BTreeMap;
use std::str::FromStr;

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Error, Row};
use tutti_core::ids::{LabelName, RunId};
use tutti_core::ports::query::RunSummary;
use tutti_core::ports::store::Wake;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;
use uuid::Uuid;

/// Columns of `run_view` in the order that [`summary`] reads.
pub const SUMMARY: &str = "run_id, workflow, version, definition, status, steps, completed, failed, created_at, \
                           updated_at, ended_at, error, key, session, labels";

/// A line for lists from the columns [`SUMMARY`].
pub fn summary(row: &Row<'_>) -> rusqlite::Result<RunSummary> {
    Ok(RunSummary {
        run: RunId::from_uuid(row.get::<_, Uuid>(0)?),
        workflow: parsed(row, 1)?,
        version: row.get(2)?,
        definition: Digest::from_bytes(row.get(3)?),
        status: parsed(row, 4)?,
        steps: row.get(5)?,
        completed: row.get(6)?,
        failed: row.get(7)?,
        created_at: Timestamp::from_micros(row.get(8)?),
        updated_at: Timestamp::from_micros(row.get(9)?),
        ended_at: row.get::<_, Option<i64>>(10)?.map(Timestamp::from_micros),
        error: row.get(11)?,
        key: parsed_or_null(row, 12)?,
        session: parsed_or_null(row, 13)?,
        labels: serde_json::from_str(row.get_ref(14)?.as_str()?)
            .map_err(|error| Error::FromSqlConversionFailure(14, Type::Text, error.into()))?,
    })
}

/// Labels as `run_view.labels` holds them.
pub fn labels(labels: &BTreeMap<LabelName, String>) -> String {
    serde_json::to_string(labels).expect("names and texts serialize into memory")
}

/// A run id from the first column.
pub fn run_id(row: &Row<'_>) -> rusqlite::Result<RunId> {
    row.get::<_, Uuid>(0).map(RunId::from_uuid)
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

/// A number of rows as SQLite counts them.
pub fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A text as what it stands for.
pub fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T::Err: ToString,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error: T::Err| Error::FromSqlConversionFailure(column, Type::Text, error.to_string().into()))
}

fn parsed_or_null<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T::Err: ToString,
{
    if row.get_ref(column)? == ValueRef::Null { Ok(None) } else { parsed(row, column).map(Some) }
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
}
