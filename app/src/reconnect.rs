//! Sockets that come back: how long to wait before the next attempt, and how to open one. The live picture, the
//! terminals and the conversation reconnect by it, so that they behave alike.

/// The first wait before a socket is opened again; each failure doubles it.
pub const RETRY_FIRST_MS: u32 = 250;
/// The longest wait.
pub const RETRY_LONGEST_MS: u32 = 5_000;

/// How a socket is doing, as a reader is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// Nothing has been tried yet: a page without wasm stays here.
    #[default]
    Idle,
    /// The first attempt is under way.
    Opening,
    /// Open.
    Live,
    /// It ended, or could not be opened; it is tried again after so many milliseconds.
    Lost { retry_ms: u32 },
}

impl Link {
    /// For style and tests.
    pub fn state(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Opening => "opening",
            Self::Live => "live",
            Self::Lost { .. } => "lost",
        }
    }

    /// For people.
    pub fn words(self) -> String {
        match self {
            Self::Idle => String::new(),
            Self::Opening => "connecting".to_owned(),
            Self::Live => "live".to_owned(),
            Self::Lost { retry_ms } if retry_ms < 1_000 => "lost, trying again".to_owned(),
            Self::Lost { retry_ms } => {
                format!("lost, again in {}", crate::words::duration(u64::from(retry_ms)))
            }
        }
    }
}

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next_ms: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            next_ms: RETRY_FIRST_MS,
        }
    }
}

impl Backoff {
    /// The wait after one more failure. `spread` between 0 and 1 keeps many pages from coming back at the same
    /// moment.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most a quarter of five seconds"
    )]
    pub fn wait_ms(&mut self, spread: f64) -> u32 {
        let wait_ms = self.next_ms;
        self.next_ms = (wait_ms * 2).min(RETRY_LONGEST_MS);
        wait_ms - (f64::from(wait_ms) / 4.0 * spread.clamp(0.0, 1.0)) as u32
    }

    /// It works again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Opens a socket of this gateway. `None` if it cannot be opened, or not in time.
#[cfg(feature = "hydrate")]
pub async fn open(path: &str) -> Option<gloo_net::websocket::futures::WebSocket> {
    use gloo_net::websocket::{State, futures::WebSocket};
    use gloo_timers::future::TimeoutFuture;

    /// How long an attempt may take, and how often it is looked at.
    const ATTEMPT_MS: u32 = 5_000;
    const LOOK_MS: u32 = 20;

    let socket = WebSocket::open(&crate::live::socket_url(path)?).ok()?;
    for _ in 0..ATTEMPT_MS / LOOK_MS {
        match socket.state() {
            State::Open => return Some(socket),
            State::Connecting => TimeoutFuture::new(LOOK_MS).await,
            State::Closing | State::Closed => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<u32> = (0..7).map(|_| backoff.wait_ms(0.0)).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        backoff.reset();
        assert_eq!(backoff.wait_ms(1.0), 188);
    }

    #[test]
    fn a_lost_link_tells_when_it_is_tried_again() {
        assert_eq!(Link::Lost { retry_ms: 250 }.words(), "lost, trying again");
        assert_eq!(Link::Lost { retry_ms: 4_000 }.words(), "lost, again in 4\u{a0}s");
    }
}
