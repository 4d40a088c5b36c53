//! What is written into the figure: words and Lamport times on the arrows, notes beside the lanes, numbers
//! under the axis. Pure.

use std::collections::BTreeSet;

use wiber_protocol::{
    event::{EventKind, TraceEvent},
    status::Role,
};

use super::{
    figure::{DrawnArrow, Spot, Tick, to_px},
    labels::{Board, Candidate, Rect},
    scale::{Axis, Places},
    tell::{named, role_in, short_lamport},
};
use crate::words::grouped;

/// Average widths of a character, pixels: the serif italic at 13, the monospace at 11.
const WORD_PX: f64 = 6.2;
const NUMBER_PX: f64 = 6.7;
const LINE_HEIGHT: f64 = 14.0;
/// From the top of a label's box to the line its letters stand on.
const BASELINE: f64 = 11.0;
/// Between two numbers under the axis, pixels.
const TICK_SPACE_PX: f64 = 26.0;
/// The longest note beside a lane, characters.
const NOTE_CHARS: usize = 72;

/// Which ink and weight a label has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tone {
    Arrow,
    Asks,
    Leads,
    Note,
    Alarm,
}

impl Tone {
    pub fn class(self) -> &'static str {
        match self {
            Self::Arrow => "arrow",
            Self::Asks => "asks",
            Self::Leads => "leads",
            Self::Note => "note",
            Self::Alarm => "alarm",
        }
    }
}

/// Some words, and perhaps a number after them.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    pub x: f64,
    pub y: f64,
    pub word: String,
    pub number: String,
    pub tone: Tone,
    pub faint: bool,
}

impl Label {
    /// The same while the label need not be repainted.
    pub fn key(&self) -> String {
        format!(
            "{:.0} {:.0} {} {} {}",
            self.x, self.y, self.word, self.number, self.faint
        )
    }

    /// The room it takes.
    pub fn rect(&self) -> Rect {
        Rect {
            x: self.x,
            y: self.y - BASELINE,
            width: width(&self.word, &self.number),
            height: LINE_HEIGHT,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few characters")]
fn width(word: &str, number: &str) -> f64 {
    let space = if word.is_empty() || number.is_empty() {
        0.0
    } else {
        4.0
    };
    word.chars().count() as f64 * WORD_PX + number.chars().count() as f64 * NUMBER_PX + space
}

/// Tries each wording at each of its places.
fn write(
    board: &mut Board,
    wordings: &[(String, String)],
    places: impl Fn(f64) -> Vec<(f64, f64)>,
) -> Option<(f64, f64, usize)> {
    let candidates = wordings.iter().enumerate().flat_map(|(index, (word, number))| {
        let width = width(word, number);
        places(width).into_iter().map(move |(left, top)| Candidate {
            text: index,
            rect: Rect {
                x: left,
                y: top,
                width,
                height: LINE_HEIGHT,
            },
        })
    });
    let Candidate { text, rect } = board.place(candidates)?;
    Some((rect.x, rect.y + BASELINE, text))
}

/// The word and the Lamport times of each arrow that has room for them, in order of importance: elections
/// and what carries messages first, then the rest.
pub fn arrow_words(board: &mut Board, arrows: &[DrawnArrow]) -> Vec<Label> {
    let asks = |arrow: &DrawnArrow| matches!(arrow.kind, "vote" | "pre_vote");
    let rank = |arrow: &DrawnArrow| match arrow.kind {
        "vote" | "pre_vote" | "transfer" | "join" => 0,
        "forward" | "snapshot" => 1,
        "append" if arrow.leg == "request" => 2,
        _ => 3,
    };
    let mut ordered: Vec<&DrawnArrow> = arrows.iter().collect();
    ordered.sort_by_key(|arrow| rank(arrow));
    ordered
        .into_iter()
        .filter_map(|arrow| {
            let (sent, received) = (
                short_lamport(arrow.send_lamport),
                short_lamport(arrow.receive_lamport),
            );
            let wordings = [
                (arrow.word.to_owned(), format!("{sent}→{received}")),
                (arrow.word.to_owned(), sent.clone()),
                (String::new(), sent),
            ];
            let (from, to) = (arrow.line.from, arrow.line.to);
            // A slanted line comes closer to the corner of a box than to its middle.
            let slant = ((to.0 - from.0) / (to.1 - from.1).abs().max(1.0)).abs() * LINE_HEIGHT / 2.0;
            let places = |width: f64| {
                [0.5, 0.34, 0.66, 0.22, 0.78]
                    .into_iter()
                    .flat_map(|along| {
                        let (x, y) = (from.0 + (to.0 - from.0) * along, from.1 + (to.1 - from.1) * along);
                        [x + 4.0 + slant, x - 4.0 - slant - width].map(|left| (left, y - LINE_HEIGHT / 2.0))
                    })
                    .collect()
            };
            let (x, y, wording) = write(board, &wordings, places)?;
            let (word, number) = wordings[wording].clone();
            let tone = if asks(arrow) { Tone::Asks } else { Tone::Arrow };
            let faint = arrow.relation == Some(super::trace::Relation::Concurrent);
            Some(Label {
                x,
                y,
                word,
                number,
                tone,
                faint,
            })
        })
        .collect()
}

/// What happened to a node, beside its lane: roles, votes, faults.
pub fn notes<'a>(
    board: &mut Board,
    spots: &[Spot],
    names: &[(String, String)],
    event_of: impl Fn(&super::trace::EventId) -> Option<&'a TraceEvent>,
) -> Vec<Label> {
    let rank = |kind: EventKind| match kind {
        EventKind::Fault => Some(0),
        EventKind::Role => Some(1),
        EventKind::Vote => Some(2),
        _ => None,
    };
    let mut told: Vec<(u8, &Spot, &TraceEvent)> = spots
        .iter()
        .filter_map(|spot| {
            let event = event_of(&spot.event)?;
            Some((rank(event.kind)?, spot, event))
        })
        .collect();
    told.sort_by_key(|(rank, ..)| *rank);
    told.into_iter()
        .filter_map(|(_, spot, event)| {
            let text = note_text(event, names)?;
            // What changed, with its reason where there is room for it.
            let short = text.split(": ").next().unwrap_or_default().to_owned();
            let wordings = [text, short].map(|text| (text, String::new()));
            let places = |width: f64| {
                let (above, below) = (spot.y - 12.0 - BASELINE, spot.y + 14.0);
                let near = [(spot.x + 5.0, above), (spot.x + 5.0, below)];
                let far = [(spot.x - 5.0 - width, above), (spot.x - 5.0 - width, below)];
                let higher = [(spot.x + 5.0, above - 15.0), (spot.x + 5.0, below + 15.0)];
                near.into_iter().chain(far).chain(higher).collect()
            };
            let (x, y, wording) = write(board, &wordings, places)?;
            let (word, number) = wordings[wording].clone();
            let tone = match event.kind {
                EventKind::Fault => Tone::Alarm,
                EventKind::Vote => Tone::Asks,
                _ => match role_in(&word) {
                    Some(Role::Leader) => Tone::Leads,
                    Some(Role::Candidate) => Tone::Asks,
                    _ => Tone::Note,
                },
            };
            Some(Label {
                x,
                y,
                word,
                number,
                tone,
                faint: false,
            })
        })
        .collect()
}

fn note_text(event: &TraceEvent, names: &[(String, String)]) -> Option<String> {
    let detail = event
        .detail
        .as_deref()
        .map(str::trim)
        .filter(|detail| !detail.is_empty());
    let text = match (event.kind, detail, event.peer.as_deref()) {
        (EventKind::Vote, None, Some(peer)) => format!("votes for {peer}"),
        // That the vote was won is told by the role changes.
        (EventKind::Vote, Some(detail), _) if detail.starts_with("follows") => return None,
        (_, Some(detail), _) => named(detail, names),
        _ => return None,
    };
    if text.chars().count() <= NOTE_CHARS {
        return Some(text);
    }
    let cut: String = text.chars().take(NOTE_CHARS - 1).collect();
    Some(format!("{}…", cut.trim_end()))
}

/// The numbers under the axis: those of the last drawing that are still there, then new ones to their right.
pub fn ticks(places: &Places, axis: Axis, remembered: &mut BTreeSet<i64>) -> Vec<Tick> {
    let mut ticks: Vec<(i64, i64, String)> = Vec::new();
    let last_kept = remembered.last().copied();
    for (value, x) in places.values() {
        let text = tick_text(value, axis);
        let kept = remembered.contains(&value);
        let is_new = last_kept.is_none_or(|last| value > last);
        let room = ticks.last().is_none_or(|(_, before_x, before)| {
            to_px(x - before_x) >= f64::midpoint(width("", before), width("", &text)) + TICK_SPACE_PX
        });
        if room && (kept || is_new) {
            ticks.push((value, x, text));
        }
    }
    *remembered = ticks.iter().map(|(value, ..)| *value).collect();
    ticks.into_iter().map(|(_, x, text)| Tick { x, text }).collect()
}

/// A Lamport time whole, or a moment as its second and ten-thousandths.
fn tick_text(value: i64, axis: Axis) -> String {
    match axis {
        Axis::Lamport => grouped(value.unsigned_abs()),
        Axis::Corrected | Axis::Raw => {
            let us = value.rem_euclid(60_000_000);
            format!("{:02}.{:04}", us / 1_000_000, us % 1_000_000 / 100)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_to_a_ten_thousandth_of_a_second() {
        assert_eq!(tick_text(1_729_459_216_204_480, Axis::Corrected), "16.2044");
        assert_eq!(tick_text(94_561_025, Axis::Lamport), "94,561,025");
    }
}
