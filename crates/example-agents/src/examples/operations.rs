//! The evening run of a shop: sales are cleaned, added up, reported and archived; somebody is told.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::function::{function, with_file};
use super::{Skills, sha256};
use crate::kit::Chunk;

/// What the agent of that name does.
pub(super) fn skills(name: &str) -> Option<Skills> {
    let skills = match name {
        "operations-data" => vec![
            function("operations.clean", "Reads sales, region and amount. Input: csv.", clean),
            function("operations.analyze", "Adds sales up by region. Input: sales.", analyze),
        ],
        "operations-office" => vec![
            function("operations.notify", "Words a message for each recipient. Input: recipients, day.", notify),
            with_file("operations.report", "Writes the report. Input: day, rejected, totals, best.", report),
            function("operations.archive", "Names a report by its content. Input: day, report.", archive),
        ],
        _ => return None,
    };
    Some(skills)
}

#[derive(Deserialize)]
struct Raw {
    csv: String,
}

#[derive(Serialize, Deserialize)]
struct Sale {
    region: String,
    amount: u64,
}

#[derive(Serialize)]
struct Cleaned {
    sales: Vec<Sale>,
    rejected: usize,
}

/// Lines without a region or with no whole number are left out and counted.
fn clean(input: &Raw) -> Result<Cleaned, String> {
    let sale = |line: &str| {
        let (region, amount) = line.split_once(',')?;
        let region = region.trim();
        (!region.is_empty()).then_some(())?;
        Some(Sale { region: region.to_lowercase(), amount: amount.trim().parse().ok()? })
    };
    let lines: Vec<&str> = input.csv.lines().skip(1).filter(|line| !line.trim().is_empty()).collect();
    let sales: Vec<Sale> = lines.iter().filter_map(|line| sale(line)).collect();
    if sales.is_empty() {
        return Err("there are no sales".into());
    }
    Ok(Cleaned { rejected: lines.len() - sales.len(), sales })
}

#[derive(Deserialize)]
struct Sales {
    sales: Vec<Sale>,
}

#[derive(Serialize)]
struct Analysis {
    totals: BTreeMap<String, u64>,
    /// The region that sold most; the first by name of equals.
    best: String,
}

fn analyze(input: &Sales) -> Result<Analysis, String> {
    let mut totals: BTreeMap<String, u64> = BTreeMap::new();
    for Sale { region, amount } in &input.sales {
        let total = totals.entry(region.clone()).or_default();
        *total = total.checked_add(*amount).ok_or_else(|| format!("the sales of {region} are too large to add"))?;
    }
    let best = totals.iter().rev().max_by_key(|(_, total)| **total).ok_or("there are no sales")?.0.clone();
    Ok(Analysis { totals, best })
}

#[derive(Deserialize)]
struct Audience {
    recipients: Vec<String>,
    day: String,
}

#[derive(Serialize)]
struct Messages {
    messages: BTreeMap<String, String>,
}

fn notify(input: &Audience) -> Result<Messages, String> {
    let message = |to: &String| (to.clone(), format!("Dear {to}, the sales of {} are being worked on.", input.day));
    Ok(Messages { messages: input.recipients.iter().map(message).collect() })
}

#[derive(Deserialize)]
struct Findings {
    day: String,
    rejected: usize,
    totals: BTreeMap<String, u64>,
    best: String,
}

#[derive(Serialize)]
struct Report {
    report: String,
    total: u64,
}

fn report(input: &Findings) -> Result<(Report, Chunk), String> {
    let Findings { day, rejected, totals, best } = input;
    let total: u64 = totals.values().sum();
    let mut text = format!("# Sales of {day}\n\n| region | sales |\n|---|--:|\n");
    for (region, sales) in totals {
        let _ = writeln!(text, "| {region} | {sales} |");
    }
    let _ = writeln!(text, "\n{total} in all, most in {best}. {rejected} lines could not be read.");
    let chunk = Chunk::text("report.md", "text/markdown", text.clone());
    Ok((Report { report: text, total }, chunk))
}

#[derive(Deserialize)]
struct Document {
    day: String,
    report: String,
}

#[derive(Serialize)]
struct Archived {
    name: String,
    bytes: usize,
    digest: String,
}

fn archive(input: &Document) -> Result<Archived, String> {
    let digest = sha256(input.report.as_bytes());
    Ok(Archived { name: format!("{}-{}.md", input.day, &digest[..8]), bytes: input.report.len(), digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sales_are_added_up_and_what_cannot_be_read_is_counted() {
        let csv = "region,amount\nNorth,3\n south ,5\n,9\nnorth,two\n\nNORTH,2\n";
        let cleaned = clean(&Raw { csv: csv.into() }).unwrap();
        assert_eq!((cleaned.sales.len(), cleaned.rejected), (3, 2));
        let analysis = analyze(&Sales { sales: cleaned.sales }).unwrap();
        assert_eq!(analysis.totals, BTreeMap::from([("north".into(), 5), ("south".into(), 5)]));
        assert_eq!(analysis.best, "north");
        let findings = Findings { day: "d".into(), rejected: 2, totals: analysis.totals, best: analysis.best };
        let (report, _) = report(&findings).unwrap();
        assert!(report.report.ends_with("10 in all, most in north. 2 lines could not be read.\n"), "{}", report.report);
        assert!(clean(&Raw { csv: "region,amount\n".into() }).is_err());
    }
}
