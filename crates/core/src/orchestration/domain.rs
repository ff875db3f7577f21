//! A domain: what runs of one field of work have in common.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{Phase, Preset, Wishes, switch};
use crate::ids::Capability;
use crate::time::Span;

/// What runs of one field of work have in common. As a text: `travel specialists=flight.book,hotel.book quality=GENERIC
/// threshold=0.9 thresholds=accuracy:0.95 session_timeout=30m preset=full phases=quality=off`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// What its runs may ask agents for; empty: anything.
    pub specialists: Vec<Capability>,
    /// The quality domain by which answers are judged.
    pub quality: Option<String>,
    /// What the overall score must reach, 0 to 1.
    pub threshold: Option<f64>,
    /// What single metrics must reach, 0 to 1.
    pub thresholds: BTreeMap<String, f64>,
    /// How long a session lasts in which nothing happens.
    pub session_timeout: Option<Span>,
    /// Which phases are on.
    pub preset: Option<Preset>,
    /// Phases that are on or off whatever the preset.
    pub phases: BTreeMap<Phase, bool>,
}

impl Domain {
    /// What it says about orchestration.
    #[must_use]
    pub fn wishes(&self) -> Wishes {
        Wishes { preset: self.preset, phases: self.phases.clone(), domain: None }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let list = || value.split(',').filter(|item| !item.is_empty());
        match key {
            "specialists" => {
                let read = |item: &str| item.parse().map_err(|error: crate::ids::InvalidName| error.to_string());
                self.specialists = list().map(read).collect::<Result<_, String>>()?;
            }
            "quality" => self.quality = Some(value.to_owned()),
            "threshold" => self.threshold = Some(score(value)?),
            "thresholds" => {
                let one = |item: &str| {
                    let (metric, least) = item.split_once(':').ok_or("a threshold is METRIC:SCORE")?;
                    Ok((metric.to_owned(), score(least)?))
                };
                self.thresholds = list().map(one).collect::<Result<_, String>>()?;
            }
            "session_timeout" => self.session_timeout = Some(Span::parse(value)?),
            "preset" => self.preset = Some(value.parse()?),
            "phases" => self.phases = list().map(switch).collect::<Result<_, String>>()?,
            _ => {
                const KNOWN: &str = "specialists, quality, threshold, thresholds, session_timeout, preset, phases";
                return Err(format!("\"{}\" is not one of: {KNOWN}", key.escape_debug()));
            }
        }
        Ok(())
    }
}

fn score(text: &str) -> Result<f64, String> {
    let read = text.parse().ok().filter(|score| (0.0..=1.0).contains(score));
    read.ok_or_else(|| format!("\"{}\" is not a number from 0 to 1", text.escape_debug()))
}

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let name = words.next().filter(|name| !name.contains('=')).ok_or("a domain begins with its name")?;
        let mut domain = Self { name: name.to_owned(), ..Self::default() };
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("\"{word}\" is not KEY=VALUE"))?;
            domain.set(key, value)?;
        }
        Ok(domain)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, specialists, quality, threshold, thresholds, session_timeout, preset, phases } = self;
        let mut told = String::from(name);
        let mut keep = |key: &str, items: Vec<String>| {
            if !items.is_empty() {
                told.push_str(&format!(" {key}={}", items.join(",")));
            }
        };
        keep("specialists", specialists.iter().map(ToString::to_string).collect());
        keep("quality", quality.iter().cloned().collect());
        keep("threshold", threshold.iter().map(ToString::to_string).collect());
        keep("thresholds", thresholds.iter().map(|(metric, least)| format!("{metric}:{least}")).collect());
        keep("session_timeout", session_timeout.iter().map(ToString::to_string).collect());
        keep("preset", preset.iter().map(ToString::to_string).collect());
        let word = |on: bool| if on { "on" } else { "off" };
        keep("phases", phases.iter().map(|(phase, on)| format!("{phase}={}", word(*on))).collect());
        f.write_str(&told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_text_and_back() {
        let text = "travel specialists=flight.book,hotel.book quality=GENERIC threshold=0.9 thresholds=accuracy:0.95 \
                    session_timeout=30m preset=full phases=quality=off";
        let domain: Domain = text.parse().unwrap();
        assert_eq!(domain.specialists.len(), 2);
        assert_eq!(domain.wishes().phases.get(&Phase::Quality), Some(&false));
        assert_eq!(domain.to_string().parse::<Domain>().unwrap(), domain);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, words) in [
            ("", "begins with its name"),
            ("preset=full", "begins with its name"),
            ("d speed=1", "is not one of: specialists"),
            ("d threshold=1.5", "is not a number from 0 to 1"),
            ("d preset=fast", "is not one of: lightweight, full"),
            ("d phases=quality", "NAME=on or NAME=off"),
            ("d specialists", "is not KEY=VALUE"),
        ] {
            let told = text.parse::<Domain>().unwrap_err();
            assert!(told.contains(words), "{told}");
        }
    }
}
