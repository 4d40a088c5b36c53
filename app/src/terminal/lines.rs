//! The lines one terminal holds, and whether it follows their end. Pure; the page draws what this says.
//!
//! Lines arrive faster than a screen is drawn, so they gather here and are drawn once a frame, in blocks. The
//! oldest block goes when the bound is passed: the screen never holds more than the memory does.

use std::collections::VecDeque;

/// The most lines kept and drawn.
pub const LINES_KEPT: usize = 10_000;
/// Lines that are drawn, skipped while out of sight, and dropped together.
pub const BLOCK_LINES: usize = 100;
/// Lines that wait for the next frame at most; a hidden tab draws no frames.
pub const LINES_WAITING: usize = LINES_KEPT;

/// Whether the newest line is kept in sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    #[default]
    Following,
    /// The reader scrolled back or pressed pause; new lines gather below the ones in sight.
    Paused,
}

/// The lines, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    kept: VecDeque<String>,
    /// Not yet drawn; a part of `kept`, at its end.
    waiting: usize,
    /// Lines in the newest drawn block.
    in_last_block: usize,
    /// Drawn blocks.
    blocks: usize,
    /// Everything drawn is out of date and goes at the next frame.
    cleared: bool,
}

/// What one frame draws, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Take everything away first.
    pub clear: bool,
    /// Add these lines to the newest block.
    pub to_last_block: Vec<String>,
    /// Then add a block for each of these.
    pub new_blocks: Vec<Vec<String>>,
    /// Then take away so many of the oldest blocks.
    pub drop_blocks: usize,
}

impl Lines {
    /// Takes in one line.
    pub fn push(&mut self, line: String) {
        self.kept.push_back(line);
        self.waiting = (self.waiting + 1).min(LINES_WAITING);
        if self.kept.len() > LINES_KEPT {
            self.kept.pop_front();
        }
    }

    /// Forgets every line.
    pub fn clear(&mut self) {
        *self = Self {
            cleared: true,
            ..Self::default()
        };
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// The lines, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(String::as_str)
    }

    /// What is to be drawn now; empty if nothing changed.
    pub fn frame(&mut self) -> Frame {
        // All that was drawn has been pushed out: start anew rather than draw and drop.
        let clear = self.cleared || self.waiting >= LINES_KEPT;
        if clear {
            (self.blocks, self.in_last_block, self.cleared) = (0, 0, false);
        }
        let mut fresh = self.kept.iter().skip(self.kept.len() - self.waiting).cloned();
        self.waiting = 0;
        let room = if self.blocks == 0 {
            0
        } else {
            BLOCK_LINES - self.in_last_block
        };
        let to_last_block: Vec<String> = fresh.by_ref().take(room).collect();
        self.in_last_block += to_last_block.len();
        let mut new_blocks = Vec::new();
        loop {
            let block: Vec<String> = fresh.by_ref().take(BLOCK_LINES).collect();
            if block.is_empty() {
                break;
            }
            self.in_last_block = block.len();
            self.blocks += 1;
            new_blocks.push(block);
        }
        // The newest block may be short, so one block more than the bound holds is needed to show all lines.
        let drop_blocks = self.blocks.saturating_sub(LINES_KEPT / BLOCK_LINES + 1);
        self.blocks -= drop_blocks;
        Frame {
            clear,
            to_last_block,
            new_blocks,
            drop_blocks,
        }
    }
}

impl Frame {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A screen that does what frames say.
    #[derive(Default)]
    struct Screen(VecDeque<Vec<String>>);

    impl Screen {
        fn draw(&mut self, frame: Frame) {
            if frame.clear {
                self.0.clear();
            }
            if let Some(last) = self.0.back_mut() {
                last.extend(frame.to_last_block);
            } else {
                assert!(frame.to_last_block.is_empty());
            }
            self.0.extend(frame.new_blocks);
            self.0.drain(..frame.drop_blocks);
        }

        fn text(&self) -> Vec<&str> {
            self.0.iter().flatten().map(String::as_str).collect()
        }
    }

    #[test]
    fn the_oldest_lines_go_and_the_order_stays() {
        let mut lines = Lines::default();
        for number in 0..LINES_KEPT + 5 {
            lines.push(number.to_string());
        }
        assert_eq!(lines.len(), LINES_KEPT);
        assert_eq!(lines.iter().next(), Some("5"));
    }

    #[test]
    fn nothing_new_draws_nothing() {
        let mut lines = Lines::default();
        lines.push("one".into());
        assert!(!lines.frame().is_empty());
        assert!(lines.frame().is_empty());
    }

    #[test]
    fn clearing_takes_everything_away_and_goes_on() {
        let (mut lines, mut screen) = (Lines::default(), Screen::default());
        lines.push("old".into());
        screen.draw(lines.frame());
        lines.clear();
        lines.push("new".into());
        screen.draw(lines.frame());
        assert_eq!(screen.text(), ["new"]);
    }

    proptest! {
        #[test]
        fn the_screen_shows_the_newest_lines(pushes in prop::collection::vec(0_usize..1_500, 1..40)) {
            let (mut lines, mut screen) = (Lines::default(), Screen::default());
            let mut number = 0_usize;
            for count in pushes {
                for _ in 0..count {
                    lines.push(number.to_string());
                    number += 1;
                }
                screen.draw(lines.frame());
                let shown = screen.text();
                prop_assert!(shown.len() <= LINES_KEPT + 2 * BLOCK_LINES);
                prop_assert!(shown.len() >= lines.len());
                prop_assert!(lines.iter().eq(shown[shown.len() - lines.len()..].iter().copied()));
            }
        }
    }
}
