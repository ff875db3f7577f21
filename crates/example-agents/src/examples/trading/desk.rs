//! Risk, and what is traded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Action, Signal, rounded};

/// Standard deviations that a day's loss exceeds once in twenty days.
const CONFIDENCE_95: f64 = 1.645;

/// The largest share of the portfolio that one position may have, without risk.
const MAX_SHARE: f64 = 0.25;

/// From this risk on nothing is bought.
const TOO_RISKY: f64 = 0.8;

#[derive(Deserialize)]
pub(super) struct Exposure {
    signals: BTreeMap<String, Signal>,
    sentiment: BTreeMap<String, f64>,
    portfolio: Portfolio,
}

#[derive(Deserialize)]
struct Portfolio {
    cash: f64,
    /// Number of shares by symbol.
    positions: BTreeMap<String, f64>,
}

#[derive(Serialize)]
pub(super) struct Risk {
    /// 0 (none) to 1.
    risk_score: f64,
    /// In money.
    max_position: f64,
    /// In money: what a day's loss exceeds once in twenty days, if symbols move independently.
    value_at_risk: f64,
    portfolio_value: f64,
}

/// The risk is ten times the value at risk as a share of the portfolio, a tenth more or less for the mood of the news.
pub(super) fn assess(input: &Exposure) -> Result<Risk, String> {
    let Portfolio { cash, positions } = &input.portfolio;
    let (mut total, mut squares) = (*cash, 0.0);
    for (symbol, shares) in positions {
        let signal = input.signals.get(symbol).ok_or_else(|| format!("there is no signal for {symbol}"))?;
        total += shares * signal.price;
        squares += (shares * signal.price * signal.volatility).powi(2);
    }
    if total <= 0.0 {
        return Err("the portfolio is empty".into());
    }
    let value_at_risk = CONFIDENCE_95 * squares.sqrt();
    let mood = input.sentiment.values().sum::<f64>() / input.sentiment.len().max(1) as f64;
    let risk = (10.0 * value_at_risk / total - 0.1 * mood).clamp(0.0, 1.0);
    Ok(Risk {
        risk_score: rounded(risk),
        max_position: rounded((1.0 - risk) * MAX_SHARE * total),
        value_at_risk: rounded(value_at_risk),
        portfolio_value: rounded(total),
    })
}

#[derive(Deserialize)]
pub(super) struct Choice {
    signals: BTreeMap<String, Signal>,
    risk: f64,
}

#[derive(Serialize)]
pub(super) struct Decision {
    trades: Vec<Trade>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Trade {
    symbol: String,
    side: Action,
    /// How much of the largest position allowed is bought, or how much of the one held is sold, 0 to 1.
    share: f64,
}

/// The farther apart the averages, the larger the trade; buys shrink with the risk, sales do not.
pub(super) fn decide(input: &Choice) -> Result<Decision, String> {
    let trade = |(symbol, signal): (&String, &Signal)| {
        let strength = (20.0 * (signal.short_average / signal.long_average - 1.0).abs()).min(1.0);
        let share = match signal.action {
            Action::Buy if input.risk < TOO_RISKY => strength * (1.0 - input.risk),
            Action::Sell => strength,
            _ => return None,
        };
        Some(Trade { symbol: symbol.clone(), side: signal.action, share: rounded(share) })
    };
    Ok(Decision { trades: input.signals.iter().filter_map(trade).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals() -> BTreeMap<String, Signal> {
        let signal = |action, short_average| Signal {
            action,
            price: 10.0,
            short_average,
            long_average: 100.0,
            momentum: 0.0,
            volatility: 0.02,
        };
        let all =
            [("a", signal(Action::Buy, 102.0)), ("b", signal(Action::Sell, 90.0)), ("c", signal(Action::Hold, 100.0))];
        all.into_iter().map(|(name, signal)| (name.to_owned(), signal)).collect()
    }

    #[test]
    fn risk_grows_with_what_is_held_and_falls_with_the_mood() {
        let risk = |shares, mood| {
            let portfolio = Portfolio { cash: 900.0, positions: BTreeMap::from([("a".into(), shares)]) };
            assess(&Exposure { signals: signals(), sentiment: BTreeMap::from([("a".into(), mood)]), portfolio })
                .unwrap()
        };
        let even = risk(10.0, 0.0);
        assert_eq!((even.portfolio_value, even.value_at_risk, even.risk_score), (1000.0, 3.29, 0.0329));
        assert_eq!(even.max_position, 241.775);
        assert_eq!(risk(10.0, -1.0).risk_score, 0.1329);
        assert!(risk(90.0, 0.0).risk_score > even.risk_score);
    }

    #[test]
    fn trades_follow_signals_as_risk_allows() {
        let trades = |risk| decide(&Choice { signals: signals(), risk }).unwrap().trades;
        let trade = |symbol: &str, side, share| Trade { symbol: symbol.into(), side, share };
        assert_eq!(trades(0.5), [trade("a", Action::Buy, 0.2), trade("b", Action::Sell, 1.0)]);
        assert_eq!(trades(0.9), [trade("b", Action::Sell, 1.0)]);
    }
}
