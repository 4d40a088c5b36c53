//! How suspicious a silence is (Hayashibara, Défago, Yared, Katayama, "The φ Accrual Failure Detector", 2004).
//!
//! Answers to probes come as regularly as the probes are sent, give or take. From the distribution of the last ones, φ is the
//! negative decimal logarithm of the chance that the next one is only late: 1 is one in ten, 8 one in a hundred million.
//!
//! Probes are not evenly spaced, so what is remembered of an answer is how much later it came than the probes' own spacing
//! explains.

use std::collections::VecDeque;

use crate::MS;

/// The answers that are remembered.
pub const WINDOW: usize = 128;
/// Fewer say nothing.
const FEWEST: usize = 8;
/// On an idle machine answers are so regular that a busy moment would look like death: the spread is taken to be no
/// less than this.
const LEAST_SPREAD_NS: i64 = 20 * MS;
/// One long silence must not hide the next: an answer is remembered as late by no more than so many times the spread so
/// far. Who is late again and again widens it step by step.
const MOST_SPREADS: f64 = 4.0;
/// No silence is more suspicious than this.
pub const MOST: f64 = 99.0;

/// The memory of one peer's answers.
#[derive(Clone, Debug, Default)]
pub struct Phi {
    /// How late each answer was, nanoseconds.
    late_ns: VecDeque<i64>,
    last_ns: Option<i64>,
}

impl Phi {
    /// An answer came at `now_ns`; the probes' spacing explains `planned_ns` since the one before.
    pub fn heard(&mut self, now_ns: i64, planned_ns: i64) {
        if let Some(last_ns) = self.last_ns {
            let most_ns = rounded(MOST_SPREADS * self.mean_and_spread().1);
            if self.late_ns.len() == WINDOW {
                self.late_ns.pop_front();
            }
            let late_ns = now_ns - last_ns - planned_ns;
            self.late_ns.push_back(late_ns.clamp(-most_ns, most_ns));
        }
        self.last_ns = Some(now_ns);
    }

    /// This process stood still: whoever answers now is late because of it. φ is unknown until the next answer.
    pub fn stood_still(&mut self) {
        self.last_ns = None;
    }

    /// Of the answers' lateness, nanoseconds.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of nanoseconds")]
    fn mean_and_spread(&self) -> (f64, f64) {
        let count = self.late_ns.len().max(1) as f64;
        let mean = self.late_ns.iter().map(|late| *late as f64).sum::<f64>() / count;
        let variance = self
            .late_ns
            .iter()
            .map(|late| (*late as f64 - mean).powi(2))
            .sum::<f64>()
            / count;
        (mean, variance.sqrt().max(LEAST_SPREAD_NS as f64))
    }

    /// φ at `now_ns`, if the next answer is planned `planned_ns` after the last; `None` before enough were heard.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a silence is compared with a spread of milliseconds"
    )]
    pub fn at(&self, now_ns: i64, planned_ns: i64) -> Option<f64> {
        let last_ns = self.last_ns.filter(|_| self.late_ns.len() >= FEWEST)?;
        let (mean, spread) = self.mean_and_spread();
        let late = (now_ns - last_ns - planned_ns) as f64 - mean;
        Some(negative_log_of_tail(late / spread))
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a few times the spread of answers, milliseconds"
)]
fn rounded(ns: f64) -> i64 {
    ns.round() as i64
}

/// `-log10` of the chance that a standard normal value is above `z`.
fn negative_log_of_tail(z: f64) -> f64 {
    if z <= 0.0 {
        // At most 0.3: less than nothing to be suspicious about.
        return 0.0;
    }
    // The chance is the density times Mills' ratio, a continued fraction (Laplace): z + 1/(z + 2/(z + 3/(z + …))).
    // Deep enough to be right to a thousandth also for small z; the logarithm is taken first, so nothing underflows.
    let ratio = (1..=200).rev().fold(z, |rest, k| z + f64::from(k) / rest);
    let density = z * z / 2.0 + (2.0 * std::f64::consts::PI).sqrt().ln();
    ((density + ratio.ln()) / std::f64::consts::LN_10).clamp(0.0, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regular(every_ns: i64, count: i64) -> Phi {
        let mut phi = Phi::default();
        for k in 0..count {
            phi.heard(k * every_ns, every_ns);
        }
        phi
    }

    #[test]
    fn a_few_answers_say_nothing() {
        assert_eq!(regular(200 * MS, 5).at(9_000 * MS, 200 * MS), None);
    }

    #[test]
    fn suspicion_grows_with_silence_and_ends_with_an_answer() {
        let mut phi = regular(200 * MS, 50);
        let last = 49 * 200 * MS;
        let at = |phi: &Phi, silent_ms: i64| phi.at(last + silent_ms * MS, 200 * MS).unwrap();
        assert!(at(&phi, 150) < 0.01);
        assert!(at(&phi, 215) < 1.0);
        assert!((1.0..4.0).contains(&at(&phi, 260)), "{}", at(&phi, 260));
        assert!(at(&phi, 340) > 8.0, "{}", at(&phi, 340));
        assert!((at(&phi, 60_000) - MOST).abs() < 1e-9);
        phi.heard(last + 5_000 * MS, 200 * MS);
        assert!(phi.at(last + 5_100 * MS, 200 * MS).unwrap() < 0.01);
    }

    /// What was lost: speed. After one freeze the next was suspected half a second later.
    #[test]
    fn one_freeze_does_not_hide_the_next() {
        let mut phi = regular(200 * MS, 30);
        let thawed = 29 * 200 * MS + 2_000 * MS;
        phi.heard(thawed, 200 * MS);
        for k in 1..=10 {
            phi.heard(thawed + k * 200 * MS, 200 * MS);
        }
        let last = thawed + 10 * 200 * MS;
        assert!(phi.at(last + 370 * MS, 200 * MS).unwrap() > 8.0);
    }

    #[test]
    fn who_is_often_late_is_suspected_later() {
        let mut late = Phi::default();
        for k in 0..100 {
            late.heard(k * 200 * MS + (k % 4) * 60 * MS, 200 * MS);
        }
        let last = 99 * 200 * MS + 3 * 60 * MS;
        let silent = last + 340 * MS;
        assert!(late.at(silent, 200 * MS).unwrap() < 4.0);
        assert!(
            regular(200 * MS, 50)
                .at(49 * 200 * MS + 340 * MS, 200 * MS)
                .unwrap()
                > 8.0
        );
    }

    #[test]
    fn the_tail_is_close_to_the_normal_distributions() {
        for (z, phi) in [(1.0, 0.799), (2.0, 1.643), (3.0, 2.870), (5.0, 6.54)] {
            assert!(
                (negative_log_of_tail(z) - phi).abs() < 0.5,
                "{z}: {}",
                negative_log_of_tail(z)
            );
        }
    }
}
