//! Times as they are read best: µs, ms or s by their magnitude.
//!
//! Every unit takes two places, so that in a column that is aligned to the right units stand below units.

use std::time::Duration;

/// To the microsecond, which is the resolution of the nodes' clocks, and with a sign.
pub(crate) fn offset(ms: f64) -> String {
    // Adding zero makes a negative zero positive.
    let us = (ms * 1e3).round() + 0.0;
    let magnitude_us = us.abs();
    if magnitude_us < 1e3 {
        with_unit(&format!("{us:+.0}"), "µs")
    } else if magnitude_us < 1e6 {
        with_unit(&format!("{:+.3}", us / 1e3), "ms")
    } else {
        with_unit(&format!("{:+.6}", us / 1e6), "s")
    }
}

/// An offset that somebody chose: without zeros after the point, and for the middle of a sentence.
pub(crate) fn chosen_offset(ms: f64) -> String {
    let text = offset(ms);
    match text.trim_end().split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}")
        }
        _ => text.trim_end().to_owned(),
    }
}

/// A length of time, to three digits.
pub(crate) fn span(ms: f64) -> String {
    rounded(ms, f64::round)
}

pub(crate) fn whole_span(ms: u64) -> String {
    span(Duration::from_millis(ms).as_secs_f64() * 1e3)
}

/// As [`span`], but rounded up: a bound that looked narrower than it is would claim too much.
pub(crate) fn bound(ms: f64) -> String {
    rounded(ms, up)
}

/// Parts per million, with a sign.
pub(crate) fn ppm(drift_ppm: f64) -> String {
    let hundredths = (drift_ppm * 1e2).round() + 0.0;
    format!("{:+.2}", hundredths / 1e2)
}

/// Rounded up, as every bound.
pub(crate) fn ppm_bound(bound_ppm: f64) -> String {
    three_digits(bound_ppm, up)
}

/// So many a second, to three digits; nothing at all is 0.
pub(crate) fn rate(per_s: f64) -> String {
    if per_s <= 0.0 {
        "0".to_owned()
    } else {
        three_digits(per_s, f64::round)
    }
}

fn rounded(ms: f64, round: fn(f64) -> f64) -> String {
    let us = round(ms * 1e3);
    if us < 1e3 {
        with_unit(&format!("{us:.0}"), "µs")
    } else if round(ms) < 1e3 {
        with_unit(&three_digits(ms, round), "ms")
    } else {
        with_unit(&three_digits(ms / 1e3, round), "s")
    }
}

fn three_digits(value: f64, round: fn(f64) -> f64) -> String {
    let (decimals, scale) = match value {
        value if round(value * 1e2) < 1e3 => (2, 1e2),
        value if round(value * 1e1) < 1e3 => (1, 1e1),
        _ => (0, 1.0),
    };
    format!("{:.decimals$}", round(value * scale) / scale)
}

/// What arithmetic on binary fractions adds is not rounded up.
fn up(value: f64) -> f64 {
    (value - 1e-6).ceil() + 0.0
}

fn with_unit(number: &str, unit: &str) -> String {
    format!("{number} {unit:<2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_has_a_sign_a_fitting_unit_and_microseconds() {
        let check = |ms, expected: &str| assert_eq!(offset(ms), expected);
        check(0.0, "+0 µs");
        check(-0.000_4, "+0 µs");
        check(0.014, "+14 µs");
        check(-0.999_4, "-999 µs");
        check(-0.999_6, "-1.000 ms");
        check(250.013, "+250.013 ms");
        check(999.999_7, "+1.000000 s ");
        check(-5_000.25, "-5.000250 s ");
    }

    #[test]
    fn what_was_chosen_is_said_as_it_was_chosen() {
        let check = |ms, expected: &str| assert_eq!(chosen_offset(ms), expected);
        check(0.0, "+0 µs");
        check(0.1, "+100 µs");
        check(250.0, "+250 ms");
        check(251.2, "+251.2 ms");
        check(-10_000.0, "-10 s");
    }

    #[test]
    fn a_span_has_three_digits_and_a_bound_is_rounded_up() {
        let check = |ms, expected: (&str, &str)| assert_eq!((&*span(ms), &*bound(ms)), expected);
        check(0.0, ("0 µs", "0 µs"));
        check(0.000_2, ("0 µs", "1 µs"));
        check(0.014, ("14 µs", "14 µs"));
        check(0.014_2, ("14 µs", "15 µs"));
        check(0.999_4, ("999 µs", "1.00 ms"));
        check(1.234, ("1.23 ms", "1.24 ms"));
        check(9.996, ("10.0 ms", "10.0 ms"));
        check(99.91, ("99.9 ms", "100 ms"));
        check(999.2, ("999 ms", "1.00 s "));
        check(3_600_000.0, ("3600 s ", "3600 s "));
        assert_eq!(whole_span(210), "210 ms");
    }

    #[test]
    fn a_rate_has_three_digits() {
        let check = |per_s, expected: &str| assert_eq!(rate(per_s), expected);
        check(0.0, "0");
        check(-0.0, "0");
        check(0.126, "0.13");
        check(12.34, "12.3");
        check(98_765.4, "98765");
    }

    #[test]
    fn drift_is_in_parts_per_million() {
        assert_eq!(ppm(-0.001), "+0.00");
        assert_eq!(ppm(-30.016), "-30.02");
        assert_eq!(ppm_bound(0.121), "0.13");
        assert_eq!(ppm_bound(48_211.3), "48212");
    }
}
