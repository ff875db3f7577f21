//! Waiting for a store that is away.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::output::say;

/// How often a store that is away is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks until there is an answer other than that the store is away, as a database is while it starts or moves to another
/// host; says what is waited for. The last answer counts when it was waited for `longest`.
pub async fn patiently<T, E: Display>(
    longest: Duration,
    is_away: impl Fn(&E) -> bool,
    ask: impl AsyncFn() -> Result<T, E>,
) -> Result<T, E> {
    let end = Instant::now() + longest;
    let mut said = String::new();
    loop {
        let error = match ask().await {
            Err(error) if is_away(&error) && Instant::now() + PAUSE < end => error.to_string(),
            answer => return answer,
        };
        if error != said {
            say(format!("waiting for the store, {} s at most: {error}", longest.as_secs()));
            said = error;
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// What is answered after so many times that the store was away, and how often it was asked.
    async fn asked(longest: Duration, away: u32, then: Result<(), &str>) -> (Result<(), &str>, u32) {
        let asked = AtomicU32::new(0);
        let ask = async || if asked.fetch_add(1, Ordering::SeqCst) < away { Err("away") } else { then };
        let answer = patiently(longest, |error| *error == "away", ask).await;
        (answer, asked.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn only_what_is_away_is_waited_for_and_not_without_end() {
        assert_eq!(asked(Duration::from_secs(60), 1, Ok(())).await, (Ok(()), 2));
        assert_eq!(asked(Duration::from_secs(60), 1, Err("broken")).await, (Err("broken"), 2));
        assert_eq!(asked(Duration::ZERO, 9, Ok(())).await, (Err("away"), 1));
        assert_eq!(asked(PAUSE + PAUSE / 2, 9, Ok(())).await, (Err("away"), 2));
    }
}
