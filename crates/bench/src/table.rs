//! Figures as a table and as JSON.

use serde::{Deserialize, Serialize};

/// One figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The workload.
    pub workload: String,
    /// Where runs were kept.
    pub store: String,
    /// What of the workload.
    pub case: String,
    /// What is measured.
    pub figure: String,
    /// How much, the median where there were several.
    pub value: f64,
    /// In what.
    pub unit: String,
    /// True if more is better.
    pub more_is_better: bool,
}

impl Row {
    fn is_like(&self, other: &Self) -> bool {
        (&self.workload, &self.store, &self.case, &self.figure)
            == (&other.workload, &other.store, &other.case, &other.figure)
    }
}

/// Prints the head of the table.
pub fn print_head() {
    println!("{:<4} {:<7} {:<26} {:<22} {:>14} {:<8} ratio", "", "store", "case", "figure", "value", "unit");
}

/// Prints a figure, with its ratio to an earlier one of its kind.
pub fn print(row: &Row, earlier: &[Row]) {
    let ratio = earlier.iter().find(|old| old.is_like(row)).map_or_else(String::new, |old| {
        let ratio = row.value / old.value;
        let better = (ratio > 1.0) == row.more_is_better;
        format!("{ratio:.2} ({})", if better { "better" } else { "worse" })
    });
    println!(
        "{:<4} {:<7} {:<26} {:<22} {:>14.2} {:<8} {ratio}",
        row.workload, row.store, row.case, row.figure, row.value, row.unit
    );
}

/// Reads figures that were written earlier.
pub fn read(file: &str) -> Result<Vec<Row>, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("{file}: {e}"))
}

/// Writes figures.
pub fn write(file: &str, rows: &[Row]) -> Result<(), String> {
    let text = serde_json::to_string_pretty(rows).map_err(|e| e.to_string())?;
    std::fs::write(file, text + "\n").map_err(|e| format!("{file}: {e}"))
}
