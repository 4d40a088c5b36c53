//! What a node says about its clocks: the machine's, the cluster's and the logical one (`docs/time.md`).

use serde::{Deserialize, Serialize};

/// The node's clocks at the status's `at_us`.
///
/// Offsets are *that clock minus another*, so a positive one is ahead. Bounds are half-widths of intervals that hold the truth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockStatus {
    pub lamport: u64,
    /// Receives whose Lamport time was not later than their send. Anything but 0 is a broken promise.
    #[serde(default)]
    pub lamport_violations: u64,
    /// This machine's clock minus cluster time; `null` while unsynchronised.
    pub offset_ms: Option<f64>,
    /// Cluster time as this node reads it differs by no more from that of a majority of nodes; `null` while unsynchronised.
    pub error_bound_ms: Option<f64>,
    /// How much faster this machine's clock runs than the cluster's; `null` until that is measured.
    pub drift_ppm: Option<f64>,
    pub state: ClockState,
    /// Why it is not synchronised, or what is odd about cluster time; one sentence.
    #[serde(default)]
    pub reason: Option<String>,
    /// Cluster time at `at_us`, microseconds since the Unix epoch; `null` until there has been one.
    #[serde(default)]
    pub cluster_us: Option<i64>,
    /// Clocks (this node's may be among them) that a majority of clocks contradicts.
    #[serde(default)]
    pub falsetickers: Vec<Falseticker>,
    /// How far apart two clocks may be and still agree.
    #[serde(default)]
    pub tolerance_ms: f64,
    /// Where the majority of agreeing clocks lies, as offsets from this machine's clock; `null` without such a majority.
    #[serde(default)]
    pub agreement: Option<OffsetRange>,
    /// This node's measurements of every other node: its row of the matrix.
    #[serde(default)]
    pub peers: Vec<ClockPeer>,
    /// What was added to this machine's clock on purpose; `null` when nothing was.
    #[serde(default)]
    pub injected: Option<InjectedFault>,
    /// Whether the admin port takes `POST /faults/clock`.
    #[serde(default)]
    pub faults_allowed: bool,
    /// How often this machine's clock was set while the process ran, and how often cluster time was.
    #[serde(default)]
    pub clock_steps: u64,
    #[serde(default)]
    pub cluster_steps: u64,
}

/// Whether cluster time can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockState {
    /// Cluster time is this machine's own clock, or an old estimate: nothing bounds its error.
    #[default]
    Unsynchronised,
    /// A majority of clocks agrees, and cluster time is within the bound of a majority's.
    Synchronised,
}

impl ClockState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsynchronised => "unsynchronised",
            Self::Synchronised => "synchronised",
        }
    }
}

/// A clock that the majority contradicts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Falseticker {
    pub id: String,
    /// How far from the middle of the clocks that agree; negative if behind.
    pub off_ms: f64,
    /// One sentence.
    pub reason: String,
}

/// From … to, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OffsetRange {
    pub from_ms: f64,
    pub to_ms: f64,
}

/// Another node's clock as this node measures it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockPeer {
    pub id: String,
    pub state: ProbeState,
    /// The peer's machine clock minus this one's, at `at_us`; `null` without a measurement.
    pub offset_ms: Option<f64>,
    pub error_bound_ms: Option<f64>,
    /// Cluster time as the peer reads it minus cluster time as this node reads it.
    pub cluster_offset_ms: Option<f64>,
    /// The round trip of the best recent probe, without the time that the peer took to answer.
    pub delay_ms: Option<f64>,
    /// How much faster the peer's clock runs, by regression over the last minute.
    pub drift_ppm: Option<f64>,
    /// The half-width of the interval that holds the true drift.
    pub drift_bound_ppm: Option<f64>,
    /// Since the last answer.
    pub age_ms: Option<u64>,
    /// How often it is asked now.
    pub interval_ms: u64,
    pub sent: u64,
    pub answered: u64,
    /// Answers that could not be: to no question, or with impossible times.
    pub refused: u64,
    /// How often all measurements were forgotten because the peer or its clock had begun anew.
    pub restarts: u64,
    /// How unlikely it is that the peer lives and is silent for so long by chance, as a negative power of ten (phi).
    pub suspicion: Option<f64>,
    /// What `offset_ms` really was when the peer last answered, where both nodes run on one machine and so read one clock, but for what was injected.
    pub truth_ms: Option<f64>,
    /// How many measurements could be compared with the truth, and how many of them held it within their bound.
    pub truth_checked: u64,
    pub truth_inside: u64,
}

/// What is known of a peer's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeState {
    /// It has not answered yet.
    #[default]
    Unknown,
    /// It answers, and its clock agrees with the majority (or there is none).
    Good,
    /// It answers, and the majority contradicts its clock.
    False,
    /// It has stopped answering.
    Silent,
}

impl ProbeState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "good",
            Self::False => "false",
            Self::Silent => "silent",
        }
    }
}

/// A false clock: what was injected, and what it has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InjectedFault {
    pub skew_ms: f64,
    pub drift_ppm: f64,
    /// The whole shift at `at_us`: the skew and what the drift has added up to.
    pub offset_ms: f64,
}

/// `POST /faults/clock`: what the node's clock is to be off by from now on. What is left out stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockFault {
    /// Sets the clock to this much ahead of the machine's (negative: behind), at once. What an earlier drift added goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<f64>,
    /// Lets it run this much faster (negative: slower) from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_ppm: Option<f64>,
}

/// The most a clock may be set off by: ten days.
pub const MAX_SKEW_MS: f64 = 864_000_000.0;
/// The most a clock may be made to run fast or slow.
pub const MAX_DRIFT_PPM: f64 = 1_000.0;

impl ClockFault {
    /// Refuses what no clock can be told.
    pub fn check(&self) -> Result<(), String> {
        if self.skew_ms.is_none() && self.drift_ppm.is_none() {
            return Err("say skew_ms, drift_ppm or both".to_owned());
        }
        within("skew_ms", self.skew_ms, MAX_SKEW_MS)?;
        within("drift_ppm", self.drift_ppm, MAX_DRIFT_PPM)
    }
}

fn within(name: &str, value: Option<f64>, most: f64) -> Result<(), String> {
    match value {
        Some(value) if value.is_nan() || value.abs() > most => {
            Err(format!("{name} must be from -{most} to {most}, not {value}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_beyond_its_limits_is_refused_by_name() {
        let fault = |skew_ms, drift_ppm| ClockFault { skew_ms, drift_ppm }.check();
        assert_eq!(fault(Some(-5_000.0), Some(30.0)), Ok(()));
        assert_eq!(fault(None, Some(0.0)), Ok(()));
        assert_eq!(fault(None, None).unwrap_err(), "say skew_ms, drift_ppm or both");
        let error = fault(None, Some(1_000.5)).unwrap_err();
        assert_eq!(error, "drift_ppm must be from -1000 to 1000, not 1000.5");
        assert!(
            fault(Some(f64::NAN), None)
                .unwrap_err()
                .starts_with("skew_ms must be")
        );
    }

    #[test]
    fn an_older_nodes_document_is_read() {
        let old = r#"{"lamport":7,"offset_ms":null,"error_bound_ms":null,"drift_ppm":null,"state":"unsynchronised"}"#;
        let clock: ClockStatus = serde_json::from_str(old).unwrap();
        assert_eq!((clock.lamport, clock.state), (7, ClockState::Unsynchronised));
    }
}
