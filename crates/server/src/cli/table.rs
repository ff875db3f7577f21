//! Rows of text in columns.

use tutti_core::report::{columns, pad, printable};

/// A table with a heading, each column as wide as its widest cell. Control characters are shown as such.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let cells = |row: &Vec<String>| row.iter().map(|cell| printable(cell).into_owned()).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = std::iter::once(&heading).chain(rows).map(cells).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| columns(cell)).max();
    let widths: Vec<usize> = (0..heading.len()).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in &rows {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_under_one_another_and_show_what_could_harm() {
        let rows = [
            vec!["a".to_owned(), "long\u{1b}[2J".to_owned(), "x".to_owned()],
            vec!["bcd".to_owned(), String::new(), "y".to_owned()],
        ];
        let told = table(&["ID", "B", "C"], &rows);
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].starts_with("ID   B"), "{told}");
        assert!(!told.contains('\u{1b}'), "{told:?}");
        let column = |line: &str, cell| columns(&line[..line.find(cell).unwrap()]);
        assert_eq!(column(lines[1], 'x'), column(lines[2], 'y'), "{told}");
    }
}
