//! A terminal in the browser: its socket, its frames, its scrolling.

use futures_util::{StreamExt, future::abortable};
use gloo_net::websocket::Message;
use gloo_timers::future::TimeoutFuture;
use leptos::{leptos_dom::helpers::request_animation_frame, prelude::*, task::spawn_local};
use serde::Deserialize;
use wasm_bindgen_futures::JsFuture;

use super::{
    Screen,
    lines::{Follow, Lines},
    sgr,
};
use crate::{
    live::Live,
    reconnect::{Backoff, Link, open},
};

/// Lines asked for when a terminal opens.
const TAIL_LINES: usize = 200;
/// How near the end counts as the end, pixels.
const END_REACH_PX: i32 = 6;
/// How long *copied* is said.
const COPIED_MS: u32 = 1_500;

/// One frame of the socket: a log has a line, the others a detail.
#[derive(Deserialize)]
struct LogFrame {
    event: LogEvent,
    #[serde(default)]
    line: String,
    #[serde(default)]
    detail: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum LogEvent {
    Log,
    Info,
    Error,
}

/// Opens the socket and keeps it open for as long as the terminal is on the page.
pub(super) fn follow(node: String, screen: Screen, live: Live) {
    // After a pause of the whole page, the end comes back into sight.
    Effect::new(move |_| {
        if !live.paused() && screen.follow.get_untracked() == Follow::Following {
            to_the_end(screen);
        }
    });
    Effect::new(move |_| {
        let (task, handle) = abortable(stay_connected(node.clone(), screen, live));
        spawn_local(async move {
            // An error says that the terminal has left the page.
            let _ = task.await;
        });
        on_cleanup(move || handle.abort());
    });
}

async fn stay_connected(node: String, screen: Screen, live: Live) {
    let mut backoff = Backoff::default();
    screen.link.set(Link::Opening);
    loop {
        let tail = screen.lines.with_value(Lines::len).max(TAIL_LINES);
        if let Some(mut socket) = open(&format!("/ws/node/{node}/logs?tail={tail}")).await {
            screen.link.set(Link::Live);
            let mut is_first = true;
            while let Some(Ok(Message::Text(text))) = socket.next().await {
                let Ok(frame) = serde_json::from_str(&text) else {
                    continue;
                };
                // The log is read anew: what was here before would be there twice.
                if std::mem::take(&mut is_first) {
                    backoff.reset();
                    screen.lines.update_value(Lines::clear);
                }
                take_in(frame, screen, live);
            }
        }
        let retry_ms = backoff.wait_ms(js_sys::Math::random());
        screen.link.set(Link::Lost { retry_ms });
        TimeoutFuture::new(retry_ms).await;
    }
}

fn take_in(frame: LogFrame, screen: Screen, live: Live) {
    let (text, is_note) = match frame.event {
        LogEvent::Log => (frame.line, false),
        LogEvent::Info => (format!("\x1b[2;3m{}", frame.detail), true),
        LogEvent::Error => (format!("\x1b[31;3m{}", frame.detail), true),
    };
    // "Has not printed anything yet" is no longer true once it has.
    let is_note = is_note && screen.lines.with_value(Lines::is_empty);
    let was_note = screen
        .is_note
        .try_update_value(|before| std::mem::replace(before, is_note));
    if was_note == Some(true) {
        screen.lines.update_value(Lines::clear);
    }
    screen.lines.update_value(|lines| lines.push(text));
    if screen.follow.get_untracked() == Follow::Paused {
        screen.unread.update(|unread| *unread += 1);
    }
    if !screen.has_lines.get_untracked() {
        screen.has_lines.set(true);
    }
    draw_soon(screen, live);
}

/// Draws with the next frame, however many lines come before it.
fn draw_soon(screen: Screen, live: Live) {
    if screen
        .is_asked
        .try_update_value(|asked| std::mem::replace(asked, true))
        != Some(false)
    {
        return;
    }
    request_animation_frame(move || {
        screen.is_asked.try_set_value(false);
        draw(screen);
        let follows = screen.follow.try_get_untracked() == Some(Follow::Following);
        if follows && !live.paused_untracked() {
            to_the_end(screen);
        }
    });
}

/// Brings the screen to what the lines say.
pub(super) fn draw(screen: Screen) {
    let Some(frame) = screen
        .lines
        .try_update_value(Lines::frame)
        .filter(|frame| !frame.is_empty())
    else {
        return;
    };
    let Some(blocks) = screen.blocks.get_untracked() else {
        return;
    };
    if frame.clear {
        blocks.set_inner_html("");
    }
    let html_of = |lines: &[String]| lines.iter().map(|line| sgr::html(line)).collect::<String>();
    // The markup is made of our own tags and escaped text, so the parser takes all of it.
    if let Some(last) = blocks.last_element_child() {
        let _ = last.insert_adjacent_html("beforeend", &html_of(&frame.to_last_block));
    }
    for lines in &frame.new_blocks {
        let block = format!("<div class=\"block\">{}</div>", html_of(lines));
        let _ = blocks.insert_adjacent_html("beforeend", &block);
    }
    for _ in 0..frame.drop_blocks {
        if let Some(first) = blocks.first_element_child() {
            first.remove();
        }
    }
}

pub(super) fn to_the_end(screen: Screen) {
    if let Some(view) = screen.view.try_get_untracked().flatten() {
        view.set_scroll_top(view.scroll_height());
    }
}

pub(super) fn scrolled(screen: Screen) {
    let Some(view) = screen.view.get_untracked() else {
        return;
    };
    let top = view.scroll_top();
    let below = view.scroll_height() - top - view.client_height();
    let went_back = screen
        .stood_at
        .try_update_value(|stood_at| top < std::mem::replace(stood_at, top))
        .unwrap_or(false);
    if below <= END_REACH_PX {
        if screen.follow.get_untracked() == Follow::Paused {
            screen.follow.set(Follow::Following);
            screen.unread.set(0);
        }
    } else if went_back && screen.follow.get_untracked() == Follow::Following {
        screen.follow.set(Follow::Paused);
    }
}

/// Puts all lines on the clipboard as plain text.
pub(super) fn copy(screen: Screen, copied: RwSignal<bool>) {
    let text = screen
        .lines
        .with_value(|lines| lines.iter().map(sgr::plain).collect::<Vec<_>>().join("\n"));
    spawn_local(async move {
        // Pages from another address than localhost have no clipboard; there the lines are selected instead.
        let clipboard = window().navigator().clipboard();
        let has_clipboard = !clipboard.is_undefined();
        if has_clipboard && JsFuture::from(clipboard.write_text(&text)).await.is_ok() {
            copied.set(true);
            TimeoutFuture::new(COPIED_MS).await;
            copied.try_set(false);
        } else if let (Some(blocks), Ok(Some(selection))) =
            (screen.blocks.get_untracked(), window().get_selection())
        {
            let _ = selection.select_all_children(&blocks);
        }
    });
}
