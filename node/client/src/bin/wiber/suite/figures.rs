//! What was measured, beside what was aimed at and what the machine can do at best.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    floor::Floor,
    machine,
    plan::{Row, Scale},
    readback::ReadBack,
};

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// One measured number.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    row: &'static str,
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) target: Option<Target>,
    /// The value as a multiple of the floor that bounds it.
    pub(super) floor_ratio: Option<f64>,
    pub(super) note: String,
}

impl Figure {
    pub(super) fn new(row: Row, name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            row: row.name(),
            name: name.into(),
            value,
            unit,
            target: None,
            floor_ratio: None,
            note: String::new(),
        }
    }

    pub(super) fn at_most(mut self, target: f64) -> Self {
        self.target = Some(Target::AtMost(target));
        self
    }

    pub(super) fn at_least(mut self, target: f64) -> Self {
        self.target = Some(Target::AtLeast(target));
        self
    }

    /// `floor` in the figure's own unit.
    pub(super) fn beside(self, floor: f64) -> Self {
        let ratio = self.value / floor;
        self.times_floor(ratio)
    }

    /// The ratio itself, for a figure whose floor is in another unit.
    pub(super) fn times_floor(mut self, ratio: f64) -> Self {
        self.floor_ratio = Some(ratio);
        self
    }

    pub(super) fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub(super) fn row(&self) -> &'static str {
        self.row
    }

    /// `None` where nothing was aimed at.
    pub(super) fn is_met(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtMost(bound) => self.value <= bound,
            Target::AtLeast(bound) => self.value >= bound,
        })
    }

    pub(super) fn measured(&self) -> String {
        format!("{} {}", thousands(self.value), self.unit)
    }

    pub(super) fn aimed(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtMost(bound)) => format!("≤ {}", thousands(bound)),
            Some(Target::AtLeast(bound)) => format!("≥ {}", thousands(bound)),
        }
    }

    pub(super) fn line(&self) -> String {
        let verdict = match self.is_met() {
            None => String::new(),
            Some(met) => format!(" ({}, {})", self.aimed(), if met { "met" } else { "NOT met" }),
        };
        let note = if self.note.is_empty() {
            String::new()
        } else {
            format!("; {}", self.note)
        };
        format!("{}: {}{verdict}{note}", self.name, self.measured())
    }
}

/// With thousands apart, and decimals only where they matter.
pub(super) fn thousands(value: f64) -> String {
    let decimals = match value.abs() {
        small if small < 10.0 => 2,
        medium if medium < 1000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    group(whole) + rest
}

/// A number of things, with thousands apart.
pub(super) fn count(things: u64) -> String {
    group(&things.to_string())
}

fn group(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Everything one run found.
pub(super) struct Results {
    pub(super) floor: Floor,
    pub(super) scale: Scale,
    pub(super) figures: Vec<Figure>,
    /// What the cluster had promised and did not do.
    pub(super) broken: Vec<String>,
    /// Rows that could not be measured, and why.
    pub(super) failed: Vec<(&'static str, String)>,
    pub(super) readbacks: Vec<ReadBack>,
    pub(super) load_before: Option<f64>,
    pub(super) load_after: Option<f64>,
}

impl Results {
    pub(super) fn new(floor: Floor, scale: Scale) -> Self {
        Self {
            floor,
            scale,
            figures: Vec::new(),
            broken: Vec::new(),
            failed: Vec::new(),
            readbacks: Vec::new(),
            load_before: machine::load_average(),
            load_after: None,
        }
    }

    pub(super) fn finish(&mut self) {
        self.load_after = machine::load_average();
    }

    pub(super) fn readback(&mut self, read: ReadBack) {
        self.broken.extend(read.broken.iter().cloned());
        self.readbacks.push(read);
    }

    /// A row that could not be measured, and why.
    pub(super) fn failed(&mut self, row: Row, reason: String) {
        self.failed.push((row.name(), reason));
    }

    pub(super) fn json(&self) -> Value {
        let figure = |figure: &Figure| {
            let mut value = json!(figure);
            value["met"] = json!(figure.is_met());
            value
        };
        json!({
            "scale": self.scale.name(),
            "processors": machine::processors(),
            "load_average": {"before": self.load_before, "after": self.load_after},
            "floor": self.floor,
            "figures": self.figures.iter().map(figure).collect::<Vec<_>>(),
            "readback": self.readbacks,
            "broken": self.broken,
            "failed": self.failed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_at_its_bound() {
        let figure = |value| Figure::new(Row::Latency, "x", value, "µs");
        assert_eq!(figure(5.0).is_met(), None);
        assert_eq!(figure(5.0).at_most(5.0).is_met(), Some(true));
        assert_eq!(figure(5.1).at_most(5.0).is_met(), Some(false));
        assert_eq!(figure(5.0).at_least(5.0).is_met(), Some(true));
        assert_eq!(figure(4.9).at_least(5.0).is_met(), Some(false));
    }

    #[test]
    fn numbers_are_readable() {
        for (value, text) in [
            (0.5, "0.50"),
            (12.34, "12.3"),
            (999.94, "999.9"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(thousands(value), text);
        }
        assert_eq!(
            [0, 13, 1_000, 10_000_000].map(count),
            ["0", "13", "1,000", "10,000,000"]
        );
        assert_eq!(
            [0, 13, 1_000, 10_000_000].map(count),
            ["0", "13", "1,000", "10,000,000"]
        );
    }

    #[test]
    fn a_line_says_value_target_and_verdict() {
        let figure = Figure::new(Row::Parallel, "throughput", 61_000.0, "msg/s").at_least(300_000.0);
        assert_eq!(figure.line(), "throughput: 61,000 msg/s (≥ 300,000, NOT met)");
    }
}
