//! The commit rate over the last minute, as this page saw it, as a line no higher than a word.

use std::fmt::Write;

use leptos::prelude::*;

use crate::{
    live::{RATE_SAMPLES, use_live},
    reactive::memo,
    words::per_second,
};

const HEIGHT: f64 = 22.0;

/// The line's path, the newest sample at the right edge; empty with fewer than two samples, and where nothing
/// was committed at all.
fn path(rates: impl ExactSizeIterator<Item = f64> + Clone) -> String {
    let mut path = String::new();
    let count = rates.len();
    let highest = rates.clone().fold(0.0, f64::max);
    if count < 2 || highest <= 0.0 {
        return path;
    }
    for (place, rate) in rates.enumerate() {
        let x = RATE_SAMPLES - count + place;
        let y = HEIGHT - 2.0 - (HEIGHT - 4.0) * rate / highest;
        // Writing to a string does not fail.
        let _ = write!(path, "{}{x} {y:.1}", if place == 0 { 'M' } else { 'L' });
    }
    path
}

#[component]
pub fn Spark() -> impl IntoView {
    let live = use_live();
    let drawn = memo(move || path(live.rates().iter().copied()));
    let label = memo(move || {
        let rates = live.rates();
        format!(
            "commit rate over the last minute, at most {}",
            per_second(rates.iter().copied().fold(0.0, f64::max))
        )
    });
    view! {
        <svg
            class="spark"
            viewBox=format!("0 0 {} {HEIGHT}", RATE_SAMPLES - 1)
            preserveAspectRatio="none"
            role="img"
            aria-label=move || label.get()
        >
            <path d=move || drawn.get() />
        </svg>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_is_no_line_and_the_newest_is_at_the_right() {
        assert_eq!(path([3.0].into_iter()), "");
        assert_eq!(path([0.0, 10.0].into_iter()), "M58 20.0L59 2.0");
    }

    #[test]
    fn a_minute_without_a_commit_has_no_line() {
        assert_eq!(path([0.0, 0.0].into_iter()), "");
    }
}
