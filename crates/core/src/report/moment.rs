//! Moments, spans and sizes as text.

use crate::time::Timestamp;

/// A moment as RFC 3339 has it, in UTC with microseconds: `2026-01-31T23:59:59.000001Z`. Years outside 0 to 9999, which
/// RFC 3339 cannot write, get a sign and more digits as in ISO 8601.
#[must_use]
pub fn rfc3339(moment: Timestamp) -> String {
    const MICROS_PER_DAY: i64 = 86_400_000_000;
    let (days, in_day) = (moment.as_micros().div_euclid(MICROS_PER_DAY), moment.as_micros().rem_euclid(MICROS_PER_DAY));
    let (year, month, day) = civil(days);
    let (seconds, micros) = (in_day / 1_000_000, in_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let year = if (0..=9999).contains(&year) { format!("{year:04}") } else { format!("{year:+07}") };
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Reads a moment as RFC 3339 has it, `2026-01-31T23:59:59Z` or `2026-02-01T01:59:59.5+02:00`; digits beyond microseconds
/// are dropped. `None` for what is not one.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = text.get(from..from + len).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse().ok()
    };
    let is = |at: usize, any: &[u8]| text.as_bytes().get(at).is_some_and(|byte| any.contains(byte)).then_some(());
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    [(4, b"--"), (7, b"--"), (10, b"Tt"), (13, b"::"), (16, b"::")].iter().try_for_each(|(at, any)| is(*at, *any))?;
    let days = days_from_civil(year, month, day);
    if civil(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = text.get(19..)?;
    let fraction =
        rest.strip_prefix('.').map_or("", |rest| &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()]);
    let zone = if rest.starts_with('.') { &rest[1 + fraction.len()..] } else { rest };
    if rest.starts_with('.') && fraction.is_empty() {
        return None;
    }
    let micros: i64 = format!("{:0<6}", fraction.get(..6).unwrap_or(fraction)).parse().ok()?;
    let at = text.len() - zone.len();
    let ahead = match (zone, zone.chars().next()?) {
        ("Z" | "z", _) => 0,
        (_, sign @ ('+' | '-')) if zone.len() == 6 && is(at + 3, b":").is_some() => {
            let minutes = number(at + 1, 2)? * 60 + number(at + 4, 2)?;
            if sign == '+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let seconds = days * 86_400 + hour * 3600 + (minute - ahead) * 60 + second;
    Some(Timestamp::from_micros(seconds * 1_000_000 + micros))
}

/// A span for people, such as `850 ms`, `12.3 s`, `4 m 12 s` or `2 h 04 m`.
#[must_use]
pub fn human_seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if !s.is_finite() || s < 0.0 => "?".into(),
        s if s < 0.000_5 => "0 s".into(),
        s if s < 0.999_5 => format!("{:.0} ms", s * 1000.0),
        s if s < 9.995 => format!("{s:.2} s"),
        s if s < 59.95 => format!("{s:.1} s"),
        _ if whole < 3600 => format!("{} m {:02} s", whole / 60, whole % 60),
        _ if whole < 86_400 => format!("{} h {:02} m", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole / 3600 % 24),
    }
}

/// A size for people, such as `512 B`, `8.0 KiB` or `3.4 MiB`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", units[unit])
}

/// A share as data: none where the whole is nothing, never infinite.
pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole).filter(|share| share.is_finite())
}

/// Year, month and day of a number of days since 1970-01-01 in the proleptic Gregorian calendar: counts in eras of 400
/// years that begin on 1 March, so that the leap day is the last of its year.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // since 0000-03-01
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + (month <= 2) as i64;
    (year, month, day)
}

/// The inverse of [`civil`]; a date that does not exist gives the day that it spills over to.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - (month <= 2) as i64;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(micros: i64) -> String {
        rfc3339(Timestamp::from_micros(micros))
    }

    #[test]
    fn known_moments() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(text(951_782_400_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(text(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
        assert_eq!(text(4_107_542_399_000_000), "2100-02-28T23:59:59.000000Z");
        assert_eq!(text(4_107_542_400_000_000), "2100-03-01T00:00:00.000000Z");
        assert_eq!(text(253_402_300_799_999_999), "9999-12-31T23:59:59.999999Z");
        assert_eq!(text(253_402_300_800_000_000), "+010000-01-01T00:00:00.000000Z");
        assert!(text(i64::MAX).starts_with("+294247-01-10T"));
        assert!(text(i64::MIN).starts_with("-290308-12-21T"));
    }

    #[test]
    fn spans_for_people() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.001, "1 ms"),
            (0.25, "250 ms"),
            (0.0004, "0 s"),
            (0.999_6, "1.00 s"),
            (3.214, "3.21 s"),
            (9.999, "10.0 s"),
            (59.96, "1 m 00 s"),
            (252.4, "4 m 12 s"),
            (3599.7, "1 h 00 m"),
            (7_440.0, "2 h 04 m"),
            (200_000.0, "2 d 07 h"),
            (f64::NAN, "?"),
            (f64::INFINITY, "?"),
        ] {
            assert_eq!(human_seconds(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"), (u64::MAX, "17179869184.0 GiB")]
        {
            assert_eq!(human_bytes(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn moments_are_read_with_their_zone() {
        for (moment, same) in [
            ("2026-01-31T08:00:00Z", "2026-01-31T10:00:00+02:00"),
            ("2026-01-31T00:10:00.25Z", "2026-01-30T23:40:00.2500009-00:30"),
            ("2024-02-29t00:00:00z", "2024-02-29T00:00:00.000000Z"),
        ] {
            assert!(parse_rfc3339(moment).is_some(), "{moment}");
            assert_eq!(parse_rfc3339(moment), parse_rfc3339(same), "{moment}");
        }
        let wrong = ["", "2026-01-31", "2026-01-31T08:00:00", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z"];
        let odd =
            ["2026-01-31T24:00:00Z", "2026-01-31T08:00:00.Z", "2026-01-31T08:00:00+2:00", "2026-01-31 08:00:00Z", "é"];
        for text in wrong.iter().chain(&odd) {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_moment_that_was_written_is_read_again(micros in 0_i64..253_402_300_800_000_000) {
            prop_assert_eq!(parse_rfc3339(&text(micros)), Some(Timestamp::from_micros(micros)));
        }

        #[test]
        fn days_follow_one_another(day in -4_000_000_i64..4_000_000) {
            let (y, m, d) = civil(day);
            let leap = y.rem_euclid(4) == 0 && (y.rem_euclid(100) != 0 || y.rem_euclid(400) == 0);
            let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let next = if d < days[m as usize - 1] { (y, m, d + 1) } else if m < 12 { (y, m + 1, 1) } else { (y + 1, 1, 1) };
            prop_assert_eq!(civil(day + 1), next);
        }

        #[test]
        fn text_sorts_as_the_moments(a in 0_i64..253_402_300_800_000_000, b in 0_i64..253_402_300_800_000_000) {
            prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
        }
    }
}
