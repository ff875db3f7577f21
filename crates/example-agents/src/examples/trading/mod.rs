//! The trading pipeline: prices, two analyses of them and of the news, the risk, the trades.

mod analysis;
mod desk;
mod market;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::function::function;
use crate::kit::Skill;

/// What the agent of that name does.
pub(super) fn skills(name: &str) -> Option<Vec<Arc<dyn Skill>>> {
    let skills = match name {
        "market-desk" => vec![function(
            "market_data_provider",
            "Closing prices of symbols over a timeframe such as 30d. Input: symbols (list), timeframe.",
            market::collect,
        )],
        "market-analyst" => vec![
            function(
                "technical_analysis",
                "Moving averages, momentum and volatility, and the signal they give. Input: market_data.",
                analysis::technical,
            ),
            function(
                "sentiment_analysis",
                "Counts good and bad words in the news about symbols. Input: symbols (list).",
                analysis::sentiment,
            ),
        ],
        "trading-desk" => vec![
            function(
                "risk_management",
                "The value at risk of a portfolio and the largest position it allows. Input: signals, sentiment, \
                 portfolio.",
                desk::assess,
            ),
            function(
                "trading_strategy",
                "Trades that follow signals as the risk allows. Input: signals, risk.",
                desk::decide,
            ),
        ],
        _ => return None,
    };
    Some(skills)
}

/// The price of a symbol at the end of a day.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Close {
    date: String,
    close: f64,
}

/// What the prices of a symbol say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Signal {
    action: Action,
    /// The last price.
    price: f64,
    /// Mean of the last 5 prices.
    short_average: f64,
    /// Mean of the last 20 prices.
    long_average: f64,
    /// Change over the last 10 days, as a share.
    momentum: f64,
    /// Standard deviation of the daily changes, as a share.
    volatility: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Buy,
    Sell,
    Hold,
}

/// Four digits are enough for people, and for the same text on every machine.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
