//! A journey: bookings from a small table of offers. Prices in whole units.

use serde::{Deserialize, Serialize};

use super::Skills;
use super::function::function;

const FLIGHTS: [(&str, &str, &str, u32); 4] = [
    ("Berlin", "Tokyo", "Morning Air", 780),
    ("Berlin", "Tokyo", "Night Air", 690),
    ("Berlin", "Lisbon", "Morning Air", 140),
    ("Berlin", "Lisbon", "Coast Air", 165),
];

/// City, hotel, district, price of a night for two.
const HOTELS: [(&str, &str, &str, u32); 4] = [
    ("Tokyo", "Garden", "Asakusa", 120),
    ("Tokyo", "Tower", "Shinjuku", 180),
    ("Lisbon", "Hill", "Alfama", 90),
    ("Lisbon", "River", "Belém", 110),
];

/// District, activity, price for one.
const ACTIVITIES: [(&str, &str, u32); 4] = [
    ("Asakusa", "Temple walk", 25),
    ("Shinjuku", "Night view", 30),
    ("Alfama", "Fado evening", 35),
    ("Belém", "Monastery tour", 15),
];

const CAR_PER_DAY: u32 = 45;

/// Four percent of what is insured, but at least so much.
const MIN_PREMIUM: u32 = 20;

/// What the agent of that name does.
pub(super) fn skills(name: &str) -> Option<Skills> {
    let skills = match name {
        "travel-transport" => vec![
            function("flight_booking", "The cheapest flight. Input: trip.", flight),
            function("car_rental", "A car for every two travellers. Input: trip.", car),
        ],
        "travel-stay" => vec![
            function("hotel_booking", "The cheapest hotel, a room for every two travellers. Input: trip.", hotel),
            function("activity_booking", "Something to do near the hotel. Input: trip, hotel.", activity),
            function("travel_insurance", "Insures flight and hotel. Input: flight, hotel.", insurance),
        ],
        _ => return None,
    };
    Some(skills)
}

#[derive(Clone, Deserialize)]
struct Trip {
    from: String,
    to: String,
    nights: u32,
    travellers: u32,
}

impl Trip {
    fn check(&self) -> Result<(), String> {
        let possible = (1..=365).contains(&self.nights) && (1..=100).contains(&self.travellers);
        if possible { Ok(()) } else { Err("a trip has 1 to 365 nights and 1 to 100 travellers".into()) }
    }
}

#[derive(Deserialize)]
struct Request {
    trip: Trip,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Booking {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    district: Option<String>,
    price: u32,
}

fn flight(Request { trip }: &Request) -> Result<Booking, String> {
    trip.check()?;
    let offers = FLIGHTS.iter().filter(|(from, to, ..)| *from == trip.from && *to == trip.to);
    let (.., name, price) = offers
        .min_by_key(|(.., price)| price)
        .ok_or_else(|| format!("there is no flight from {} to {}", trip.from, trip.to))?;
    Ok(Booking { name: (*name).into(), district: None, price: price * trip.travellers })
}

fn hotel(Request { trip }: &Request) -> Result<Booking, String> {
    trip.check()?;
    let offers = HOTELS.iter().filter(|(city, ..)| *city == trip.to);
    let (_, name, district, price) =
        offers.min_by_key(|(.., price)| price).ok_or_else(|| format!("there is no hotel in {}", trip.to))?;
    let price = price * trip.nights * trip.travellers.div_ceil(2);
    Ok(Booking { name: (*name).into(), district: Some((*district).into()), price })
}

fn car(Request { trip }: &Request) -> Result<Booking, String> {
    trip.check()?;
    let cars = trip.travellers.div_ceil(2);
    Ok(Booking { name: format!("{cars} × compact"), district: None, price: CAR_PER_DAY * (trip.nights + 1) * cars })
}

#[derive(Deserialize)]
struct Stay {
    trip: Trip,
    hotel: Booking,
}

fn activity(Stay { trip, hotel }: &Stay) -> Result<Booking, String> {
    trip.check()?;
    let near = ACTIVITIES.iter().find(|(district, ..)| hotel.district.as_deref() == Some(*district));
    let (district, name, price) =
        near.ok_or_else(|| format!("there is nothing to do near the hotel {}", hotel.name))?;
    Ok(Booking { name: (*name).into(), district: Some((*district).into()), price: price * trip.travellers })
}

#[derive(Deserialize)]
struct Insured {
    flight: Booking,
    hotel: Booking,
}

fn insurance(Insured { flight, hotel }: &Insured) -> Result<Booking, String> {
    let premium = ((flight.price + hotel.price) * 4).div_ceil(100).max(MIN_PREMIUM);
    Ok(Booking { name: format!("{} and {}", flight.name, hotel.name), district: None, price: premium })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_is_booked_and_insured() {
        let trip = |to: &str| Trip { from: "Berlin".into(), to: to.into(), nights: 3, travellers: 3 };
        let request = Request { trip: trip("Lisbon") };
        let (flight, hotel) = (flight(&request).unwrap(), hotel(&request).unwrap());
        assert_eq!((flight.name.as_str(), flight.price), ("Morning Air", 420));
        assert_eq!((hotel.name.as_str(), hotel.price), ("Hill", 540));
        assert_eq!(car(&request).unwrap().price, 360);
        assert_eq!(activity(&Stay { trip: trip("Lisbon"), hotel: hotel.clone() }).unwrap().name, "Fado evening");
        assert_eq!(insurance(&Insured { flight, hotel }).unwrap().price, 39);
        assert!(super::flight(&Request { trip: trip("Rome") }).unwrap_err().contains("no flight"));
        assert!(car(&Request { trip: Trip { nights: 0, ..trip("Lisbon") } }).unwrap_err().contains("1 to 365 nights"));
    }
}
