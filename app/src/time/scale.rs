//! The scale of the clocks: zero in the middle, as wide as the clocks that agree need it. A clock that is far off
//! is not allowed to make the others a dot; it stands at the edge, with an arrow and its value. Pure.

use crate::words::NBSP;

/// A clock that reaches further than this many times what the others need is off the scale.
const FAR: f64 = 4.0;
/// The narrowest scale reaches one microsecond.
const LEAST_REACH_MS: f64 = 0.001;
/// Room beside the outermost interval.
const MARGIN: f64 = 1.15;
/// A scale stays until what it shows is this small a part of it, so that it does not jump to and fro.
const KEEP_FROM: f64 = 0.3;
/// Marks on the scale.
pub const TICKS: usize = 5;
/// From the middle to the reach, in percent; the rest is the edge for what is off the scale.
const HALF: f64 = 42.0;

/// How far an interval reaches from zero, and whether the scale is made for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    pub reach_ms: f64,
    pub agrees: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    reach_ms: f64,
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            reach_ms: LEAST_REACH_MS,
        }
    }
}

impl Scale {
    /// The scale for these, and the same as `before` while that still serves.
    pub fn of(extents: &[Extent], before: Option<Self>) -> Self {
        let needed = needed_ms(extents);
        match before {
            Some(before) if needed <= before.reach_ms && needed > before.reach_ms * KEEP_FROM => before,
            _ => Self {
                reach_ms: round_up(needed),
            },
        }
    }

    pub fn reach_ms(self) -> f64 {
        self.reach_ms
    }

    /// The place of an offset in percent of the width; beyond the edges it stands at the edge.
    pub fn x(self, ms: f64) -> f64 {
        (50.0 + HALF * ms / self.reach_ms).clamp(0.0, 100.0)
    }

    /// Whether an offset is on the scale at all.
    pub fn holds(self, ms: f64) -> bool {
        ms.abs() <= self.reach_ms * 50.0 / HALF
    }

    /// What its two ends mean.
    pub fn ends_ms(self) -> (f64, f64) {
        let end = self.reach_ms * 50.0 / HALF;
        (-end, end)
    }

    /// The marks and what they say; the middle one is zero.
    pub fn ticks(self) -> [(f64, String); TICKS] {
        let (unit, scale) = match self.reach_ms {
            ..1.0 => ("µs", 1_000.0),
            ..1_000.0 => ("ms", 1.0),
            _ => ("s", 0.001),
        };
        [-1.0, -0.5, 0.0, 0.5, 1.0].map(|part| {
            let ms = part * self.reach_ms;
            // A whole number, or one with a half: what the series 1, 2, 5 gives.
            let size = ms.abs() * scale;
            let size = if (size - size.round()).abs() > 0.01 {
                format!("{size:.1}")
            } else {
                format!("{size:.0}")
            };
            let sign = match part {
                ..0.0 => "−",
                0.0 => "",
                _ => "+",
            };
            (self.x(ms), format!("{sign}{size}{NBSP}{unit}"))
        })
    }
}

/// What those that agree need, and of the others those that are not far off. Where none agrees, the nearest counts.
fn needed_ms(extents: &[Extent]) -> f64 {
    let largest = |agreeing: bool| {
        extents
            .iter()
            .filter(move |extent| extent.agrees == agreeing)
            .map(|extent| extent.reach_ms)
    };
    let core = largest(true)
        .reduce(f64::max)
        .or_else(|| largest(false).filter(|reach| *reach > 0.0).reduce(f64::min))
        .unwrap_or(0.0)
        .max(LEAST_REACH_MS);
    let near = largest(false).filter(|reach| *reach <= core * FAR);
    near.fold(core, f64::max) * MARGIN
}

/// To 1, 2 or 5 times a power of ten.
fn round_up(ms: f64) -> f64 {
    let mut decade = LEAST_REACH_MS;
    while decade * 10.0 < ms {
        decade *= 10.0;
    }
    let step = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|step| step * decade >= ms * 0.999_999)
        .unwrap_or(10.0);
    step * decade
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees(reach_ms: f64) -> Extent {
        Extent {
            reach_ms,
            agrees: true,
        }
    }

    fn other(reach_ms: f64) -> Extent {
        Extent {
            reach_ms,
            agrees: false,
        }
    }

    #[test]
    fn microseconds_stay_readable_beside_five_seconds() {
        let scale = Scale::of(&[agrees(0.026), agrees(0.019), other(5_000.1)], None);
        assert!((scale.reach_ms() - 0.05).abs() < 1e-9);
        assert!(!scale.holds(5_000.0));
        assert!((scale.x(5_000.0) - 100.0).abs() < 1e-9);
        assert!((scale.x(-5_000.0)).abs() < 1e-9);
        assert!(scale.holds(0.026) && scale.x(0.026) < 92.0);
    }

    #[test]
    fn one_that_is_a_little_off_is_drawn_where_it_is() {
        let scale = Scale::of(&[agrees(0.4), other(1.5)], None);
        assert!(scale.holds(1.5));
        assert!((scale.x(0.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn where_none_agrees_the_nearest_makes_the_scale() {
        let scale = Scale::of(&[other(0.0), other(250.1), other(5_000.0)], None);
        assert!(scale.holds(250.1) && !scale.holds(5_000.0));
    }

    #[test]
    fn a_scale_that_serves_stays() {
        let before = Scale::of(&[agrees(0.04)], None);
        assert_eq!(Scale::of(&[agrees(0.02)], Some(before)), before);
        assert_ne!(Scale::of(&[agrees(0.01)], Some(before)), before);
        assert_ne!(Scale::of(&[agrees(0.06)], Some(before)), before);
    }

    #[test]
    fn marks_are_plain_numbers_in_the_unit_that_suits() {
        let told = |ms| {
            let ticks = Scale::of(&[agrees(ms)], None).ticks();
            ticks.map(|(_, text)| text.replace(NBSP, " "))
        };
        assert_eq!(told(0.026), ["−50 µs", "−25 µs", "0 µs", "+25 µs", "+50 µs"]);
        assert_eq!(told(0.8), ["−1 ms", "−0.5 ms", "0 ms", "+0.5 ms", "+1 ms"]);
        assert_eq!(told(4_000.0)[4], "+5 s");
        assert_eq!(told(0.0)[4], "+2 µs");
    }
}
