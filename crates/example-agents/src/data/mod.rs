//! The data side of the agents, pure functions without I/O: a typed table read from CSV, samples, statistics and
//! checks, and the encoding of rows as numbers for a model.

pub mod encode;
pub mod quality;
pub mod sample;
pub mod statistics;
pub mod table;

/// The fewest rows a CSV may have: below this a train/validation/test split says nothing.
pub const MIN_ROWS: usize = 30;

/// The most distinct values of a text column that is used as a feature or a class label.
/// A column with more is taken for a name or an identifier.
pub const MAX_LEVELS: usize = 20;

/// Why the data cannot be used. Each message is meant for the person who gave the CSV.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataError {
    /// The text does not parse as a table with a header row.
    #[error("not a usable CSV: {0}")]
    NotCsv(String),
    /// The table, or what is left of it, is too small.
    #[error("too few rows: {rows} {what}, at least {needed} are needed")]
    TooFewRows {
        /// Rows found.
        rows: usize,
        /// Rows needed.
        needed: usize,
        /// Which rows were counted.
        what: &'static str,
    },
    /// No column holds numbers, so there is nothing to describe or to learn from.
    #[error("no numeric column among {0}")]
    NoNumericColumn(String),
    /// A column that the input names is not in the table.
    #[error("the {role} column `{name}` is missing; the columns are {columns}")]
    MissingColumn {
        /// What the column is for: `label`, `target` or `excluded`.
        role: &'static str,
        /// The name looked for.
        name: String,
        /// The names there are.
        columns: String,
    },
    /// A column exists but its values do not fit its role.
    #[error("the {role} column `{name}` cannot be used: {reason}")]
    BadColumn {
        /// What the column is for: `label` or `target`.
        role: &'static str,
        /// The column.
        name: String,
        /// What is wrong with its values.
        reason: String,
    },
    /// Two inputs that must belong together do not.
    #[error("{0}")]
    Mismatch(String),
}
