//! A moment as it is said on a command line: a date, Unix seconds, or how long ago.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use wiber_protocol::line::parse_seconds;

/// Microseconds since the Unix epoch. What is said as long ago counts back from now by this machine's clock.
pub(crate) fn since(text: &str) -> Result<i64, &'static str> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    at(text, now)
}

/// A length of time with its unit, such as `10m`; without one it is seconds.
pub(crate) fn length(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "no time such as 500ms, 10s, 5m, 2h or 1d";
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_secs = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(WRONG),
    };
    let number: f64 = number.parse().map_err(|_| WRONG)?;
    Duration::try_from_secs_f64(number * unit_secs).map_err(|_| WRONG)
}

fn at(text: &str, now: Duration) -> Result<i64, &'static str> {
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Ok(date.timestamp_micros());
    }
    if let Ok(us) = parse_seconds(text) {
        return Ok(us);
    }
    let back = length(text)
        .map_err(|_| "no date such as 2026-11-27T14:38:30Z, no Unix seconds, and no time back such as 10m")?;
    let us = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    Ok(us(now).saturating_sub(us(back)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_unix_seconds_or_how_long_ago() {
        let check =
            |text, expected| assert_eq!(at(text, Duration::from_secs(1_000_000)), Ok(expected), "{text}");
        check("1970-01-01T01:00:00.5+01:00", 500_000);
        check("2026-11-27T14:38:30Z", 1_795_790_310_000_000);
        check("1795378200.123456", 1_795_378_200_123_456);
        check("17", 17_000_000);
        check("10m", 999_400_000_000);
        check("1.5h", 994_600_000_000);
        check("250ms", 999_999_750_000);
        for wrong in ["", "m", "soon", "10 m", "-10m", "2026-11-27", "1y", "1e400d"] {
            assert!(at(wrong, Duration::ZERO).is_err(), "{wrong}");
        }
    }
}
