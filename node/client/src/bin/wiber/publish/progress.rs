//! How far it is, for somebody who waits at a terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Faster than this nobody reads.
const REDRAW_EVERY: Duration = Duration::from_millis(200);
const CLEAR_LINE: &str = "\r\x1b[K";

pub(super) struct Progress {
    /// Of the input, if that is known.
    total_bytes: Option<u64>,
    began: Instant,
    drawn: Drawn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawn {
    /// Nobody is there to see it.
    Never,
    NotYet,
    At(Instant),
}

impl Progress {
    pub(super) fn none() -> Self {
        Self {
            total_bytes: None,
            began: Instant::now(),
            drawn: Drawn::Never,
        }
    }

    /// Drawn where stderr is a terminal, and where nobody types the messages there.
    pub(super) fn new(total_bytes: Option<u64>) -> Self {
        let is_typed = total_bytes.is_none() && io::stdin().is_terminal();
        let drawn = if io::stderr().is_terminal() && !is_typed {
            Drawn::NotYet
        } else {
            Drawn::Never
        };
        Self {
            total_bytes: total_bytes.filter(|total| *total > 0),
            drawn,
            ..Self::none()
        }
    }

    pub(super) fn show(&mut self, stored: u64, read_bytes: u64) {
        let now = Instant::now();
        let last = match self.drawn {
            Drawn::Never => return,
            Drawn::NotYet => self.began,
            Drawn::At(at) => at,
        };
        if now - last >= REDRAW_EVERY {
            self.drawn = Drawn::At(now);
            draw(&text(stored, now - self.began, read_bytes, self.total_bytes));
        }
    }

    pub(super) fn clear(&self) {
        if matches!(self.drawn, Drawn::At(_)) {
            draw("");
        }
    }
}

fn draw(text: &str) {
    // It is only for looking at.
    let _ = io::stderr().write_all(format!("{CLEAR_LINE}{text}").as_bytes());
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rough number"
)]
fn text(stored: u64, elapsed: Duration, read_bytes: u64, total_bytes: Option<u64>) -> String {
    let per_second = (stored as f64 / elapsed.as_secs_f64().max(1e-3)) as u64;
    let percent = total_bytes.map_or_else(String::new, |total| {
        format!("{:>3} %  ", read_bytes.min(total) * 100 / total)
    });
    format!("{percent}{stored} published, {per_second} a second")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_many_how_fast_and_how_far_where_that_is_known() {
        let two_s = Duration::from_secs(2);
        assert_eq!(text(1000, two_s, 0, None), "1000 published, 500 a second");
        assert_eq!(
            text(1000, two_s, 250, Some(1000)),
            " 25 %  1000 published, 500 a second"
        );
        assert_eq!(
            text(0, Duration::ZERO, 0, Some(1)),
            "  0 %  0 published, 0 a second"
        );
    }
}
