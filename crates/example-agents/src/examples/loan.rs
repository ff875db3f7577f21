//! The diamond: an application for a loan is reviewed, judged in two ways at once, and decided.

use serde::{Deserialize, Serialize};

use super::Skills;
use super::function::function;

/// The lowest score, and the largest part of the money left in a month, that are approved.
const MIN_SCORE: i64 = 620;
const MAX_BURDEN: f64 = 0.6;

/// What the agent of that name does.
pub(super) fn skills(name: &str) -> Option<Skills> {
    let skills = match name {
        "loan-office" => vec![
            function("loan.review", "Checks an application and computes its instalment. Input: application.", review),
            function("loan.decide", "Approves or refuses, with reasons. Input: credit, affordability.", decide),
        ],
        "loan-bureau" => vec![
            function("loan.credit", "A credit score of 300 to 850 from past payments. Input: payments.", credit),
            function(
                "loan.affordability",
                "The part of what is left in a month that an instalment takes. Input: income, spending, instalment.",
                affordability,
            ),
        ],
        _ => return None,
    };
    Some(skills)
}

#[derive(Deserialize)]
struct Review {
    application: Application,
}

/// Money in whole units, income and spending by month.
#[derive(Deserialize)]
struct Application {
    applicant: String,
    amount: f64,
    years: u32,
    yearly_rate_percent: f64,
    income: f64,
    spending: f64,
    /// Days that each past payment was late.
    payments_late_days: Vec<u32>,
}

#[derive(Serialize)]
struct Reviewed {
    applicant: String,
    instalment: f64,
    income: f64,
    spending: f64,
    payments: Vec<u32>,
}

/// The instalment is that of an annuity: amount × r ÷ (1 − (1 + r)^−months), r the rate of a month.
fn review(input: &Review) -> Result<Reviewed, String> {
    let Application { applicant, amount, years, yearly_rate_percent, income, spending, payments_late_days } =
        &input.application;
    if *amount <= 0.0 || *income <= 0.0 || *spending < 0.0 || *yearly_rate_percent < 0.0 || !(1..=40).contains(years) {
        return Err("the application needs a positive amount and income, a rate and 1 to 40 years".into());
    }
    let (rate, months) = (yearly_rate_percent / 1200.0, f64::from(years * 12));
    let instalment = if rate > 0.0 { amount * rate / (1.0 - (1.0 + rate).powf(-months)) } else { amount / months };
    Ok(Reviewed {
        applicant: applicant.clone(),
        instalment: cents(instalment),
        income: *income,
        spending: *spending,
        payments: payments_late_days.clone(),
    })
}

#[derive(Deserialize)]
struct History {
    payments: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct Credit {
    score: i64,
    late: usize,
}

/// A payment in time raises the score by 10, a late one lowers it by 20 and a point for each day.
fn credit(input: &History) -> Result<Credit, String> {
    let points: i64 = input.payments.iter().map(|&days| if days == 0 { 10 } else { -20 - i64::from(days) }).sum();
    let late = input.payments.iter().filter(|days| **days > 0).count();
    Ok(Credit { score: (600 + points).clamp(300, 850), late })
}

#[derive(Deserialize)]
struct Budget {
    income: f64,
    spending: f64,
    instalment: f64,
}

#[derive(Serialize, Deserialize)]
struct Affordability {
    left_per_month: f64,
    /// Part of what is left; more than 1 is more than there is.
    burden: f64,
}

fn affordability(input: &Budget) -> Result<Affordability, String> {
    let left = input.income - input.spending;
    let burden = if left > 0.0 { (input.instalment / left).min(10.0) } else { 10.0 };
    Ok(Affordability { left_per_month: cents(left), burden: cents(burden) })
}

#[derive(Deserialize)]
struct Judged {
    credit: Credit,
    affordability: Affordability,
}

#[derive(Serialize)]
struct Decision {
    approved: bool,
    reasons: Vec<String>,
}

fn decide(input: &Judged) -> Result<Decision, String> {
    let mut reasons = Vec::new();
    if input.credit.score < MIN_SCORE {
        reasons.push(format!("the score {} is below {MIN_SCORE}", input.credit.score));
    }
    if input.affordability.burden > MAX_BURDEN {
        reasons.push(format!(
            "the instalment takes {} of what is left, more than {MAX_BURDEN}",
            input.affordability.burden
        ));
    }
    Ok(Decision { approved: reasons.is_empty(), reasons })
}

fn cents(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(payments: &[u32], burden: f64) -> Decision {
        let credit = credit(&History { payments: payments.to_vec() }).unwrap();
        decide(&Judged { credit, affordability: Affordability { left_per_month: 1.0, burden } }).unwrap()
    }

    #[test]
    fn an_instalment_is_that_of_an_annuity() {
        let text = r#"{"application": {"applicant": "x", "amount": 10000, "years": 1, "yearly_rate_percent": 12,
            "income": 1, "spending": 0, "payments_late_days": []}}"#;
        let mut input: Review = serde_json::from_str(text).unwrap();
        assert_eq!(review(&input).unwrap().instalment, 888.49);
        input.application.yearly_rate_percent = 0.0;
        assert_eq!(review(&input).unwrap().instalment, 833.33);
        input.application.years = 0;
        assert!(review(&input).is_err());
    }

    #[test]
    fn both_judgements_must_be_good() {
        assert!(decision(&[0, 0, 0], 0.6).approved);
        assert_eq!(decision(&[0, 30], 0.6).reasons, ["the score 560 is below 620"]);
        assert_eq!(decision(&[30], 0.61).reasons.len(), 2);
        let broke = affordability(&Budget { income: 1.0, spending: 2.0, instalment: 1.0 }).unwrap();
        assert_eq!((broke.left_per_month, broke.burden), (-1.0, 10.0));
    }
}
