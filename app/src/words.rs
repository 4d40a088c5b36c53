//! How numbers, ages and times are written, the same everywhere on the page. Pure functions.
//!
//! A number and its unit never part at the end of a line: they are joined by a no-break space.

/// U+00A0, between a number and its unit.
pub const NBSP: char = '\u{a0}';

/// `4818286` as `4,818,286`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A long position in two parts: the head that hardly changes, and the moving tail of three digits.
pub fn head_and_tail(number: u64) -> (String, String) {
    let text = grouped(number);
    let split = text.len().saturating_sub(3);
    (text[..split].to_owned(), text[split..].to_owned())
}

/// A span of time in its two largest units: `41 s`, `3 min 50 s`, `2 h 17 min`, `3 d 4 h`.
pub fn duration(ms: u64) -> String {
    let s = ms / 1_000;
    let (days, hours, minutes, seconds) = (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60);
    let (large, small) = match (days, hours, minutes) {
        (0, 0, 0) => return format!("{seconds}{NBSP}s"),
        (0, 0, _) => ((minutes, "min"), (seconds, "s")),
        (0, _, _) => ((hours, "h"), (minutes, "min")),
        _ => ((days, "d"), (hours, "h")),
    };
    let mut text = format!("{}{NBSP}{}", large.0, large.1);
    if small.0 > 0 {
        text = format!("{text} {}{NBSP}{}", small.0, small.1);
    }
    text
}

/// How old something is: tenths of a second below ten seconds, then as [`duration`].
pub fn age(ms: u64) -> String {
    if ms < 10_000 {
        format!("{}.{}{NBSP}s", ms / 1_000, ms / 100 % 10)
    } else {
        duration(ms)
    }
}

/// `7_900_000_000` as `7.9 GB`, in powers of ten.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1_000 {
        return format!("{count}{NBSP}B");
    }
    let mut unit = 0;
    let mut scaled = count / 100;
    while scaled >= 10_000 && unit + 1 < UNITS.len() {
        scaled /= 1_000;
        unit += 1;
    }
    if scaled >= 100 {
        format!("{}{NBSP}{}", scaled / 10, UNITS[unit])
    } else {
        format!("{}.{}{NBSP}{}", scaled / 10, scaled % 10, UNITS[unit])
    }
}

/// A position for little room: `4.8 M`, `120 k`, `59`.
pub fn compact(number: u64) -> String {
    let (scaled, unit) = match number {
        0..10_000 => return grouped(number),
        10_000..1_000_000 => (number / 100, 'k'),
        1_000_000..1_000_000_000 => (number / 100_000, 'M'),
        _ => (number / 100_000_000, 'G'),
    };
    if scaled >= 100 {
        format!("{}{NBSP}{unit}", scaled / 10)
    } else {
        format!("{}.{}{NBSP}{unit}", scaled / 10, scaled % 10)
    }
}

/// Milliseconds with two or three telling digits: `0.071`, `0.71`, `6.8`, `132`.
pub fn millis(ms: f64) -> String {
    if ms < 0.1 {
        format!("{ms:.3}")
    } else if ms < 2.0 {
        format!("{ms:.2}")
    } else if ms < 100.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

/// A clock's offset and its bound: `+0.012 ± 0.014 ms`. Always milliseconds, with as many decimals as the bound
/// is worth, and the bound rounded up, so that what is written still holds the truth.
pub fn offset_and_bound(offset_ms: f64, bound_ms: f64) -> String {
    let (offset, bound) = offset_parts(offset_ms, bound_ms);
    format!("{offset} {bound}{NBSP}ms")
}

/// The same in its two halves, `+0.012` and `± 0.014`, for where the unit stands elsewhere.
pub fn offset_parts(offset_ms: f64, bound_ms: f64) -> (String, String) {
    let decimals = offset_decimals(offset_ms, bound_ms);
    let bound = up_to(bound_ms, decimals);
    (
        signed(offset_ms, decimals),
        format!("±{NBSP}{}", fixed(bound, decimals)),
    )
}

fn offset_decimals(offset_ms: f64, bound_ms: f64) -> usize {
    match bound_ms {
        ..0.05 => 3,
        _ if offset_ms.abs() >= 100.0 => 1,
        ..0.1 => 3,
        ..1.0 => 2,
        _ => 1,
    }
}

/// A number with its sign, `+4.93` or `−0.04`; what rounds to nothing is `+0.00`.
pub fn signed(number: f64, decimals: usize) -> String {
    let digits = fixed(number.abs(), decimals);
    let is_nothing = digits.bytes().all(|digit| matches!(digit, b'0' | b'.'));
    format!("{}{digits}", if number < 0.0 && !is_nothing { '−' } else { '+' })
}

/// A size without a sign, its thousands grouped.
fn fixed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    match whole.parse() {
        Ok(whole) => format!("{}{rest}", grouped(whole)),
        Err(_) => text,
    }
}

/// The next number upward with so many decimals; a last digit that only arithmetic made does not count.
fn up_to(number: f64, decimals: usize) -> f64 {
    let scale = [1.0, 10.0, 100.0, 1_000.0][decimals.min(3)];
    // Without `+ 0.0` a zero would be a negative one.
    ((number * scale - 1e-6).ceil() + 0.0) / scale
}

/// How far two clocks are apart, in the unit that suits: `8.4 µs`, `14 µs`, `4.93 ms`, `250.0 ms`, `5.000 s`.
pub fn apart(ms: f64) -> String {
    let ms = ms.abs();
    match ms {
        ..0.00995 => format!("{:.1}{NBSP}µs", ms * 1_000.0),
        ..0.9995 => format!("{:.0}{NBSP}µs", ms * 1_000.0),
        ..99.995 => format!("{ms:.2}{NBSP}ms"),
        ..999.95 => format!("{ms:.1}{NBSP}ms"),
        ..120_000.0 => format!("{:.3}{NBSP}s", ms / 1_000.0),
        _ => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a size, and beyond the largest whole number it is that number"
            )]
            let whole = ms as u64;
            duration(whole)
        }
    }
}

/// A bound as a sentence says it, rounded up: `± 14 µs`.
pub fn within(bound_ms: f64) -> String {
    let whole_us = up_to(bound_ms * 1_000.0, 0) / 1_000.0;
    let bound_ms = if bound_ms < 1.0 {
        whole_us
    } else {
        up_to(bound_ms, 2)
    };
    format!("±{NBSP}{}", apart(bound_ms))
}

/// `5.000 s ahead of`, `12 µs behind`: somebody's name follows.
pub fn ahead_of_or_behind(ms: f64) -> String {
    format!("{} {}", apart(ms), if ms < 0.0 { "behind" } else { "ahead of" })
}

/// `5.000 s ahead`, `12 µs behind`.
pub fn ahead_or_behind(ms: f64) -> String {
    format!("{} {}", apart(ms), if ms < 0.0 { "behind" } else { "ahead" })
}

/// A rate per second: `12,480/s`, and `0.4/s` where a whole number would say nothing.
pub fn per_second(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 {
        return format!("{rate:.1}/s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of records, rounded"
    )]
    let whole = rate.max(0.0).round() as u64;
    format!("{}/s", grouped(whole))
}

/// `n1`, `n1 and n2`, `n1, n2 and n3`.
pub fn list<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// `1 entry`, `11 entries`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{}{NBSP}{}", grouped(count), if count == 1 { one } else { many })
}

/// A small count as a word, to stand in a sentence.
pub fn count_word(count: usize) -> String {
    const WORDS: [&str; 10] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ];
    WORDS
        .get(count)
        .map_or_else(|| count.to_string(), |word| (*word).to_owned())
}

/// The same with a capital, to open a sentence.
pub fn count_word_capital(count: usize) -> String {
    let word = count_word(count);
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The time of day, `11:58:12.604`, of a moment in milliseconds since the Unix epoch, `offset_min` minutes
/// east of UTC.
pub fn time_of_day(at_ms: i64, offset_min: i32) -> String {
    let ms = (at_ms + i64::from(offset_min) * 60_000).rem_euclid(86_400_000);
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1_000 % 60,
        ms % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_grouped_and_split_before_the_moving_digits() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(4_818_286), "4,818,286");
        assert_eq!(compact(4_818_286), "4.8\u{a0}M");
        assert_eq!(compact(12_345), "12\u{a0}k");
        assert_eq!(compact(9_999), "9,999");
        assert_eq!(head_and_tail(4_818_286), ("4,818,".to_owned(), "286".to_owned()));
        assert_eq!(head_and_tail(42), (String::new(), "42".to_owned()));
    }

    #[test]
    fn spans_are_told_in_their_two_largest_units() {
        assert_eq!(duration(41_900), "41\u{a0}s");
        assert_eq!(duration(230_000), "3\u{a0}min 50\u{a0}s");
        assert_eq!(duration(240_000), "4\u{a0}min");
        assert_eq!(duration(8_220_000), "2\u{a0}h 17\u{a0}min");
        assert_eq!(duration(273_600_000), "3\u{a0}d 4\u{a0}h");
    }

    #[test]
    fn ages_have_tenths_only_while_they_matter() {
        assert_eq!(age(80), "0.0\u{a0}s");
        assert_eq!(age(1_250), "1.2\u{a0}s");
        assert_eq!(age(12_000), "12\u{a0}s");
    }

    #[test]
    fn sizes_and_rates_keep_two_telling_digits() {
        assert_eq!(bytes(999), "999\u{a0}B");
        assert_eq!(bytes(1_250), "1.2\u{a0}kB");
        assert_eq!(bytes(64_000_000), "64\u{a0}MB");
        assert_eq!(bytes(7_900_000_000), "7.9\u{a0}GB");
        assert_eq!(bytes(999_950), "999\u{a0}kB");
        assert_eq!(per_second(12_479.6), "12,480/s");
        assert_eq!(per_second(0.4), "0.4/s");
        assert_eq!(per_second(0.0), "0/s");
        assert_eq!(millis(0.071), "0.071");
        assert_eq!(millis(0.714), "0.71");
        assert_eq!(millis(6.81), "6.8");
        assert_eq!(millis(132.4), "132");
    }

    #[test]
    fn an_offset_has_as_many_decimals_as_its_bound_is_worth() {
        let told = |offset, bound| offset_and_bound(offset, bound).replace(NBSP, " ");
        assert_eq!(told(0.012, 0.014), "+0.012 ± 0.014 ms");
        assert_eq!(told(250.0, 0.1), "+250.0 ± 0.1 ms");
        assert_eq!(told(250.0, 0.000_4), "+250.000 ± 0.001 ms", "never ± 0");
        assert_eq!(told(-0.04, 0.28), "−0.04 ± 0.28 ms");
        assert_eq!(told(5_000.02, 0.2), "+5,000.0 ± 0.2 ms");
        assert_eq!(told(-0.000_2, 0.01), "+0.000 ± 0.010 ms");
        assert_eq!(told(0.0, 0.0), "+0.000 ± 0.000 ms");
        assert_eq!(told(3.0, 12.01), "+3.0 ± 12.1 ms", "a bound is rounded up");
    }

    #[test]
    fn a_distance_takes_the_unit_that_suits() {
        let told = |ms| apart(ms).replace(NBSP, " ");
        assert_eq!(told(0.008_4), "8.4 µs");
        assert_eq!(told(-0.014), "14 µs");
        assert_eq!(told(4.93), "4.93 ms");
        assert_eq!(told(250.0), "250.0 ms");
        assert_eq!(told(5_000.0), "5.000 s");
        assert_eq!(told(864_000_000.0), "10 d");
        assert_eq!(within(0.013_2).replace(NBSP, " "), "± 14 µs");
        assert_eq!(within(0.014).replace(NBSP, " "), "± 14 µs");
        assert_eq!(within(2.001).replace(NBSP, " "), "± 2.01 ms");
        assert_eq!(ahead_of_or_behind(-0.25).replace(NBSP, " "), "250 µs behind");
        assert_eq!(ahead_of_or_behind(0.25).replace(NBSP, " "), "250 µs ahead of");
        assert_eq!(ahead_or_behind(-5_000.0).replace(NBSP, " "), "5.000 s behind");
    }

    #[test]
    fn names_and_counts_read_as_a_sentence() {
        assert_eq!(list(&["n1"]), "n1");
        assert_eq!(list(&["n1", "n2", "n3"]), "n1, n2 and n3");
        assert_eq!(counted(1, "entry", "entries"), "1\u{a0}entry");
        assert_eq!(counted(1_200, "entry", "entries"), "1,200\u{a0}entries");
        assert_eq!(count_word_capital(2), "Two");
        assert_eq!(count_word(12), "12");
    }

    #[test]
    fn the_time_of_day_follows_the_offset_across_midnight() {
        assert_eq!(time_of_day(0, 0), "00:00:00.000");
        assert_eq!(time_of_day(86_399_604, 0), "23:59:59.604");
        assert_eq!(time_of_day(86_399_604, 60), "00:59:59.604");
        assert_eq!(time_of_day(1_000, -1), "23:59:01.000");
    }
}
