//! The market data: closing prices that come with the program.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Close;

/// The date, then a column per symbol.
const PRICES: &str = include_str!("prices.csv");

#[derive(Deserialize)]
pub(super) struct Input {
    symbols: Vec<String>,
    timeframe: String,
}

#[derive(Serialize)]
pub(super) struct Output {
    market_data: BTreeMap<String, Vec<Close>>,
}

pub(super) fn collect(input: &Input) -> Result<Output, String> {
    let days = days(&input.timeframe)?;
    let mut lines = PRICES.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let recent = &rows[rows.len().saturating_sub(days)..];
    let mut market_data = BTreeMap::new();
    for symbol in &input.symbols {
        let column = header
            .iter()
            .skip(1)
            .position(|name| name == symbol)
            .ok_or_else(|| format!("there are no prices of {symbol:?}, only of {}", header[1..].join(", ")))?;
        let close = |row: &Vec<&str>| {
            let close = row.get(column + 1)?.parse().ok()?;
            Some(Close { date: (*row.first()?).to_owned(), close })
        };
        market_data.insert(symbol.clone(), recent.iter().filter_map(close).collect());
    }
    Ok(Output { market_data })
}

fn days(timeframe: &str) -> Result<usize, String> {
    let days = timeframe.strip_suffix('d').and_then(|days| days.parse().ok()).filter(|days| (20..=60).contains(days));
    days.ok_or_else(|| format!("the timeframe {timeframe:?} is not one of 20d to 60d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(symbol: &str, timeframe: &str) -> Result<Vec<Close>, String> {
        let input = Input { symbols: vec![symbol.into()], timeframe: timeframe.into() };
        collect(&input).map(|output| output.market_data[symbol].clone())
    }

    #[test]
    fn the_last_days_are_given() {
        let closes = collected("BOLT", "20d").unwrap();
        assert_eq!(closes.len(), 20);
        assert_eq!((closes[19].date.as_str(), closes[19].close), ("2025-03-26", 28.66));
        assert_eq!(collected("CORE", "60d").unwrap().len(), 60);
    }

    #[test]
    fn unknown_symbols_and_timeframes_are_told() {
        assert!(collected("NONE", "30d").unwrap_err().contains("only of ACME, BOLT, CORE"));
        assert!(collected("ACME", "1y").unwrap_err().contains("not one of 20d to 60d"));
    }
}
