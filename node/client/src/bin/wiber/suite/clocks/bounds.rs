//! The widest bounds that nodes gave while somebody watched.

use std::fmt;

use anyhow::Context as _;
use wiber_protocol::status::ClockStatus;

use super::{Figure, Row};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    /// Of cluster time, as each node gives it.
    cluster_ms: Option<f64>,
    /// Of another node's clock, as each node measures it.
    measured_ms: Option<f64>,
    /// How often all nodes were asked.
    readings: usize,
    /// How often one of them did not answer or gave no bound for something.
    unbounded: usize,
}

impl Bounds {
    /// What all nodes said at about the same time; `None` when one of them did not answer.
    pub(super) fn add(&mut self, clocks: Option<&[ClockStatus]>) {
        self.readings += 1;
        let clocks = clocks.unwrap_or_default();
        let own = clocks.iter().map(|clock| clock.error_bound_ms);
        let peers = clocks.iter().flat_map(|clock| &clock.peers);
        let measured = peers.map(|peer| peer.error_bound_ms);
        let is_whole = !clocks.is_empty() && own.clone().chain(measured.clone()).all(|bound| bound.is_some());
        self.unbounded += usize::from(!is_whole);
        self.cluster_ms = widest(self.cluster_ms, own);
        self.measured_ms = widest(self.measured_ms, measured);
    }

    pub(super) fn of_cluster_time(&self, name: impl Into<String>) -> anyhow::Result<Figure> {
        let ms = self.cluster_ms.context("no node ever bounded cluster time")?;
        Ok(Figure::new(Row::Clocks, name, ms * 1e3, "µs"))
    }

    pub(super) fn of_measurements(&self, name: &str) -> anyhow::Result<Figure> {
        let ms = self.measured_ms.context("no node ever measured another")?;
        Ok(Figure::new(Row::Clocks, name, ms * 1e3, "µs"))
    }
}

fn widest(so_far: Option<f64>, bounds: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    bounds.flatten().chain(so_far).reduce(f64::max)
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {} readings", self.readings)?;
        match self.unbounded {
            0 => Ok(()),
            unbounded => write!(f, ", {unbounded} WITHOUT A BOUND"),
        }
    }
}

#[cfg(test)]
mod tests {
    use wiber_protocol::status::ClockPeer;

    use super::*;

    fn clock(own: Option<f64>, measured: Option<f64>) -> ClockStatus {
        ClockStatus {
            error_bound_ms: own,
            peers: vec![ClockPeer {
                error_bound_ms: measured,
                ..ClockPeer::default()
            }],
            ..ClockStatus::default()
        }
    }

    #[test]
    fn the_widest_of_all_nodes_and_readings_counts() {
        let mut bounds = Bounds::default();
        bounds.add(Some(&[
            clock(Some(0.1), Some(0.05)),
            clock(Some(0.3), Some(0.02)),
        ]));
        bounds.add(Some(&[
            clock(Some(0.2), Some(0.04)),
            clock(Some(0.1), Some(0.01)),
        ]));
        assert_eq!((bounds.cluster_ms, bounds.measured_ms), (Some(0.3), Some(0.05)));
        assert_eq!(bounds.to_string(), "of 2 readings");
    }

    #[test]
    fn a_bound_that_is_missing_is_told_and_no_small_one() {
        let mut bounds = Bounds::default();
        bounds.add(None);
        assert!(bounds.of_cluster_time("x").is_err() && bounds.of_measurements("x").is_err());
        bounds.add(Some(&[clock(Some(0.1), None)]));
        bounds.add(Some(&[clock(None, Some(0.1)), clock(Some(0.2), Some(0.1))]));
        bounds.add(Some(&[clock(Some(0.1), Some(0.1))]));
        assert_eq!(bounds.to_string(), "of 4 readings, 3 WITHOUT A BOUND");
    }
}
