//! Cluster time, without I/O: what a node makes of probes that it sends, answers and hears.
//!
//! A node hands [`Keeper`] the time and what arrived, and gets back whom to ask, what to answer, and a [`Course`]
//! from which every stamp is read. Nothing here reads a clock, a socket or a random number, so recorded traces, generated
//! ones and whole simulated clusters run the very code.
//!
//! The layers, from the bottom: [`interval`], [`filter`] and [`drift`] turn four timestamps into an interval that
//! holds another clock's offset; [`marzullo`] finds the clocks that agree; [`keeper`] decides what cluster time is and how
//! far this node's reading of it may be off; [`phi`] tells how suspicious a silence is. `docs/time.md` gives the reasons.
//!
//! Clocks, in nanoseconds: `mono` is a process's monotonic clock, `wall` the machine's time of day, `cluster` the
//! time that the nodes share. An offset is *the other minus this one*.

pub mod course;
pub mod drift;
pub mod filter;
pub mod interval;
pub mod keeper;
pub mod marzullo;
pub mod peer;
pub mod phi;
mod report;

pub use self::{
    course::{Course, Stamp},
    interval::Interval,
    keeper::{Keeper, News, Now, Votes, span},
};

/// Nanoseconds in a microsecond, a millisecond and a second.
pub const US: i64 = 1_000;
pub const MS: i64 = 1_000 * US;
pub const SECOND: i64 = 1_000 * MS;

/// No two monotonic clocks run further apart than this: twice the most that a false clock can be told, and many times what a
/// quartz does.
pub const MAX_RATE_PPB: i64 = 2_500_000;
/// A clock's rate changes by no more than this within the minute over which it is measured.
pub const WANDER_PPB: i64 = 5_000;

/// How far something that runs `rate_ppb` fast gets in `span_ns`.
pub fn drifted(span_ns: i64, rate_ppb: i64) -> i64 {
    let ns = i128::from(span_ns) * i128::from(rate_ppb) / 1_000_000_000;
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}
