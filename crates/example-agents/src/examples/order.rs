//! A business process: an order becomes reserved stock, packages and an invoice. Money in cents.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::Skills;
use super::function::{function, with_file};
use crate::kit::Chunk;

/// From this on, in cents, an order is this much cheaper, in percent.
const DISCOUNT_FROM: u64 = 10_000;
const DISCOUNT_PERCENT: u64 = 5;

const MAX_PACKAGE_GRAMS: u64 = 5_000;

/// What the agent of that name does.
pub(super) fn skills(name: &str) -> Option<Skills> {
    let skills = match name {
        "order-desk" => {
            vec![function(
                "order.validate",
                "Checks an order against the catalogue. Input: order, catalogue.",
                validate,
            )]
        }
        "warehouse" => vec![
            function("stock.reserve", "Takes the goods from stock. Input: lines, catalogue.", reserve),
            function("shipment.plan", "Puts the goods into packages of at most 5 kg. Input: lines.", plan),
        ],
        "accounting" => vec![
            function("order.price", "Net, discount, tax and total. Input: lines, country.", price),
            with_file("invoice.write", "Writes the invoice. Input: number, customer, lines, price, packages.", invoice),
        ],
        _ => return None,
    };
    Some(skills)
}

#[derive(Deserialize)]
struct Ordered {
    order: Order,
    catalogue: BTreeMap<String, Article>,
}

#[derive(Deserialize)]
struct Order {
    number: String,
    customer: String,
    country: String,
    /// Quantity by article.
    articles: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Article {
    name: String,
    price: u64,
    grams: u64,
    stock: u64,
}

#[derive(Serialize)]
struct Valid {
    number: String,
    customer: String,
    country: String,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    article: String,
    name: String,
    quantity: u64,
    price: u64,
    grams: u64,
}

fn validate(input: &Ordered) -> Result<Valid, String> {
    let Order { number, customer, country, articles } = &input.order;
    if articles.is_empty() {
        return Err("the order is empty".into());
    }
    let line = |(article, &quantity): (&String, &u64)| {
        let known = input.catalogue.get(article).ok_or_else(|| format!("there is no article {article:?}"))?;
        if !(1..=1000).contains(&quantity) {
            return Err(format!("{quantity} of {article:?} cannot be ordered, only 1 to 1000"));
        }
        let Article { name, price, grams, .. } = known;
        Ok(Line { article: article.clone(), name: name.clone(), quantity, price: *price, grams: *grams })
    };
    let lines = articles.iter().map(line).collect::<Result<_, _>>()?;
    Ok(Valid { number: number.clone(), customer: customer.clone(), country: country.clone(), lines })
}

#[derive(Deserialize)]
struct Goods {
    lines: Vec<Line>,
    catalogue: BTreeMap<String, Article>,
}

#[derive(Serialize)]
struct Reserved {
    reserved: BTreeMap<String, u64>,
    left: BTreeMap<String, u64>,
}

fn reserve(input: &Goods) -> Result<Reserved, String> {
    let mut reserved = BTreeMap::new();
    let mut left: BTreeMap<String, u64> = input.catalogue.iter().map(|(id, a)| (id.clone(), a.stock)).collect();
    for Line { article, quantity, .. } in &input.lines {
        let stock = left.get_mut(article).ok_or_else(|| format!("there is no article {article:?}"))?;
        *stock = stock.checked_sub(*quantity).ok_or_else(|| format!("only {stock} of {article:?} are left"))?;
        reserved.insert(article.clone(), *quantity);
    }
    Ok(Reserved { reserved, left })
}

#[derive(Deserialize)]
struct Lines {
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Shipment {
    /// The weight of each in grams.
    packages: Vec<u64>,
}

/// Piece by piece, the heaviest first, each into the first package that has room.
fn plan(input: &Lines) -> Result<Shipment, String> {
    let mut pieces: Vec<u64> =
        input.lines.iter().flat_map(|line| std::iter::repeat_n(line.grams, line.quantity as usize)).collect();
    pieces.sort_unstable_by(|a, b| b.cmp(a));
    let mut packages: Vec<u64> = Vec::new();
    for piece in pieces {
        match packages.iter_mut().find(|package| **package + piece <= MAX_PACKAGE_GRAMS) {
            Some(package) => *package += piece,
            None if piece <= MAX_PACKAGE_GRAMS => packages.push(piece),
            None => return Err(format!("a piece of {piece} g fits into no package")),
        }
    }
    Ok(Shipment { packages })
}

#[derive(Deserialize)]
struct Priced {
    lines: Vec<Line>,
    country: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Price {
    net: u64,
    discount: u64,
    tax_percent: u64,
    tax: u64,
    total: u64,
}

fn price(input: &Priced) -> Result<Price, String> {
    let tax_percent = match input.country.as_str() {
        "DE" => 19,
        "FR" | "AT" => 20,
        "CH" | "US" => 0,
        other => return Err(format!("the tax of {other:?} is not known")),
    };
    let net = input.lines.iter().map(|line| line.quantity * line.price).sum();
    let discount = if net >= DISCOUNT_FROM { net * DISCOUNT_PERCENT / 100 } else { 0 };
    let tax = ((net - discount) * tax_percent + 50) / 100;
    Ok(Price { net, discount, tax_percent, tax, total: net - discount + tax })
}

#[derive(Deserialize)]
struct Due {
    number: String,
    customer: String,
    lines: Vec<Line>,
    price: Price,
    packages: Vec<u64>,
}

#[derive(Serialize)]
struct Invoice {
    number: String,
    total: String,
}

fn invoice(input: &Due) -> Result<(Invoice, Chunk), String> {
    let Due { number, customer, lines, price, packages } = input;
    let mut text = format!("Invoice {number}\n{customer}\n\n");
    for Line { name, quantity, price, .. } in lines {
        let _ = writeln!(text, "{quantity:>5} × {name:<24} {:>12}", money(quantity * price));
    }
    let sums = [("net", price.net), ("discount", price.discount), ("tax", price.tax), ("total", price.total)];
    text.push('\n');
    for (name, cents) in sums {
        let _ = writeln!(text, "{:>32} {:>12}", name, money(cents));
    }
    let _ = writeln!(text, "\nSent in {} packages, {} g", packages.len(), packages.iter().sum::<u64>());
    let invoice = Invoice { number: number.clone(), total: money(price.total) };
    Ok((invoice, Chunk::text("invoice.txt", "text/plain", text)))
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(quantity: u64, price: u64, grams: u64) -> Line {
        Line { article: "a".into(), name: "A".into(), quantity, price, grams }
    }

    #[test]
    fn a_total_is_net_less_discount_and_tax() {
        let total =
            |quantity, country: &str| price(&Priced { lines: vec![line(quantity, 999, 1)], country: country.into() });
        let small = Price { net: 9_990, discount: 0, tax_percent: 19, tax: 1_898, total: 11_888 };
        assert_eq!(total(10, "DE"), Ok(small));
        let large = Price { net: 10_989, discount: 549, tax_percent: 0, tax: 0, total: 10_440 };
        assert_eq!(total(11, "CH"), Ok(large));
        assert!(total(1, "XX").is_err());
        assert_eq!(money(10_405), "104.05");
    }

    #[test]
    fn packages_have_room() {
        let packed = |lines| plan(&Lines { lines }).map(|shipment| shipment.packages);
        assert_eq!(packed(vec![line(3, 1, 2_000), line(1, 1, 1_000)]), Ok(vec![5_000, 2_000]));
        assert!(packed(vec![line(1, 1, 6_000)]).is_err());
    }

    #[test]
    fn more_than_the_stock_is_refused() {
        let article = || Article { name: "A".into(), price: 1, grams: 1, stock: 3 };
        let catalogue = || BTreeMap::from([("a".to_owned(), article())]);
        let left = |quantity| reserve(&Goods { lines: vec![line(quantity, 1, 1)], catalogue: catalogue() });
        assert_eq!(left(2).unwrap().left["a"], 1);
        assert_eq!(left(4).err().unwrap(), "only 3 of \"a\" are left");
    }
}
