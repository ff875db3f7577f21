//! What prices and news say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Action, Close, Signal, rounded};

const SHORT: usize = 5;
const LONG: usize = 20;
const MOMENTUM: usize = 10;

/// How far apart the averages must be, as a share, to be a signal.
const THRESHOLD: f64 = 0.01;

/// Symbol and headline, by a comma.
const HEADLINES: &str = include_str!("headlines.csv");

const GOOD: [&str; 7] = ["beats", "growth", "keeps", "record", "strong", "upgrade", "demand"];
const BAD: [&str; 8] = ["delays", "lawsuit", "losses", "misses", "recall", "warns", "weak", "cuts"];

#[derive(Deserialize)]
pub(super) struct Prices {
    market_data: BTreeMap<String, Vec<Close>>,
}

#[derive(Serialize)]
pub(super) struct Technical {
    signals: BTreeMap<String, Signal>,
    /// The share of symbols whose averages and momentum point the same way.
    confidence: f64,
}

pub(super) fn technical(input: &Prices) -> Result<Technical, String> {
    let signal = |(symbol, closes): (&String, &Vec<Close>)| {
        let signal = signal(closes).ok_or_else(|| format!("{symbol} has fewer than {LONG} prices"))?;
        Ok((symbol.clone(), signal))
    };
    let signals = input.market_data.iter().map(signal).collect::<Result<BTreeMap<_, _>, String>>()?;
    let agree = |s: &&Signal| (s.short_average > s.long_average) == (s.momentum > 0.0);
    let agreeing = signals.values().filter(agree).count();
    let confidence = rounded(agreeing as f64 / signals.len().max(1) as f64);
    Ok(Technical { signals, confidence })
}

fn signal(closes: &[Close]) -> Option<Signal> {
    let closes: Vec<f64> = closes.iter().map(|c| c.close).collect();
    let last = |n: usize| closes.len().checked_sub(n).map(|from| &closes[from..]);
    let (short, long) = (mean(last(SHORT)?), mean(last(LONG)?));
    let price = *closes.last()?;
    let changes: Vec<f64> = closes.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
    let average = mean(&changes);
    let variance = mean(&changes.iter().map(|change| (change - average).powi(2)).collect::<Vec<_>>());
    let action = match short / long - 1.0 {
        apart if apart > THRESHOLD => Action::Buy,
        apart if apart < -THRESHOLD => Action::Sell,
        _ => Action::Hold,
    };
    Some(Signal {
        action,
        price,
        short_average: rounded(short),
        long_average: rounded(long),
        momentum: rounded(price / last(MOMENTUM + 1)?[0] - 1.0),
        volatility: rounded(variance.sqrt()),
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[derive(Deserialize)]
pub(super) struct Symbols {
    symbols: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Sentiment {
    /// By symbol, from −1 (only bad words) to 1 (only good ones).
    sentiment: BTreeMap<String, f64>,
    news_impact: Vec<News>,
}

#[derive(Debug, Serialize)]
struct News {
    symbol: String,
    headline: &'static str,
    good: usize,
    bad: usize,
}

pub(super) fn sentiment(input: &Symbols) -> Result<Sentiment, String> {
    let mut sentiment = BTreeMap::new();
    let mut news_impact = Vec::new();
    for symbol in &input.symbols {
        let about = HEADLINES.lines().filter_map(|line| line.split_once(',')).filter(|(of, _)| of == symbol);
        let news: Vec<News> = about.map(|(_, headline)| weigh(symbol, headline)).collect();
        let (good, bad) = news.iter().fold((0, 0), |(good, bad), news| (good + news.good, bad + news.bad));
        let score = (good as f64 - bad as f64) / (good + bad).max(1) as f64;
        sentiment.insert(symbol.clone(), rounded(score));
        news_impact.extend(news);
    }
    Ok(Sentiment { sentiment, news_impact })
}

fn weigh(symbol: &str, headline: &'static str) -> News {
    let words: Vec<String> = headline.split_whitespace().map(str::to_lowercase).collect();
    let count = |list: &[&str]| words.iter().filter(|word| list.contains(&word.as_str())).count();
    News { symbol: symbol.into(), headline, good: count(&GOOD), bad: count(&BAD) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closes(price: impl Fn(usize) -> f64) -> Vec<Close> {
        (0..LONG).map(|day| Close { date: day.to_string(), close: price(day) }).collect()
    }

    #[test]
    fn averages_tell_the_trend() {
        let up = signal(&closes(|day| 100.0 + day as f64)).unwrap();
        assert_eq!((up.action, up.short_average, up.long_average), (Action::Buy, 117.0, 109.5));
        assert_eq!(up.momentum, rounded(119.0 / 109.0 - 1.0));
        assert_eq!(signal(&closes(|day| 100.0 - day as f64)).unwrap().action, Action::Sell);
        let flat = signal(&closes(|_| 50.0)).unwrap();
        assert_eq!((flat.action, flat.volatility), (Action::Hold, 0.0));
        assert!(signal(&closes(|_| 1.0)[1..]).is_none());
    }

    #[test]
    fn words_make_the_mood() {
        let input = Symbols { symbols: vec!["ACME".into(), "BOLT".into(), "NONE".into()] };
        let found = sentiment(&input).unwrap();
        // beats, record, growth, upgrade, strong against warns, delays; misses, losses, lawsuit, recall against none.
        assert_eq!(found.sentiment["ACME"], rounded(3.0 / 7.0));
        assert_eq!(found.sentiment["BOLT"], -1.0);
        assert_eq!(found.sentiment["NONE"], 0.0);
        assert_eq!(found.news_impact.len(), 6);
    }
}
