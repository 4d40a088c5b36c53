//! Words on a diagram that nobody tuned by hand: each label is tried at several places, and drawn at the first
//! where it touches nothing; where there is no such place it is left out. Pure.
//!
//! Earlier wishes win, so a label stays where it is when new events come in on the right.

use std::collections::HashMap;

/// A rectangle in the figure's pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    /// Around a point.
    pub fn around(x: f64, y: f64, reach: f64) -> Self {
        Self {
            x: x - reach,
            y: y - reach,
            width: 2.0 * reach,
            height: 2.0 * reach,
        }
    }

    pub fn touches(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }

    /// Whether the straight line between two points passes through (Liang and Barsky 1984).
    fn is_crossed_by(&self, line: &Line) -> bool {
        let (dx, dy) = (line.to.0 - line.from.0, line.to.1 - line.from.1);
        let (mut enters, mut leaves) = (0.0_f64, 1.0_f64);
        for (step, room) in [
            (-dx, line.from.0 - self.x),
            (dx, self.x + self.width - line.from.0),
            (-dy, line.from.1 - self.y),
            (dy, self.y + self.height - line.from.1),
        ] {
            if step == 0.0 {
                if room < 0.0 {
                    return false;
                }
            } else if step < 0.0 {
                enters = enters.max(room / step);
            } else {
                leaves = leaves.min(room / step);
            }
        }
        enters <= leaves
    }
}

/// A line that labels should not cover.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    pub from: (f64, f64),
    pub to: (f64, f64),
}

/// One place a label would take, and what it would say there.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which of several wordings it is.
    pub text: usize,
    pub rect: Rect,
}

/// What has been drawn, by columns of [`BUCKET_PX`], so that a label is compared with its neighbours only.
#[derive(Default)]
pub struct Board {
    taken: HashMap<i64, Vec<Rect>>,
    lines: HashMap<i64, Vec<Line>>,
    /// Heights of horizontal lines that run through the whole figure.
    bands: Vec<f64>,
}

const BUCKET_PX: f64 = 96.0;
/// Labels keep so far from a lane's line.
const BAND_REACH_PX: f64 = 4.0;
/// A label may lie over so many lines; its halo interrupts them.
const LINES_COVERED: usize = 1;

impl Board {
    /// Nothing may be written here.
    pub fn take(&mut self, rect: Rect) {
        for bucket in buckets(rect.x, rect.x + rect.width) {
            self.taken.entry(bucket).or_default().push(rect);
        }
    }

    /// A horizontal line runs through the whole figure at this height.
    pub fn take_band(&mut self, y: i64) {
        self.bands.push(super::figure::to_px(y));
    }

    pub fn draw_line(&mut self, line: Line) {
        let (left, right) = (line.from.0.min(line.to.0), line.from.0.max(line.to.0));
        for bucket in buckets(left, right) {
            self.lines.entry(bucket).or_default().push(line);
        }
    }

    /// Takes the first candidate that is free, or none.
    pub fn place(&mut self, candidates: impl IntoIterator<Item = Candidate>) -> Option<Candidate> {
        let chosen = candidates
            .into_iter()
            .find(|candidate| self.is_free(&candidate.rect))?;
        self.take(chosen.rect);
        Some(chosen)
    }

    fn is_free(&self, rect: &Rect) -> bool {
        if self
            .bands
            .iter()
            .any(|y| rect.y < y + BAND_REACH_PX && y - BAND_REACH_PX < rect.y + rect.height)
        {
            return false;
        }
        let mut lines: Vec<&Line> = Vec::new();
        for bucket in buckets(rect.x, rect.x + rect.width) {
            if self
                .taken
                .get(&bucket)
                .is_some_and(|taken| taken.iter().any(|other| other.touches(rect)))
            {
                return false;
            }
            for line in self.lines.get(&bucket).into_iter().flatten() {
                if rect.is_crossed_by(line) && !lines.contains(&line) {
                    lines.push(line);
                    if lines.len() > LINES_COVERED {
                        return false;
                    }
                }
            }
        }
        true
    }
}

#[expect(clippy::cast_possible_truncation, reason = "pixels of one figure")]
fn buckets(left: f64, right: f64) -> std::ops::RangeInclusive<i64> {
    (left / BUCKET_PX).floor() as i64..=(right / BUCKET_PX).floor() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(x: f64, y: f64) -> Candidate {
        Candidate {
            text: 0,
            rect: Rect {
                x,
                y,
                width: 40.0,
                height: 14.0,
            },
        }
    }

    #[test]
    fn the_first_free_place_is_taken() {
        let mut board = Board::default();
        board.take(Rect::around(10.0, 10.0, 6.0));
        let placed = board
            .place([candidate(0.0, 0.0), candidate(0.0, 20.0), candidate(0.0, 60.0)])
            .unwrap();
        assert!((placed.rect.y - 20.0).abs() < 0.1);
        let next = board
            .place([candidate(0.0, 20.0), candidate(39.0, 25.0), candidate(0.0, 60.0)])
            .unwrap();
        assert!((next.rect.y - 60.0).abs() < 0.1);
        assert_eq!(board.place([candidate(0.0, 60.0)]), None);
    }

    #[test]
    fn a_label_covers_one_line_but_not_two() {
        let mut board = Board::default();
        let steep = |x| Line {
            from: (x, -50.0),
            to: (x + 10.0, 50.0),
        };
        board.draw_line(steep(10.0));
        assert!(board.place([candidate(0.0, 0.0)]).is_some());
        let mut board = Board::default();
        board.draw_line(steep(10.0));
        board.draw_line(steep(25.0));
        assert!(board.place([candidate(0.0, 0.0)]).is_none());
        assert!(board.place([candidate(80.0, 0.0)]).is_some());
    }

    #[test]
    fn a_line_beside_a_label_does_not_cross_it() {
        let rect = Rect {
            x: 0.0,
            y: 0.0,
            width: 10.0,
            height: 10.0,
        };
        let line = |from, to| Line { from, to };
        assert!(rect.is_crossed_by(&line((-5.0, 5.0), (15.0, 5.0))));
        assert!(rect.is_crossed_by(&line((5.0, 5.0), (6.0, 6.0))));
        assert!(!rect.is_crossed_by(&line((-5.0, 5.0), (-1.0, 5.0))));
        assert!(!rect.is_crossed_by(&line((-5.0, 20.0), (15.0, 11.0))));
        assert!(!rect.is_crossed_by(&line((11.0, -5.0), (11.0, 15.0))));
        assert!(!rect.is_crossed_by(&line((8.0, -5.0), (20.0, 5.0))));
    }

    proptest! {
        #[test]
        fn labels_never_overlap(places in prop::collection::vec(((0.0..900.0_f64), (0.0..200.0_f64), (5.0..160.0_f64)), 0..120)) {
            let mut board = Board::default();
            let mut placed: Vec<Rect> = Vec::new();
            for (x, y, width) in places {
                let candidates = [(0.0, 0.0), (0.0, 20.0), (20.0, 0.0)].map(|(dx, dy)| Candidate {
                    text: 0,
                    rect: Rect { x: x + dx, y: y + dy, width, height: 14.0 },
                });
                placed.extend(board.place(candidates).map(|chosen| chosen.rect));
            }
            for (place, rect) in placed.iter().enumerate() {
                prop_assert!(!placed[..place].iter().any(|other| other.touches(rect)));
            }
        }
    }
}
