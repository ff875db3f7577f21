//! A table with typed columns: read from CSV text, and exchanged between agents as JSON.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{DataError, MIN_ROWS};

/// Cells that stand for "no value", compared without regard to case, after trimming. "none" is not one of them: as a
/// class ("no fault") it says something.
const MISSING: [&str; 5] = ["", "na", "n/a", "nan", "null"];

/// The values of one column. `None` is a missing value.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Every present cell is a finite number.
    Number(Vec<Option<f64>>),
    /// Anything else, as trimmed text.
    Text(Vec<Option<String>>),
}

/// One named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name in the header row.
    pub name: String,
    /// Its values, one per row.
    pub values: Values,
}

/// Columns of equal length, and for each row its number in the CSV (0 is the first row after the header).
///
/// As JSON: `{rows, row_ids: [..], columns: [{name, kind: "number"|"text"}], data: {name: [..]}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Table {
    /// The columns, in the order of the header.
    pub columns: Vec<Column>,
    /// For each row its number in the CSV, strictly ascending.
    pub row_ids: Vec<u32>,
}

impl Values {
    /// How many values, missing ones included.
    pub fn len(&self) -> usize {
        match self {
            Self::Number(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// How many values are missing.
    pub fn missing(&self) -> usize {
        match self {
            Self::Number(values) => values.iter().filter(|v| v.is_none()).count(),
            Self::Text(values) => values.iter().filter(|v| v.is_none()).count(),
        }
    }

    /// The value of a row as text, the way a class name or a level is written. Whole numbers carry no point.
    pub fn text(&self, row: usize) -> Option<String> {
        match self {
            Self::Number(values) => values[row].map(|v| v.to_string()),
            Self::Text(values) => values[row].clone(),
        }
    }

    /// How many different values there are, missing ones not counted.
    pub fn distinct(&self) -> usize {
        (0..self.len()).filter_map(|row| self.text(row)).collect::<BTreeSet<_>>().len()
    }

    fn pick(&self, rows: &[usize]) -> Self {
        match self {
            Self::Number(values) => Self::Number(rows.iter().map(|&row| values[row]).collect()),
            Self::Text(values) => Self::Text(rows.iter().map(|&row| values[row].clone()).collect()),
        }
    }
}

impl Table {
    /// Reads CSV text with a header row. The separator is the one of `,` `;` tab and `|` that the header uses most;
    /// quoting follows RFC 4180. Column types come from all rows, so that every sample of one CSV agrees on them.
    ///
    /// # Errors
    /// [`DataError::NotCsv`] with the place of the fault, or [`DataError::TooFewRows`] below [`MIN_ROWS`].
    pub fn parse(csv: &str) -> Result<Self, DataError> {
        let csv = csv.trim_start_matches('\u{feff}');
        if csv.trim().is_empty() {
            return Err(DataError::NotCsv("the text is empty".into()));
        }
        if let Some(odd) = csv.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(DataError::NotCsv(format!("it holds the control character {odd:?}, so it is not text")));
        }
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter(csv)).trim(csv::Trim::All).from_reader(csv.as_bytes());
        let names = header(&mut reader)?;
        let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
        for record in reader.records() {
            let record = record.map_err(|e| DataError::NotCsv(e.to_string()))?;
            for (column, cell) in cells.iter_mut().zip(&record) {
                let missing = MISSING.iter().any(|m| cell.eq_ignore_ascii_case(m));
                column.push((!missing).then(|| cell.to_owned()));
            }
        }
        let rows = cells[0].len();
        if rows < MIN_ROWS {
            return Err(DataError::TooFewRows { rows, needed: MIN_ROWS, what: "after the header" });
        }
        let columns = names.into_iter().zip(cells).map(|(name, cells)| Column { name, values: typed(cells) }).collect();
        Ok(Self { columns, row_ids: (0..).take(rows).collect() })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.row_ids.len()
    }

    /// The column of that name.
    ///
    /// # Errors
    /// [`DataError::MissingColumn`], which names the columns there are.
    pub fn column(&self, role: &'static str, name: &str) -> Result<&Column, DataError> {
        self.columns.iter().find(|c| c.name == name).ok_or_else(|| DataError::MissingColumn {
            role,
            name: name.into(),
            columns: self.names(),
        })
    }

    /// The table of the given rows (positions, not row numbers), in ascending order.
    pub fn pick(&self, rows: &[usize]) -> Self {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        let columns = self.columns.iter().map(|c| Column { name: c.name.clone(), values: c.values.pick(&rows) });
        Self { columns: columns.collect(), row_ids: rows.iter().map(|&row| self.row_ids[row]).collect() }
    }

    /// Joins samples of one CSV to one table, in the order of the row numbers whatever the order of the samples.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] when the samples have other columns, or share a row.
    pub fn join(parts: &[Self]) -> Result<Self, DataError> {
        let Some((first, others)) = parts.split_first() else {
            return Err(DataError::Mismatch("there is no dataset to join".into()));
        };
        let mut all = first.clone();
        for part in others {
            if part.columns.len() != all.columns.len() {
                return Err(DataError::Mismatch("the datasets have different columns".into()));
            }
            for (ours, theirs) in all.columns.iter_mut().zip(&part.columns) {
                ours.append(theirs)?;
            }
            all.row_ids.extend(&part.row_ids);
        }
        let mut order: Vec<usize> = (0..all.rows()).collect();
        order.sort_unstable_by_key(|&row| all.row_ids[row]);
        if let Some(twice) = order.windows(2).find(|pair| all.row_ids[pair[0]] == all.row_ids[pair[1]]) {
            let row = all.row_ids[twice[0]];
            return Err(DataError::Mismatch(format!("row {row} is in two datasets, they must be disjoint")));
        }
        let columns = all.columns.iter().map(|c| Column { name: c.name.clone(), values: c.values.pick(&order) });
        Ok(Self { columns: columns.collect(), row_ids: order.iter().map(|&row| all.row_ids[row]).collect() })
    }

    /// The names of all columns, for messages.
    pub fn names(&self) -> String {
        self.columns.iter().map(|c| format!("`{}`", c.name)).collect::<Vec<_>>().join(", ")
    }
}

impl Column {
    fn append(&mut self, other: &Self) -> Result<(), DataError> {
        match (&mut self.values, &other.values) {
            (Values::Number(ours), Values::Number(theirs)) if self.name == other.name => ours.extend(theirs),
            (Values::Text(ours), Values::Text(theirs)) if self.name == other.name => ours.extend_from_slice(theirs),
            _ => {
                let message = format!("the datasets differ in column `{}` / `{}`", self.name, other.name);
                return Err(DataError::Mismatch(message));
            }
        }
        Ok(())
    }
}

fn delimiter(csv: &str) -> u8 {
    let header = csv.trim_start().lines().next().unwrap_or_default();
    let count = |separator: u8| header.bytes().filter(|&b| b == separator).count();
    // max_by_key keeps the last maximum, so the comma wins a tie.
    [b'|', b'\t', b';', b','].into_iter().max_by_key(|&separator| count(separator)).unwrap_or(b',')
}

fn header(reader: &mut csv::Reader<&[u8]>) -> Result<Vec<String>, DataError> {
    let header = reader.headers().map_err(|e| DataError::NotCsv(e.to_string()))?;
    if header.len() < 2 {
        return Err(DataError::NotCsv("its first line names only one column; a header row was expected".into()));
    }
    let mut seen = BTreeSet::new();
    for (i, name) in header.iter().enumerate() {
        if name.is_empty() {
            return Err(DataError::NotCsv(format!("column {} has no name in the header", i + 1)));
        }
        if !seen.insert(name) {
            return Err(DataError::NotCsv(format!("the header names column `{name}` twice")));
        }
    }
    Ok(header.iter().map(str::to_owned).collect())
}

fn typed(cells: Vec<Option<String>>) -> Values {
    let number = |cell: &String| cell.parse::<f64>().ok().filter(|v| v.is_finite());
    let present = cells.iter().flatten();
    if cells.iter().any(Option::is_some) && present.clone().all(|cell| number(cell).is_some()) {
        return Values::Number(cells.iter().map(|cell| cell.as_ref().and_then(number)).collect());
    }
    Values::Text(cells)
}

/// The JSON form of a [`Table`].
#[derive(Clone, Serialize, Deserialize)]
struct Wire {
    rows: usize,
    row_ids: Vec<u32>,
    columns: Vec<WireColumn>,
    data: std::collections::BTreeMap<String, WireValues>,
}

#[derive(Clone, Serialize, Deserialize)]
struct WireColumn {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Number,
    Text,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum WireValues {
    Number(Vec<Option<f64>>),
    Text(Vec<Option<String>>),
}

impl From<Table> for Wire {
    fn from(table: Table) -> Self {
        let rows = table.rows();
        let kind = |values: &Values| match values {
            Values::Number(_) => Kind::Number,
            Values::Text(_) => Kind::Text,
        };
        let columns =
            table.columns.iter().map(|c| WireColumn { name: c.name.clone(), kind: kind(&c.values) }).collect();
        let data = table.columns.into_iter().map(|c| {
            let values = match c.values {
                Values::Number(values) => WireValues::Number(values),
                Values::Text(values) => WireValues::Text(values),
            };
            (c.name, values)
        });
        Self { rows, row_ids: table.row_ids, columns, data: data.collect() }
    }
}

impl TryFrom<Wire> for Table {
    type Error = String;

    fn try_from(mut wire: Wire) -> Result<Self, String> {
        let rows = wire.row_ids.len();
        if wire.row_ids.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("row_ids must ascend".into());
        }
        let mut columns = Vec::with_capacity(wire.columns.len());
        for WireColumn { name, kind } in wire.columns {
            let values = match (wire.data.remove(&name), kind) {
                (Some(WireValues::Number(values)), Kind::Number) => Values::Number(values),
                (Some(WireValues::Text(values)), Kind::Text) => Values::Text(values),
                // A column of nulls alone reads as either kind; the declared one decides.
                (Some(WireValues::Number(values)), Kind::Text) if values.iter().all(Option::is_none) => {
                    Values::Text(vec![None; values.len()])
                }
                (Some(_), _) => return Err(format!("the values of column `{name}` are not of its kind")),
                (None, _) => return Err(format!("column `{name}` has no data")),
            };
            if values.len() != rows {
                return Err(format!("column `{name}` has {} values for {rows} rows", values.len()));
            }
            columns.push(Column { name, values });
        }
        Ok(Self { columns, row_ids: wire.row_ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(rows: usize, line: impl Fn(usize) -> String) -> String {
        let body: Vec<_> = (0..rows).map(line).collect();
        format!("id,size,colour\n{}\n", body.join("\n"))
    }

    #[test]
    fn types_come_from_the_values_and_missing_cells_fit_any_type() {
        let text = csv(30, |i| match i {
            3 => "x3,NA,red".into(),
            4 => "x4,,n/a".into(),
            _ => format!("x{i}, {i}.5 ,\"blue, dark\""),
        });
        let table = Table::parse(&text).unwrap();
        let Values::Number(size) = &table.columns[1].values else { panic!("size is numeric") };
        assert_eq!((size[0], size[3], size[4]), (Some(0.5), None, None));
        assert_eq!(table.columns[2].values.text(0).as_deref(), Some("blue, dark"));
        assert_eq!(table.columns[2].values.missing(), 1);
        assert_eq!(table.columns[2].values.distinct(), 2);
    }

    #[test]
    fn one_stray_word_makes_a_column_text() {
        let table = Table::parse(&csv(30, |i| format!("{i},{},z", if i == 29 { "inf" } else { "1" }))).unwrap();
        assert!(matches!(table.columns[1].values, Values::Text(_)), "infinity is not a finite number");
    }

    #[test]
    fn another_separator_is_recognised_by_the_header() {
        let table = Table::parse(&csv(30, |i| format!("{i},1,a")).replace(',', ";")).unwrap();
        assert_eq!(table.columns.len(), 3);
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let message = |text: &str| Table::parse(text).unwrap_err().to_string();
        assert!(message(" \n").contains("empty"));
        assert!(message("{\"a\": 1}\n").contains("only one column"));
        assert!(message("\u{1}\u{0},b").contains("control character"));
        assert!(message("a,a\n1,2\n").contains("`a` twice"));
        assert!(message("a,\n1,2\n").contains("column 2 has no name"));
        assert!(message("a,b\n1,2\n1,2,3\n").contains("line: 3"));
        assert_eq!(message("a,b\n1,2\n"), "too few rows: 1 after the header, at least 30 are needed");
    }

    #[test]
    fn json_form_gives_the_table_back() {
        let text = csv(31, |i| if i == 7 { ",,".into() } else { format!("x{i},{},", f64::from(i as u32) / 3.0) });
        let table = Table::parse(&text).unwrap();
        let json = serde_json::to_value(&table).unwrap();
        assert_eq!(json["columns"][1], serde_json::json!({"name": "size", "kind": "number"}));
        assert_eq!(json["data"]["size"][7], serde_json::Value::Null);
        assert_eq!(serde_json::from_value::<Table>(json.clone()).unwrap(), table);
        let mut bad = json;
        bad["data"]["size"] = serde_json::json!([1.0]);
        assert!(serde_json::from_value::<Table>(bad).unwrap_err().to_string().contains("1 values for 31 rows"));
    }

    #[test]
    fn joining_picks_restores_the_table_in_any_order() {
        let table = Table::parse(&csv(30, |i| format!("{i},{},c{}", i * 2, i % 3))).unwrap();
        let even: Vec<_> = (0..30).filter(|i| i % 2 == 0).collect();
        let odd: Vec<_> = (0..30).filter(|i| i % 2 == 1).collect();
        let joined = Table::join(&[table.pick(&odd), table.pick(&even)]).unwrap();
        assert_eq!(joined, table);
        let overlap = Table::join(&[table.pick(&odd), table.pick(&[1, 2])]).unwrap_err();
        assert!(overlap.to_string().contains("row 1 is in two datasets"), "{overlap}");
    }
}
