//! Keeps the picture current: opens `/live/cluster`, takes in its frames, and opens it again whenever it ends,
//! falls silent or leaves one out. Runs in the browser only.

use std::{cell::RefCell, rc::Rc};

use futures_util::{StreamExt, future::Either};
use gloo_net::websocket::{Message, futures::WebSocket};
use gloo_timers::future::TimeoutFuture;
use leptos::{prelude::*, task::spawn_local};

use super::{
    Connection, Live, RATE_SAMPLES,
    pace::{Pace, Paint},
};
use crate::{
    reconnect::Backoff,
    view::{HEARTBEAT_MS, LiveFrame},
};

/// A gateway that is silent for this long is taken for lost: several heartbeats.
#[expect(clippy::cast_possible_truncation, reason = "a second")]
const SILENCE_MS: u32 = 4 * HEARTBEAT_MS as u32;
/// How often the commit rate is sampled.
const SAMPLE_MS: f64 = 1_000.0;
/// How often ages are brought up to date.
const TICK_MS: u32 = 250;

/// Starts the socket and the clock, for as long as the page is open.
pub(super) fn keep_current(live: Live) {
    #[expect(clippy::cast_possible_truncation, reason = "minutes, less than a day of them")]
    live.utc_offset_min
        .set(-js_sys::Date::new_0().get_timezone_offset() as i32);
    spawn_local(async move {
        let pace = Rc::new(RefCell::new(Pace::default()));
        let mut backoff = Backoff::default();
        loop {
            match read_frames(live, &pace).await {
                // The picture still stands, and a newer one is on its way.
                End::Gap => backoff.reset(),
                End::Lost { heard } => {
                    if heard {
                        backoff.reset();
                    }
                    live.connection.set(Connection::Lost);
                }
            }
            TimeoutFuture::new(backoff.wait_ms(js_sys::Math::random())).await;
        }
    });
    spawn_local(tick(live));
}

/// Why a socket is read no further.
enum End {
    /// A change was left out: a new snapshot is needed.
    Gap,
    /// It ended, fell silent, or said what cannot be understood. `heard` if it had brought anything before.
    Lost { heard: bool },
}

/// Reads for as long as frames come and follow each other.
async fn read_frames(live: Live, pace: &Rc<RefCell<Pace>>) -> End {
    let Some(mut socket) = socket_url("/live/cluster").and_then(|url| WebSocket::open(&url).ok()) else {
        return End::Lost { heard: false };
    };
    let mut heard = false;
    loop {
        let silence = TimeoutFuture::new(SILENCE_MS);
        let message = match futures_util::future::select(socket.next(), silence).await {
            Either::Left((Some(Ok(Message::Text(text))), _)) => text,
            Either::Left((Some(Ok(Message::Bytes(_))), _)) => continue,
            Either::Left((Some(Err(_)) | None, _)) | Either::Right(_) => return End::Lost { heard },
        };
        match serde_json::from_str::<LiveFrame>(&message) {
            Ok(LiveFrame::Snapshot { view }) => live.take_snapshot(view),
            Ok(LiveFrame::Change { seq, at_ms, change }) => {
                if live.take_change(seq, at_ms, change).is_err() {
                    return End::Gap;
                }
                paint_in_time(live, pace);
            }
            Err(error) => {
                leptos::logging::warn!("a frame of /live/cluster cannot be read: {error}");
                return End::Lost { heard: false };
            }
        }
        heard = true;
        if live.connection.get_untracked() != Connection::Live {
            live.connection.set(Connection::Live);
        }
    }
}

/// Paints now, or sets the timer that will.
fn paint_in_time(live: Live, pace: &Rc<RefCell<Pace>>) {
    // Nobody sees a hidden page; the first frame after it is shown again paints it.
    if live.paused.get_untracked() || document().hidden() {
        return;
    }
    let urgent = live.is_urgent();
    let decided = pace.borrow_mut().decide(monotonic_ms(), urgent);
    match decided {
        Paint::Now => live.paint(),
        Paint::After { ms } => {
            let pace = Rc::clone(pace);
            spawn_local(async move {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at most 250"
                )]
                TimeoutFuture::new(ms.ceil() as u32).await;
                pace.borrow_mut().painted(monotonic_ms());
                if !live.paused.get_untracked() {
                    live.paint();
                }
            });
        }
        Paint::IsDue => {}
    }
}

/// Moves `now_ms` on between frames by the browser's own monotonic clock, and samples the commit rate.
async fn tick(live: Live) {
    let mut base_ms = monotonic_ms();
    let mut heard_at_ms = live.heard_at_ms.get_untracked();
    let mut sampled_ms = base_ms;
    loop {
        TimeoutFuture::new(TICK_MS).await;
        let monotonic_now_ms = monotonic_ms();
        if monotonic_now_ms - sampled_ms >= SAMPLE_MS && live.connection.get_untracked() == Connection::Live {
            sampled_ms = monotonic_now_ms;
            let rate = live.view.with_value(|view| view.records_per_s);
            live.rates.update(|rates| {
                rates.push_back(rate);
                let excess = rates.len().saturating_sub(RATE_SAMPLES);
                rates.drain(..excess);
            });
        }
        let heard_now_ms = live.heard_at_ms.get_untracked();
        if heard_now_ms == heard_at_ms {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "milliseconds since the page was opened"
            )]
            live.now_ms.set(heard_at_ms + (monotonic_now_ms - base_ms) as i64);
        } else {
            heard_at_ms = heard_now_ms;
            base_ms = monotonic_now_ms;
        }
    }
}

/// The address of a socket of this gateway.
pub fn socket_url(path: &str) -> Option<String> {
    let location = web_sys::window()?.location();
    let scheme = if location.protocol().ok()? == "https:" {
        "wss"
    } else {
        "ws"
    };
    Some(format!("{scheme}://{}{path}", location.host().ok()?))
}

fn monotonic_ms() -> f64 {
    web_sys::window()
        .and_then(|window| window.performance())
        .map_or(0.0, |performance| performance.now())
}
